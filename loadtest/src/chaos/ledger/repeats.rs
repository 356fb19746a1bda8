//! Publishes some of the batch ledger's results again, and some of those that are published once: what
//! becomes of a batch that is repeated where results are not in its transaction. The suite must find them.

use std::collections::HashMap;
use std::convert::Infallible;

use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_pipeline::kafka::reader::{From, Next, Reader};

use super::catalogue::TOPICS;
use super::event::Book;
use super::watch::{once_of, results_of};

/// Of so many results of a topic one is repeated.
const REPEATED: u64 = 10;

/// Repeats some of what comes, until the process ends.
pub async fn results(endpoints: Endpoints) -> anyhow::Result<Infallible> {
    let mut topics = vec![results_of(Book::Batch).to_owned()];
    topics.extend(once_of(Book::Main).map(str::to_owned));
    let config = kafka::client(&endpoints.kafka);
    let codec = Codec::new(&endpoints.schema_registry, TOPICS)?;
    let publisher = Publisher::new(config.clone())?;
    let mut reader = Reader::new(config, &topics, From::End).await?;
    let mut counts = HashMap::<String, u64>::new();
    loop {
        let Ok(Next::Record(seen)) = reader.next(&codec).await else {
            continue;
        };
        let count = counts.entry(seen.topic.clone()).or_default();
        *count += 1;
        if count.is_multiple_of(REPEATED) {
            let again = Record {
                topic: seen.topic,
                key: seen.raw_key,
                value: seen.value,
                headers: seen.raw_headers,
            };
            publisher.publish(&again).await?;
        }
    }
}
