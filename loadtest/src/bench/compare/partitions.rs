//! The topics of the counts with another number of partitions than their files say.

use millstream_pipeline::events::{Declaration, ResultTopic, Topic};

use crate::chaos::ledger::catalogue::{self, Counts, CountsBatch};

/// The number that the files say.
pub const USUAL: i32 = Counts::DECLARATION.partitions;
/// The service in the batch lane: its topics begin with it.
pub const BATCH_COUNTER: &str = "batch-counter";

/// `counts-batch` with so many partitions. The batch lane looks up in the topic's type where a key belongs.
pub struct CountsAmong<const PARTITIONS: i32>;

impl<const PARTITIONS: i32> Topic for CountsAmong<PARTITIONS> {
    const DECLARATION: &'static Declaration = &among(CountsBatch::DECLARATION, PARTITIONS);
    type Event = <CountsBatch as Topic>::Event;
    type Result = <CountsBatch as Topic>::Result;
}

/// All topics, those of the counts with so many partitions. They are kept for as long as the process runs,
/// as those are that the files declare.
pub fn topics(partitions: i32) -> Vec<&'static Declaration> {
    let all = catalogue::TOPICS.iter().copied();
    all.map(|topic| match is_of_counts(topic) {
        true => &*Box::leak(Box::new(among(topic, partitions))),
        false => topic,
    })
    .collect()
}

fn is_of_counts(topic: &Declaration) -> bool {
    let own = [Counts::DECLARATION.name, CountsBatch::DECLARATION.name];
    own.contains(&topic.name) || topic.name.starts_with(BATCH_COUNTER)
}

/// What a topic's file says, but for the partitions.
const fn among(file: &Declaration, partitions: i32) -> Declaration {
    let results = match &file.results {
        Some(results) => Some(ResultTopic {
            partitions,
            ..*results
        }),
        None => None,
    };
    Declaration {
        partitions,
        results,
        ..*file
    }
}
