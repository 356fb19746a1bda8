//! What readers of a result topic see, by the reader rule.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::EventMeta;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_pipeline::sequence::{self, Verdict};

use crate::support::{Bench, LIMIT, until};

/// All records of a topic, as they are.
pub async fn records(endpoints: &Endpoints, codec: &Codec, topic: &str) -> Vec<Seen> {
    let config = kafka::client(&endpoints.kafka);
    let topics = [topic.to_owned()];
    let mut reader = Reader::new(config, &topics, From::Beginning).await.unwrap();
    let mut records = Vec::new();
    let read = async {
        loop {
            match reader.next(codec).await {
                Ok(Next::Record(record)) => records.push(*record),
                Ok(Next::End) => return,
                // librdkafka connects again by itself; it only tells that it has to.
                Err(error) => tracing::debug!(%error, "reading"),
            }
        }
    };
    let whole = tokio::time::timeout(LIMIT, read).await;
    whole.unwrap_or_else(|_| panic!("{topic} is not read to its end within {LIMIT:?}"));
    records
}

/// How many answers to each event a reader accepts.
fn accepted(records: &[Seen]) -> BTreeMap<String, usize> {
    let mut readers: HashMap<_, sequence::Reader> = HashMap::new();
    let mut ids = HashSet::new();
    let mut accepted = BTreeMap::new();
    for record in records {
        let meta = record.meta.clone().unwrap();
        let reader = readers
            .entry((record.key.clone(), meta.source, meta.epoch))
            .or_default();
        // What has no number is told by its id.
        if meta.seq.is_none() && !ids.insert(meta.id) {
            continue;
        }
        let mut digest = DefaultHasher::new();
        record.value.hash(&mut digest);
        let verdict = match meta.seq {
            Some(seq) => reader.see(seq, digest.finish()),
            None => Verdict::Accept,
        };
        assert!(
            matches!(verdict, Verdict::Accept | Verdict::Duplicate),
            "{verdict:?}: number {:?} of {:?}",
            meta.seq,
            record.key
        );
        if verdict.is_accepted() {
            *accepted.entry(meta.causation_id.unwrap()).or_default() += 1;
        }
    }
    accepted
}

/// Waits until each command is answered, and checks that a reader sees each answer once.
pub async fn answered_once(
    bench: &Bench,
    endpoints: &Endpoints,
    topic: &str,
    commands: &[EventMeta],
) {
    let missing = |accepted: &BTreeMap<String, usize>| {
        commands
            .iter()
            .filter(|meta| !accepted.contains_key(&meta.id))
            .count()
    };
    let accepted = until(&format!("every answer on {topic}"), async || {
        let accepted = accepted(&records(endpoints, &bench.codec, topic).await);
        (missing(&accepted) == 0).then_some(accepted)
    })
    .await;
    for command in commands {
        assert_eq!(accepted[&command.id], 1, "answers to {}", command.id);
    }
}
