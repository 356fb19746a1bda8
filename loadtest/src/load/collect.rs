//! The thread that reads result topics.
//!
//! A record is looked at by its headers alone: which request it belongs to, which event caused it,
//! its own id. Only failures are decoded, for their codes.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::codec::{Codec, Payload};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Event, RequestFailed};
use millstream_pipeline::record::cloudevents::{CAUSATION_ID, TYPE};
use millstream_pipeline::record::each_header;
use millstream_pipeline::record::wire;
use millstream_topics::TOPICS;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::outlet::Account;
use super::track::Answer;
use crate::probe::broker;

/// How often a thread without results looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Starts it, from the ends of these topics.
pub fn start(
    endpoints: &Endpoints,
    topics: Vec<&'static str>,
    run: &str,
    account: Account,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let mut config = millstream_pipeline::kafka::client(&endpoints.kafka);
    let consumer: BaseConsumer = config
        .set("group.id", "loadtest")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        // Bounded memory, without the usual second's pause after a full queue.
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    consumer.assign(&ends(&consumer, &topics)?)?;
    let codec = Codec::new(&endpoints.schema_registry, TOPICS)?;
    let (prefix, runtime) = (format!("{run}-"), Handle::current());
    thread::Builder::new()
        .name("collect".into())
        .spawn(move || {
            while !stop.is_cancelled() {
                match consumer.poll(LOOK) {
                    Some(Ok(message)) => {
                        let at = account.clock.now();
                        if let Some(mut answer) = answer(&message, &prefix) {
                            answer.at = at;
                            if answer.failed.is_some() {
                                let code = code(&runtime, &codec, &message);
                                answer.failed = Some(code.unwrap_or_else(|| "unreadable".into()));
                            }
                            account.tracker().answered(answer);
                        }
                    }
                    // librdkafka reconnects by itself; it only tells that it has to.
                    Some(Err(error)) => tracing::debug!(%error, "reading results"),
                    None => {}
                }
            }
        })
        .context("no thread can be made")
}

fn ends(consumer: &BaseConsumer, topics: &[&str]) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let found = broker::ends(consumer, topic)?;
        let found =
            found.with_context(|| format!("Kafka has no topic {topic}; run `millstream apply`"))?;
        for (partition, end) in found {
            list.add_partition_offset(topic, partition, Offset::Offset(end))?;
        }
    }
    Ok(list)
}

/// The answer that a record is to a command of the run whose ids begin with `prefix`.
///
/// A request may cause further events, which have its correlation id as well: the answer is the one
/// that the command itself caused.
fn answer(message: &BorrowedMessage<'_>, prefix: &str) -> Option<Answer> {
    let headers = message.headers()?;
    let header = |name: &str| {
        let found = each_header(headers).find(|header| header.key == name)?;
        std::str::from_utf8(found.value?).ok()
    };
    of_headers(header, message.payload().unwrap_or_default(), prefix)
}

fn of_headers<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    value: &[u8],
    prefix: &str,
) -> Option<Answer> {
    let number = |id: &str| id.strip_prefix(prefix)?.parse().ok();
    let correlated: usize = number(header("ce_correlationid")?)?;
    let number = match header(CAUSATION_ID) {
        Some(cause) => number(cause)?,
        None => correlated,
    };
    let is_failure = header(TYPE) == Some(RequestFailed::FULL_NAME);
    Some(Answer {
        number,
        at: 0,
        id: digest(header("ce_id").unwrap_or_default()),
        value: digest(value),
        failed: is_failure.then(String::new),
    })
}

fn digest(of: impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    // The upper half is as good as the lower.
    (hasher.finish() >> 32) as u32
}

/// The code of a failure.
fn code(runtime: &Handle, codec: &Codec, message: &BorrowedMessage<'_>) -> Option<String> {
    let (schema, body) = wire::split(message.payload()?).ok()?;
    let writer = runtime.block_on(codec.writer(schema)).ok()?;
    let failed = Payload::new(&writer, body).and_then(|it| it.decode::<RequestFailed>());
    let failed = failed.ok()?;
    Some(failed.event.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &'static str)]) -> Option<Answer> {
        let header = |name: &str| {
            let found = headers.iter().find(|(known, _)| *known == name)?;
            Some(found.1)
        };
        of_headers(header, b"value", "run-")
    }

    #[test]
    fn the_answer_is_what_the_command_itself_caused() {
        let of = |cause| {
            read(&[
                ("ce_correlationid", "run-7"),
                ("ce_causationid", cause),
                ("ce_id", "x"),
                ("ce_type", "millstream.tasks.TaskCompleted"),
            ])
        };
        assert_eq!(
            of("run-7").map(|it| (it.number, it.failed)),
            Some((7, None))
        );
        // Something that happened further on in the same request.
        assert!(of("f6780559950fe3477ec5ec7e3d29dc63").is_none());
    }

    #[test]
    fn other_runs_and_other_clients_mean_nothing() {
        assert!(read(&[("ce_correlationid", "other-7")]).is_none());
        assert!(read(&[]).is_none());
        assert!(read(&[("ce_correlationid", "run-x")]).is_none());
        let failed = read(&[
            ("ce_correlationid", "run-7"),
            ("ce_type", RequestFailed::FULL_NAME),
        ]);
        assert!(failed.is_some_and(|it| it.number == 7 && it.failed.is_some()));
    }
}
