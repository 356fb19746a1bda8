//! One run of a scenario: what it sends, what it sees and what it found wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::client::{Client, ClientError};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Event, EventMeta, Topic};
use millstream_pipeline::identity::Signer;
use millstream_pipeline::kafka::reader::Seen;
use serde::Serialize;

/// How long a result may take before the scenario fails.
const LIMIT: Duration = Duration::from_secs(30);

/// What `demo` prints of a scenario.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub scenario: &'static str,
    /// Whether every expectation held.
    pub ok: bool,
    /// How long it took.
    pub seconds: f64,
    /// Events sent.
    pub events_in: usize,
    /// Results and dead letters received.
    pub results_out: usize,
    /// Topics that it sent to or received from.
    pub topics: BTreeSet<String>,
    /// What did not hold, in sentences.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Of a scenario that could not begin.
    pub(super) fn not_started(scenario: &'static str, error: &ClientError) -> Self {
        Self {
            scenario,
            ok: false,
            seconds: 0.0,
            events_in: 0,
            results_out: 0,
            topics: BTreeSet::new(),
            failures: vec![error.to_string()],
        }
    }
}

/// A running scenario.
pub struct Run {
    scenario: &'static str,
    /// Addresses of the installation.
    pub endpoints: Endpoints,
    /// Makes keys that no earlier run has used.
    suffix: String,
    client: Client,
    signs: bool,
    events_in: usize,
    results_out: usize,
    topics: BTreeSet<String>,
    failures: Vec<String>,
}

impl Run {
    /// Prepares to send and to see results.
    pub(super) async fn new(
        scenario: &'static str,
        endpoints: &Endpoints,
        topics: &[&'static Declaration],
        signer: Option<Arc<Signer>>,
    ) -> Result<Self, ClientError> {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let client = Client::new(endpoints, topics, "demo").await?;
        Ok(Self {
            scenario,
            endpoints: endpoints.clone(),
            suffix: id[id.len() - 6..].to_owned(),
            signs: signer.is_some(),
            client: match signer {
                Some(signer) => client.signing(signer),
                None => client,
            },
            events_in: 0,
            results_out: 0,
            topics: BTreeSet::new(),
            failures: Vec::new(),
        })
    }

    /// A key that belongs to this run alone.
    pub fn key(&self, name: &str) -> String {
        format!("{name}-{}", self.suffix)
    }

    /// A fresh `meta`.
    pub fn meta(&self) -> EventMeta {
        self.client.meta()
    }

    /// A fresh `meta` of what a user sends, as far as that can be proven here.
    pub fn meta_of(&self, user: &str) -> EventMeta {
        EventMeta {
            principal: self.signs.then(|| user.to_owned()),
            ..self.meta()
        }
    }

    /// Sends an event.
    pub async fn send<T: Topic>(
        &mut self,
        key: &str,
        event: impl Into<T::Event>,
        meta: &EventMeta,
    ) -> anyhow::Result<()> {
        self.client.send::<T>(key, event, Some(meta)).await?;
        self.events_in += 1;
        self.topics.insert(T::DECLARATION.name.to_owned());
        Ok(())
    }

    /// The result of the event with this `meta`.
    pub async fn result_of(&mut self, meta: &EventMeta) -> anyhow::Result<Seen> {
        let seen = self.client.result_of(meta, LIMIT).await?;
        Ok(self.count(seen))
    }

    /// Sends a command and awaits its result, which is expected to be an `R`.
    pub async fn request<T: Topic, R: Event>(
        &mut self,
        key: &str,
        command: impl Into<T::Event>,
    ) -> anyhow::Result<R> {
        let meta = self.meta();
        self.request_with::<T, R>(key, command, &meta).await
    }

    /// The same with this `meta`.
    pub async fn request_with<T: Topic, R: Event>(
        &mut self,
        key: &str,
        command: impl Into<T::Event>,
        meta: &EventMeta,
    ) -> anyhow::Result<R> {
        self.send::<T>(key, command, meta).await?;
        Ok(self.result_of(meta).await?.event::<R>()?)
    }

    /// The first record of a topic with this key; of topics with results, dead letters and what is
    /// meant for somebody outside.
    pub async fn record(&mut self, topic: &str, key: &str) -> anyhow::Result<Seen> {
        let wanted = |seen: &Seen| seen.topic == topic && seen.key.as_deref() == Some(key);
        let what = format!("a record of {key} on {topic}");
        let seen = self.client.wait_for(&what, LIMIT, wanted).await?;
        Ok(self.count(seen))
    }

    /// The records of a topic with this key so far.
    pub fn records(&self, topic: &str, key: &str) -> Vec<Seen> {
        self.client
            .seen(|seen| seen.topic == topic && seen.key.as_deref() == Some(key))
    }

    /// The records of a topic with this key, up to one that `is_last`.
    pub async fn records_until(
        &mut self,
        topic: &str,
        key: &str,
        is_last: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<Vec<Seen>> {
        let is_it =
            |seen: &Seen| seen.topic == topic && seen.key.as_deref() == Some(key) && is_last(seen);
        let what = format!("the last record of {key} on {topic}");
        self.client.wait_for(&what, LIMIT, is_it).await?;
        let records = self.records(topic, key);
        self.results_out += records.len();
        self.topics.insert(topic.to_owned());
        Ok(records)
    }

    /// Whether the event with this `meta` has its result within `limit`.
    pub async fn is_answered_within(&self, meta: &EventMeta, limit: Duration) -> bool {
        self.client.result_of(meta, limit).await.is_ok()
    }

    /// The dead letter of the record of `topic` with this key.
    pub async fn dead_letter(&mut self, topic: &str, key: &str) -> anyhow::Result<Seen> {
        let letters = format!("{topic}-dlq");
        let seen = self
            .client
            .wait_for(&format!("the dead letter of {key}"), LIMIT, |seen| {
                seen.topic == letters && seen.key.as_deref() == Some(key)
            })
            .await?;
        Ok(self.count(seen))
    }

    /// The first result on `T`'s result topic with this key: that of a command which a service sent.
    pub async fn result_for<T: Topic>(&mut self, key: &str) -> anyhow::Result<Seen> {
        let topic = T::DECLARATION.name;
        let results = T::DECLARATION.results.as_ref();
        let results = results.with_context(|| format!("{topic} has no results"))?;
        let seen = self
            .client
            .wait_for(&format!("the result of {key} on {topic}"), LIMIT, |seen| {
                seen.topic == results.name && seen.key.as_deref() == Some(key)
            })
            .await?;
        Ok(self.count(seen))
    }

    fn count(&mut self, seen: Seen) -> Seen {
        self.results_out += 1;
        self.topics.insert(seen.topic.clone());
        seen
    }

    /// Notes what did not hold.
    pub fn fail(&mut self, sentence: impl Into<String>) {
        self.failures.push(sentence.into());
    }

    /// Notes `sentence` unless `actual` is what is expected.
    pub fn expect<V: PartialEq + std::fmt::Debug>(
        &mut self,
        sentence: &str,
        actual: V,
        expected: V,
    ) {
        if actual != expected {
            self.fail(format!("{sentence}: {actual:?} instead of {expected:?}"));
        }
    }

    /// What came of it.
    pub(super) fn finish(self, elapsed: Duration) -> Outcome {
        Outcome {
            scenario: self.scenario,
            ok: self.failures.is_empty(),
            seconds: elapsed.as_secs_f64(),
            events_in: self.events_in,
            results_out: self.results_out,
            topics: self.topics,
            failures: self.failures,
        }
    }
}
