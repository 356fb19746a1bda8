//! Where to begin: what is asked for becomes ids, and a time around which they are looked for.

use std::collections::HashSet;

use millstream_gateway::{Principal, RequestId, SOURCE, event_id, topic_digest};
use millstream_pipeline::program;
use millstream_pipeline::record::partition;

use crate::asked::{Asked, made_ms};
use crate::follower::{FollowError, Follower};
use crate::found::Place;
use crate::search::{Hit, Slice, Stretch, Topics};
use crate::wanted::Wanted;

/// How far apart the clock of the gateway and the time of its record may be.
const BEFORE_MS: i64 = 5_000;
/// How long a record may have been on its way from the gateway to Kafka.
const AFTER_MS: i64 = 60_000;
/// So many records of a partition are read for the last one of a key, then more.
const LAST: [i64; 4] = [1_000, 20_000, 400_000, i64::MAX];
/// So many names of topics are offered in place of one that is not there.
const SIMILAR: usize = 3;

/// What time is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The request began then.
    Exactly(i64),
    /// A record of it is of then.
    About(i64),
    /// None.
    Nowhere,
}

impl Follower {
    /// Sets what is wanted; `None`: there is nothing to look for.
    pub(crate) async fn begin(&mut self, now: i64) -> Result<Option<Anchor>, FollowError> {
        match self.asked.clone() {
            Asked::Latest { topic, key } => self.latest(&topic, &key).await,
            Asked::Id(id) => {
                self.wanted = Wanted::id(&id);
                if let Some(made) = made_ms(&id, now) {
                    return Ok(Some(Anchor::Exactly(made)));
                }
                if let Some(place) = Place::parse(&id) {
                    return self.at(&place).await.map(Some);
                }
                match RequestId::unproven(&id) {
                    Some(request) => self.request(&id, &request).await,
                    None => Ok(Some(Anchor::Nowhere)),
                }
            }
        }
    }

    /// The record that stands somewhere, and all ids that it has.
    async fn at(&mut self, place: &Place) -> Result<Anchor, FollowError> {
        match self.topics.partitions.get(&place.topic) {
            Some(partitions) if place.partition < *partitions => {}
            known => {
                let what = match known {
                    Some(partitions) => {
                        format!("topic {} has {partitions} partitions", place.topic)
                    }
                    None => format!(
                        "there is no topic {} among those that are declared here",
                        place.topic
                    ),
                };
                self.problems.push(format!(
                    "{what}: the record {place} cannot be read; its dead letter is looked for"
                ));
                return Ok(Anchor::Nowhere);
            }
        }
        let slice = Slice {
            topic: place.topic.clone(),
            partition: place.partition,
            from: place.offset,
            until: place.offset + 1,
        };
        let slices = self.within_bounds(slice).await?;
        let hits = self.scan(slices, Wanted::everything()).await?;
        let Some(hit) = hits.iter().find(|hit| hit.found.place == *place) else {
            self.problems.push(format!(
                "the record {place} is not there (any more); its dead letter is looked for"
            ));
            return Ok(Anchor::Nowhere);
        };
        Ok(self.is_of(hit).await)
    }

    /// The part of a slice that its partition has.
    async fn within_bounds(&mut self, slice: Slice) -> Result<Vec<Slice>, FollowError> {
        let all = self.of_topic(&slice.topic, None).await?;
        let of_partition = all.into_iter().filter(|it| it.partition == slice.partition);
        let cut = of_partition.map(|bounds| Slice {
            from: slice.from.max(bounds.from),
            until: slice.until.min(bounds.until),
            ..bounds
        });
        Ok(cut.filter(|it| it.from < it.until).collect())
    }

    async fn of_topic(
        &mut self,
        topic: &str,
        since: Option<i64>,
    ) -> Result<Vec<Slice>, FollowError> {
        let partitions = self.topics.partitions.get(topic).copied().unwrap_or(0);
        let stretch = Stretch {
            from: since,
            until: None,
        };
        self.slices_of(Topics::only(topic, partitions), stretch)
            .await
    }

    /// All ids of a record are wanted.
    async fn is_of(&mut self, hit: &Hit) -> Anchor {
        let (found, _) = self.decoder.found(hit).await;
        self.wanted.add(&found.id());
        self.wanted.add(&found.correlation_id());
        if let Some(letter) = &found.letter {
            self.wanted.add(&letter.original);
        }
        Anchor::About(found.time)
    }

    /// The last record with a key: on the partition where it belongs, else on any.
    async fn latest(&mut self, topic: &str, key: &str) -> Result<Option<Anchor>, FollowError> {
        let Some(partitions) = self.topics.partitions.get(topic).copied() else {
            return Err(FollowError::UnknownTopic {
                topic: topic.to_owned(),
                program: program::name(),
                similar: self.similar(topic),
            });
        };
        let all = self.of_topic(topic, self.options.since).await?;
        let own = partition::of_key(key.as_bytes(), partitions);
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.partition == own);
        for slices in [own, others] {
            if let Some(last) = self.last(slices, key).await? {
                return Ok(Some(self.is_of(&last).await));
            }
        }
        self.problems.push(format!(
            "topic {topic} has no record with the key {key}{}",
            if self.options.since.is_some() {
                " since then"
            } else {
                ""
            }
        ));
        Ok(None)
    }

    async fn last(&mut self, slices: Vec<Slice>, key: &str) -> Result<Option<Hit>, FollowError> {
        let mut ends: Vec<i64> = slices.iter().map(|slice| slice.until).collect();
        for count in LAST {
            let mut parts = Vec::new();
            for (slice, end) in slices.iter().zip(&mut ends) {
                let from = slice.from.max(slice.until.saturating_sub(count));
                parts.push(Slice {
                    from,
                    until: *end,
                    ..slice.clone()
                });
                *end = from;
            }
            let hits = self.scan(parts, Wanted::key(key.as_bytes())).await?;
            let last = hits
                .into_iter()
                .max_by_key(|hit| (hit.found.time, hit.found.place.offset));
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// The event of a request id. The id is bound to its principal, whose name stands in the command: the
    /// gateway's records of that time are tried.
    async fn request(
        &mut self,
        id: &str,
        request: &RequestId,
    ) -> Result<Option<Anchor>, FollowError> {
        let time = i64::try_from(request.time_ms).unwrap_or(i64::MAX);
        let topics = self.declarations.iter().filter(|declaration| {
            declaration
                .results
                .as_ref()
                .is_some_and(|it| topic_digest(it.name) == request.topic)
        });
        let names: Vec<&'static str> = topics.map(|declaration| declaration.name).collect();
        let stretch = Stretch {
            from: Some(time.saturating_sub(BEFORE_MS)),
            until: Some(time.saturating_add(AFTER_MS)),
        };
        let mut tried: HashSet<Option<String>> = HashSet::new();
        for name in names {
            let partitions = self.topics.partitions.get(name).copied().unwrap_or(0);
            let slices = self
                .slices_of(Topics::only(name, partitions), stretch)
                .await?;
            let hits = self.scan(slices, Wanted::source(SOURCE)).await?;
            for hit in &hits {
                let (_, meta) = self.decoder.found(hit).await;
                let Some(principal) = meta.map(|meta| meta.principal) else {
                    continue;
                };
                if !tried.insert(principal.clone()) {
                    continue;
                }
                let principal = principal.map_or_else(Principal::anonymous, Principal::named);
                if let Some(known) = RequestId::decode(id, &principal) {
                    self.wanted.add(&event_id(&principal, &known.nonce));
                    return Ok(Some(Anchor::Exactly(time)));
                }
            }
        }
        self.problems.push(
            "no command that the gateway sent at the time of this request id belongs to it: it may have \
             failed before Kafka took it, its record may be deleted, or the id is another installation's"
                .into(),
        );
        (self.searched.from, self.searched.until) = (stretch.from, stretch.until);
        Ok(None)
    }

    /// Names of topics that somebody may have meant.
    fn similar(&self, topic: &str) -> String {
        let parts: Vec<&str> = topic
            .split(['-', '_', '.'])
            .filter(|part| part.len() > 2)
            .collect();
        let is_similar = |name: &&String| parts.iter().any(|part| name.contains(part));
        let names = self
            .topics
            .partitions
            .keys()
            .filter(is_similar)
            .take(SIMILAR);
        let names: Vec<&str> = names.map(String::as_str).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!("; did you mean {}?", names.join(", ")),
        }
    }
}
