//! Which topics there are, and where in them a stretch of time lies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_pipeline::events::{Declaration, DlqStatus, Topic};
use millstream_pipeline::kafka::offsets;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::Slice;

/// How long the brokers may take to answer a question.
const LIMIT: Duration = Duration::from_secs(15);

/// From when until when, in milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// `None`: from the beginning of the topics.
    pub from: Option<i64>,
    /// `None`: to the ends that the topics have now.
    pub until: Option<i64>,
}

/// The topics of an installation, with their partitions.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    /// Those that are there.
    pub partitions: BTreeMap<String, i32>,
    /// Those that are declared, and are not there or not for us.
    pub unread: Vec<String>,
    /// How many partitions the topic of the marks of dead letters has; `None`: it is not there, or was
    /// not asked for.
    pub marks: Option<i32>,
}

impl Topics {
    /// Asks which of the topics of these declarations there are.
    pub fn ask(client: &BaseConsumer, declarations: &[&Declaration]) -> Result<Self, KafkaError> {
        let metadata = client.fetch_metadata(None, LIMIT)?;
        let there: BTreeMap<&str, i32> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .filter_map(|topic| Some((topic.name(), i32::try_from(topic.partitions().len()).ok()?)))
            .filter(|(_, partitions)| *partitions > 0)
            .collect();
        let mut topics = Self {
            marks: there.get(DlqStatus::DECLARATION.name).copied(),
            ..Self::default()
        };
        for name in names(declarations) {
            match there.get(name.as_str()) {
                Some(partitions) => {
                    topics.partitions.insert(name, *partitions);
                }
                None => topics.unread.push(name),
            }
        }
        Ok(topics)
    }

    /// One topic, without asking.
    pub fn only(topic: &str, partitions: i32) -> Self {
        Self {
            partitions: BTreeMap::from([(topic.to_owned(), partitions)]),
            ..Self::default()
        }
    }

    /// All partitions, at no offset in particular.
    fn list(&self, at: Offset) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &self.partitions {
            for partition in 0..*partitions {
                list.add_partition_offset(topic, partition, at)?;
            }
        }
        Ok(list)
    }

    /// The parts of all partitions that have the records of a stretch of time.
    pub fn slices(
        &self,
        client: &BaseConsumer,
        stretch: Stretch,
    ) -> Result<Vec<Slice>, KafkaError> {
        let list = self.list(Offset::Invalid)?;
        let bounds = offsets::bounds(client, &list, LIMIT)?;
        let at = |time: Option<i64>| match time {
            Some(time) => {
                let mut asked = list.clone();
                asked.set_all_offsets(Offset::Offset(time.max(0)))?;
                client.offsets_for_times(asked, LIMIT).map(Some)
            }
            None => Ok(None),
        };
        let (from, until) = (at(stretch.from)?, at(stretch.until)?);
        let place = |list: &Option<TopicPartitionList>, topic: &str, partition| {
            let found = list.as_ref()?.find_partition(topic, partition)?;
            match found.offset() {
                Offset::Offset(offset) if offset >= 0 => Some(offset),
                _ => None,
            }
        };
        let mut slices = Vec::with_capacity(bounds.len());
        for (element, (_, start, end)) in list.elements().iter().zip(bounds) {
            let (topic, partition) = (element.topic(), element.partition());
            // A time after the last record has no offset: the end stands for it.
            let behind = |time: Option<i64>, place| match time {
                Some(_) => i64::clamp(place, start, end),
                None => place,
            };
            let first = match stretch.from {
                Some(_) => behind(stretch.from, place(&from, topic, partition).unwrap_or(end)),
                None => start,
            };
            let last = behind(
                stretch.until,
                place(&until, topic, partition).unwrap_or(end),
            );
            slices.push(Slice {
                topic: topic.to_owned(),
                partition,
                from: first,
                until: last.min(end),
            });
        }
        Ok(slices)
    }
}

/// The topics that events of these declarations stand on. States are none, nor are marks.
fn names(declarations: &[&Declaration]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for declaration in declarations {
        if declaration.is_of_states() || declaration.name == DlqStatus::DECLARATION.name {
            continue;
        }
        names.insert(declaration.name.to_owned());
        names.insert(declaration.subscribed_topic());
        names.extend(
            declaration
                .results
                .as_ref()
                .map(|results| results.name.to_owned()),
        );
        if declaration.dead_letters {
            names.insert(declaration.dead_letter_topic());
        }
    }
    names
}
