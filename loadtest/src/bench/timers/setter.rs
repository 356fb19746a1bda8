//! Sets very many timers.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Bytes, EventMeta, Timers, Topic, timers::SetTimer};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::{Publisher, Record};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_topics::{OutboundEmails, TOPICS};
use uuid::Uuid;

use crate::probe::broker::Broker;
use crate::probe::process::now_micros;

/// How many records wait for their acknowledgement at once.
const IN_FLIGHT: usize = 1_000;
/// Nothing goes on for so long: it never will.
const STUCK: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// Everything that setting takes.
pub struct Setter {
    /// Where the stack is.
    pub endpoints: Endpoints,
    /// Part of every key.
    pub run: String,
    pub broker: Broker,
    pub codec: Codec,
    pub publisher: Publisher,
    http: reqwest::Client,
}

impl Setter {
    pub fn new(endpoints: Endpoints) -> anyhow::Result<Self> {
        Ok(Self {
            run: format!("loadtest-{}", Uuid::now_v7()),
            broker: Broker::new(&endpoints.kafka)?,
            codec: Codec::new(&endpoints.schema_registry, TOPICS)?,
            publisher: Publisher::new(kafka::client(&endpoints.kafka))?,
            http: millstream_pipeline::http::builder().no_proxy().build()?,
            endpoints,
        })
    }

    /// The process id of a part of the stack.
    pub fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let pid = self.endpoints.pids.get(name).copied();
        pid.with_context(|| format!("dev.json names no process {name}"))
    }

    /// Sets a timer for each of these times, in microseconds since 1970-01-01 UTC, and waits until
    /// the last is set; how many seconds that took.
    pub async fn set(&self, due: impl Iterator<Item = i64>) -> anyhow::Result<f64> {
        let before = self.handled().await?;
        let started = Instant::now();
        let count = stream::iter(due.enumerate())
            .map(|(number, due)| self.set_one(number, due))
            .buffer_unordered(IN_FLIGHT)
            .try_fold(0_u64, |count, ()| async move { Ok(count + 1) })
            .await?;
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let handled = self.handled().await? - before;
            if handled >= count {
                return Ok(started.elapsed().as_secs_f64());
            }
            if handled > last {
                (last, since) = (handled, Instant::now());
            }
            ensure!(
                since.elapsed() < STUCK,
                "{handled} of {count} timers are set and nothing goes on"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sets a timer for this time, with this number in its key.
    pub async fn set_one(&self, number: usize, due: i64) -> anyhow::Result<()> {
        let key = format!("{}-{due}-{number}", self.run);
        let mail = SendEmail {
            recipient: "nobody".into(),
            subject: key.clone(),
            body: "A mail of usual length, which says what most mails say.".into(),
        };
        let meta = self.meta(due);
        let set = SetTimer {
            topic: OutboundEmails::DECLARATION.name.into(),
            key: key.clone(),
            value: Bytes(self.value(&mail, &meta).await?),
        };
        let meta = EventMeta {
            not_before: Some(due),
            ..self.meta(now_micros())
        };
        let record = Record {
            topic: Timers::DECLARATION.name.to_owned(),
            value: Some(self.value(&set, &meta).await?),
            key: Some(key.into_bytes()),
            headers: Vec::new(),
        };
        self.publisher.publish(&record).await?;
        Ok(())
    }

    fn meta(&self, time: i64) -> EventMeta {
        let id = Uuid::now_v7().to_string();
        EventMeta {
            correlation_id: id.clone(),
            id,
            source: "loadtest".into(),
            time,
            ..EventMeta::default()
        }
    }

    async fn value<E: millstream_pipeline::events::EventSet>(
        &self,
        event: &E,
        meta: &EventMeta,
    ) -> anyhow::Result<Vec<u8>> {
        let body = EncodedBody::of(event).context("every event has a body")??;
        Ok(self.codec.join(&body, Some(meta)).await?)
    }

    /// Events of the topic `timers` that the handlers are done with.
    async fn handled(&self) -> anyhow::Result<u64> {
        let answer = self.http.get(&self.endpoints.metrics).send().await?;
        let text = answer.error_for_status()?.text().await?;
        let handled = text
            .lines()
            .filter(|line| line.starts_with("millstream_events_total{"))
            .filter(|line| line.contains("topic=\"timers\"") && line.contains("code=\"ok\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(handled.sum::<f64>() as u64)
    }
}
