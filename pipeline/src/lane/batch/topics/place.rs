//! Which topics a shard has, and how much of them it takes at a time.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaResult;

/// A partition of a service.
#[derive(Debug, Clone)]
pub struct Place {
    /// The service's topics. All have the same number of partitions.
    pub topics: Vec<String>,
    /// The compacted topic with the states of its keys, and as many partitions.
    pub state_topic: String,
    /// The partition.
    pub partition: i32,
    /// The group whose offsets tell Kafka's tools up to where the topics are decided.
    pub group: String,
    /// The producer's id, the same in all processes.
    pub transactional_id: String,
    /// Raised when its topics are decided anew, from their beginnings and with no states.
    pub generation: u32,
    /// Whether records are read with their headers.
    pub headers: bool,
    /// How much a batch has at most.
    pub limits: Limits,
}

/// How much a batch has at most, and a shard in memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes of their values.
    pub bytes: usize,
    /// How long after one batch the next is handed over at the earliest, unless it is full: what has
    /// come by then belongs to it.
    pub interval: Duration,
    /// How long a lease waits for a batch's first.
    pub idle: Duration,
    /// Bytes of states that a shard keeps in memory. The others lie in a file in the system's
    /// temporary folder.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: 2000,
            bytes: 8 * 1024 * 1024,
            interval: Duration::from_millis(50),
            idle: Duration::from_millis(500),
            memory: 128 * 1024 * 1024,
        }
    }
}

impl Place {
    /// The partition `partition` of `service`, whose name is in PascalCase as Restate knows it.
    pub fn new(prefix: &str, service: &str, topics: &[&str], partition: i32) -> Self {
        let group = crate::kafka::group::of_lane(prefix, service);
        Self {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            state_topic: format!("{}-state", kebab_case(service)),
            partition,
            transactional_id: format!("{group}.{partition}"),
            group,
            generation: 1,
            headers: false,
            limits: Limits::default(),
        }
    }

    /// Its partition of each topic, from these offsets on.
    pub(super) fn at(&self, offsets: &[i64]) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (topic, offset) in self.topics.iter().zip(offsets) {
            list.add_partition_offset(topic, self.partition, rdkafka::Offset::Offset(*offset))?;
        }
        Ok(list)
    }
}

/// `UsageMeter` as `usage-meter`.
pub(in crate::lane::batch) fn kebab_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_service() {
        let place = Place::new("shop", "UsageMeter", &["usage-records"], 7);
        assert_eq!(place.state_topic, "usage-meter-state");
        assert_eq!(place.group, "shop.UsageMeter");
        assert_eq!(place.transactional_id, "shop.UsageMeter.7");
    }
}
