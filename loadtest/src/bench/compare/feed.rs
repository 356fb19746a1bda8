//! The commands: the same keys and values for everybody, as a backlog or at a steady rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::events::{Bytes, Event, EventMeta, Topic as _};
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::record::cloudevents;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use uuid::Uuid;

use super::counts::Counts;
use crate::chaos::ledger::catalogue::{CountsBatch, counts, counts_batch};
use crate::probe::process::now_micros;

/// How long Kafka may take to acknowledge what was sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(60);
/// Pause while the producer's queue is full.
const FULL: Duration = Duration::from_millis(5);
/// How exactly the schedule of a steady rate is kept.
const TICK: Duration = Duration::from_millis(1);

/// How many commands are due after this time at this many a second: the first of them at once.
fn due(elapsed: Duration, rate: f64) -> usize {
    (elapsed.as_secs_f64() * rate) as usize + 1
}

/// Sends commands.
pub struct Feed {
    codec: Arc<Codec>,
    backlog: ThreadedProducer<DefaultProducerContext>,
    prompt: ThreadedProducer<DefaultProducerContext>,
    payload: Vec<u8>,
}

impl Feed {
    /// Commands with so many bytes of payload.
    pub fn new(kafka: &str, codec: Arc<Codec>, payload: usize) -> anyhow::Result<Self> {
        let producer = |linger: &str| {
            let mut config = millstream_pipeline::kafka::client(kafka);
            millstream_pipeline::kafka::producer(&mut config)
                .set("linger.ms", linger)
                .set("queue.buffering.max.kbytes", "262144")
                .create()
        };
        Ok(Self {
            codec,
            backlog: producer("5")?,
            prompt: producer("0")?,
            payload: vec![b'x'; payload],
        })
    }

    /// Sends `events` commands as fast as they go, and waits until Kafka has them.
    pub async fn backlog(
        &self,
        topic: &str,
        counts: &mut Counts,
        events: usize,
    ) -> anyhow::Result<()> {
        for _ in 0..events {
            let (key, _) = counts.next();
            let key = counts.key(key);
            let record = self.record(topic, &key, now_micros()).await?;
            send(&self.backlog, &record).await?;
        }
        tokio::task::block_in_place(|| self.backlog.flush(FLUSH_LIMIT))
            .context("Kafka does not acknowledge the backlog")
    }

    /// Sends `events` commands at `rate` a second, whatever becomes of them. `sent` is told of each
    /// the key, its number among the commands of that key, and when it was to be sent.
    pub async fn steadily(
        &self,
        topic: &str,
        counts: &mut Counts,
        events: usize,
        rate: f64,
        mut sent: impl FnMut(usize, i64, i64),
    ) -> anyhow::Result<()> {
        let (begin, begin_micros) = (Instant::now(), now_micros());
        let mut tick = tokio::time::interval(TICK);
        let mut done = 0;
        while done < events {
            tick.tick().await;
            while done < due(begin.elapsed(), rate).min(events) {
                let planned = begin_micros + (done as f64 / rate * 1e6) as i64;
                let (key, number) = counts.next();
                sent(key, number, planned);
                let key = counts.key(key);
                send(&self.prompt, &self.record(topic, &key, planned).await?).await?;
                done += 1;
            }
        }
        Ok(())
    }

    async fn record(&self, topic: &str, key: &str, sent_at: i64) -> anyhow::Result<Record> {
        let id = Uuid::now_v7().to_string();
        let meta = EventMeta {
            id: id.clone(),
            source: "loadtest".into(),
            time: sent_at,
            correlation_id: id,
            idempotency_key: Some(Uuid::now_v7().to_string()),
            ..EventMeta::default()
        };
        let payload = Bytes(self.payload.clone());
        // The same bytes under another name.
        let (body, name) = match topic == CountsBatch::DECLARATION.name {
            true => (
                EncodedBody::of(&counts_batch::CountOne { sent_at, payload }),
                counts_batch::CountOne::FULL_NAME,
            ),
            false => (
                EncodedBody::of(&counts::CountOne { sent_at, payload }),
                counts::CountOne::FULL_NAME,
            ),
        };
        let body = body.context("an event is no set of none")??;
        let value = self.codec.join(&body, Some(&meta)).await?;
        Ok(cloudevents::record(topic, key, name, &meta, value))
    }
}

async fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    record: &Record,
) -> anyhow::Result<()> {
    let mut outgoing = BaseRecord::<[u8], [u8]>::to(&record.topic).headers(record.owned_headers());
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    loop {
        match producer.send(outgoing) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                outgoing = again;
                tokio::time::sleep(FULL).await;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schedule that is late by one command looks like a latency of one pause, which at four a second
    /// was nearly all of what was measured.
    #[test]
    fn a_command_is_due_when_its_time_has_come() {
        let at = |millis| due(Duration::from_millis(millis), 4.0);
        assert_eq!([0, 249, 250, 499, 1000].map(at), [1, 1, 2, 2, 5]);
    }
}
