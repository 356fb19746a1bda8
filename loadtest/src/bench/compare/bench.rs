//! A stack of its own, and the peers on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_control::restate::Restate;
use millstream_control::{DEFAULT_PREFIX, Settings};
use millstream_devstack::{DevStack, Options, Part, Progress};
use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Declaration;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

use super::counts::Counts;
use super::feed::Feed;
use super::partitions::{self, BATCH_COUNTER};
use super::peer::{Fed, Peer};
use super::process::Process;
use super::side::{Measured, Side};
use super::watch::Fetch;
use crate::chaos::ledger::catalogue;
use crate::probe::broker::{Broker, Ends};
use crate::probe::{log_records, process};

/// Leases of the service in the batch lane that run.
const LEASES: &str = "SELECT id FROM sys_invocation WHERE target_service_name = 'BatchCounter' AND status <> 'completed'";
/// How often it is looked whether a round has ended. What counts is measured by other clocks.
const LOOK: Duration = Duration::from_millis(20);
/// How long nothing may happen before a round has failed.
const STUCK: Duration = Duration::from_secs(60);

/// What a peer needs to know.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where Kafka and the registry are.
    pub endpoints: Endpoints,
    /// For logs and state.
    pub logs: PathBuf,
    /// Restate's public key, where its signatures are to be checked.
    pub identity_key: Option<String>,
    /// Of each topic.
    pub partitions: i32,
    /// Milliseconds after which the next batch is taken, if it is not full before.
    pub batch_interval: u64,
}

/// The stack.
pub struct Bench {
    stack: DevStack,
    pub place: Place,
    pub codec: Arc<Codec>,
    pub broker: Broker,
    restate: Restate,
    /// How many sets of keys there were.
    sides: AtomicU64,
    _folder: TempDir,
}

/// What must be undone when consuming is to end.
pub struct Consuming(Option<String>);

impl Bench {
    /// Starts Kafka, Restate and the registry on other ports and with fresh data, for topics with so many
    /// partitions.
    pub async fn start(signed: bool, partitions: i32, batch_interval: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let stack = DevStack::start(Options {
            folder: folder.path().join("stack"),
            parts: [Part::Kafka, Part::Restate, Part::Registry].into(),
            fresh: true,
            announce: false,
            usual_ports: false,
            progress: Progress::stderr(),
            ..Options::new(std::env::current_exe()?)
        })
        .await?;
        let endpoints = stack.endpoints();
        let identity_key = endpoints.identity_key.clone().filter(|_| signed);
        let broker = Broker::new(&endpoints.kafka)?;
        // Before the declarations do it: its records are to say when the broker took them.
        for peer in [Peer::Millstream, Peer::MillstreamBatch] {
            let results = peer.results().context("it has no results")?;
            broker.create_stamped_topic(&results, partitions).await?;
        }
        Ok(Self {
            codec: Arc::new(Codec::new(&endpoints.schema_registry, catalogue::TOPICS)?),
            restate: Restate::new(&endpoints.restate_admin)?,
            place: Place {
                logs: stack.folder().join("logs"),
                endpoints,
                identity_key,
                partitions,
                batch_interval,
            },
            broker,
            sides: AtomicU64::new(0),
            stack,
            _folder: folder,
        })
    }

    /// Stops it.
    pub async fn stop(self) {
        self.stack.stop().await;
    }

    /// Starts a peer and makes its topics; nothing is consumed yet.
    pub async fn side(&self, peer: Peer, keys: usize) -> anyhow::Result<Side> {
        self.side_with(peer, keys, 0).await
    }

    /// The same with bytes that the states of our own counter carry along.
    pub async fn side_with(&self, peer: Peer, keys: usize, ballast: usize) -> anyhow::Result<Side> {
        self.prepare(peer, keys, ballast)
            .await
            .with_context(|| format!("{} cannot be started", peer.name()))
    }

    async fn prepare(&self, peer: Peer, keys: usize, ballast: usize) -> anyhow::Result<Side> {
        let topics = [Some(peer.topic()), peer.results()];
        for topic in topics.into_iter().flatten() {
            self.broker
                .create_stamped_topic(&topic, self.place.partitions)
                .await?;
        }
        let process = Process::start(peer, &self.place, ballast).await?;
        let side = Side::new(peer, self.fresh_counts(keys), process)?;
        match (peer, side.url()) {
            (Peer::Millstream | Peer::MillstreamBatch, Some(url)) => {
                let settings = Settings {
                    handlers: Some(url.to_owned()),
                    force: true,
                    ..Settings::default()
                };
                let endpoints = &self.place.endpoints;
                let topics = self.declared(peer);
                let plan = millstream_control::plan(&topics, endpoints, &settings).await?;
                millstream_control::apply(&plan, endpoints, |_| {}).await?;
                // A round makes its own.
                for subscription in self.restate.subscriptions().await? {
                    self.restate.delete_subscription(&subscription.id).await?;
                }
            }
            (_, Some(url)) => {
                self.restate.register_deployment(url, true).await?;
            }
            (_, None) => {}
        }
        Ok(side)
    }

    /// Keys that were never counted: what an earlier side counted stays where it is kept.
    pub fn fresh_counts(&self, keys: usize) -> Counts {
        let prefix = self.sides.fetch_add(1, Ordering::Relaxed);
        Counts::new(&format!("counter-{prefix}"), keys)
    }

    /// The ends of a topic.
    pub fn ends(&self, topic: &str) -> anyhow::Result<Ends> {
        self.broker.ends(topic, self.place.partitions)
    }

    /// The topics of one of our own sides, with those that belong to its service.
    fn declared(&self, peer: Peer) -> Vec<&'static Declaration> {
        let topics = partitions::topics(self.place.partitions).into_iter();
        let of_service = |topic: &&Declaration| {
            topic.name == peer.topic()
                || peer == Peer::MillstreamBatch && topic.name.starts_with(BATCH_COUNTER)
        };
        topics.filter(of_service).collect()
    }

    /// Lets the side take what is in the topic that its subscription reads, from `from` on.
    pub async fn consume(&self, side: &mut Side, from: &Ends) -> anyhow::Result<Consuming> {
        let Fed::BySubscription(sink) = side.peer.fed() else {
            side.tell("start").await?;
            return Ok(Consuming(None));
        };
        let topic = side.peer.subscribed();
        let group = format!("{topic}-{}", Uuid::now_v7());
        self.broker.commit(&group, &topic, from).await?;
        let options = BTreeMap::from([
            ("group.id".to_owned(), group),
            ("auto.offset.reset".to_owned(), "earliest".to_owned()),
        ]);
        let source = format!("kafka://{DEFAULT_PREFIX}/{topic}");
        let id = self
            .restate
            .create_subscription(&source, sink, &options)
            .await?;
        Ok(Consuming(Some(id)))
    }

    /// Ends that.
    pub async fn rest(&self, side: &mut Side, consuming: Consuming) -> anyhow::Result<()> {
        let Some(id) = consuming.0 else {
            return side.tell("stop").await;
        };
        self.restate.delete_subscription(&id).await?;
        // A lease outlives its work order, and would take what is produced while nobody watches.
        let begun = Instant::now();
        while !self.restate.query::<Value>(LEASES).await?.is_empty() {
            ensure!(begun.elapsed() < STUCK, "a lease does not end");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How fast a side works off `events` waiting commands.
    pub async fn drain(
        &self,
        side: &mut Side,
        feed: &Feed,
        events: usize,
    ) -> anyhow::Result<Measured> {
        let name = side.peer.name();
        self.try_drain(side, feed, events)
            .await
            .with_context(|| format!("{name} did not do its work"))
    }

    async fn try_drain(
        &self,
        side: &mut Side,
        feed: &Feed,
        events: usize,
    ) -> anyhow::Result<Measured> {
        let topic = side.peer.topic();
        let from = self.ends(&side.peer.subscribed())?;
        feed.backlog(&topic, &mut side.counts, events).await?;
        side.watch(self, Fetch::Gathered)?;
        let log = self.log_records().await;
        let before = self.cpu(side)?;
        let consuming = self.consume(side, &from).await?;
        let done = self.done(side, events as u64).await;
        let after = self.cpu(side)?;
        self.rest(side, consuming).await?;
        done?;
        let seen = side.end_watch().await?;
        let log_records = match (log, self.log_records().await) {
            (Some(before), Some(after)) => Some((after - before) / events as f64),
            _ => None,
        };
        let [restate, kafka, handler] = std::array::from_fn(|at| after[at] - before[at]);
        Ok(Measured {
            events,
            seconds: seen.seconds,
            rate: events as f64 / seen.seconds,
            restate_cpu: restate,
            kafka_cpu: kafka,
            handler_cpu: handler,
            log_records: log_records.filter(|_| matches!(side.peer.fed(), Fed::BySubscription(_))),
            copies: seen.copies,
        })
    }

    /// Waits until the side has done `wanted` events since it is watched.
    pub async fn done(&self, side: &mut Side, wanted: u64) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let done = side.done();
            if done >= wanted {
                return Ok(());
            }
            side.check().await?;
            if done > last {
                (last, since) = (done, Instant::now());
            }
            ensure!(
                since.elapsed() < STUCK,
                "{done} of {wanted} events are done and nothing goes on; see {}",
                self.place.logs.display()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// CPU seconds so far of Restate, Kafka and the side's own process.
    fn cpu(&self, side: &Side) -> anyhow::Result<[f64; 3]> {
        let pids = &self.place.endpoints.pids;
        let of = |name: &str| {
            let pid = pids
                .get(name)
                .with_context(|| format!("no pid of {name}"))?;
            process::cpu_seconds(*pid)
        };
        Ok([
            of("restate")?,
            of("kafka")?,
            process::cpu_seconds(side.pid)?,
        ])
    }

    async fn log_records(&self) -> Option<f64> {
        let port = self.stack.ports().restate_node;
        log_records::so_far(&format!("http://127.0.0.1:{port}/metrics")).await
    }
}
