//! Both sides on a running stack: topics, deployment, subscriptions, one round of either.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_control::restate::{ActualSubscription, Restate};
use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::Publisher;
use millstream_topics::{ProductReservations, TOPICS};
use uuid::Uuid;

use super::broker::{Broker, Ends};
use super::commands::{self, Commands};
use super::log_records;
use super::noop::{self, Noop};
use super::process;
use super::results;
use super::side::{Measured, Side};

const PIPELINE: &Declaration = ProductReservations::DECLARATION;
/// As many as `product-reservations` has.
const PARTITIONS: i32 = PIPELINE.partitions;
/// How often it is looked whether a round has ended. What counts is measured by other clocks.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing may happen before a round has failed.
const STUCK: Duration = Duration::from_secs(60);
/// What a subscription has of its own; the server adds others.
const OPTIONS: [&str; 3] = ["group.id", "auto.offset.reset", "client.id"];

/// Everything that rounds need.
pub struct Rig {
    /// Where the stack is.
    pub endpoints: Endpoints,
    run: String,
    broker: Broker,
    codec: Codec,
    publisher: Publisher,
    restate: Restate,
    restate_metrics: Option<String>,
    noop: Noop,
    /// The subscription that the stack had when we came.
    declared: ActualSubscription,
    sink: String,
}

impl Rig {
    /// Makes the topic and the object that does nothing, and takes the subscription away.
    pub async fn set_up(
        endpoints: Endpoints,
        restate_metrics: Option<String>,
    ) -> anyhow::Result<Self> {
        let broker = Broker::new(&endpoints.kafka)?;
        broker.create_topic(noop::TOPIC, PARTITIONS).await?;
        let restate = Restate::new(&endpoints.restate_admin)?;
        let noop = Noop::serve(None)?;
        restate.register_deployment(&noop.url, true).await?;
        let to = PIPELINE
            .subscriptions
            .first()
            .context("product-reservations has no subscription")?;
        let sink = format!("service://{}/{}", to.service, to.handler);
        let mut found = Vec::new();
        for subscription in restate.subscriptions().await? {
            if subscription.sink == sink {
                found.push(subscription);
            } else if subscription.sink == noop::SINK {
                // An earlier run was killed.
                restate.delete_subscription(&subscription.id).await?;
            }
        }
        ensure!(
            found.len() == 1,
            "{} subscriptions lead to {sink}; there must be one: run `millstream apply --prune`",
            found.len()
        );
        let declared = found.swap_remove(0);
        restate.delete_subscription(&declared.id).await?;
        let client = kafka::client(&endpoints.kafka);
        Ok(Self {
            run: format!("loadtest-{}", Uuid::now_v7()),
            codec: Codec::new(&endpoints.schema_registry, TOPICS)?,
            publisher: Publisher::new(client)?,
            endpoints,
            broker,
            restate,
            restate_metrics,
            noop,
            declared,
            sink,
        })
    }

    /// New commands to the keys of this run.
    pub async fn commands(&self, events: usize, keys: usize) -> anyhow::Result<Commands> {
        commands::encode(&self.codec, &self.run, events, keys).await
    }

    /// One side's round.
    pub async fn round(&self, side: Side, commands: &Commands) -> anyhow::Result<Measured> {
        let (topic, sink, process) = match side {
            Side::Noop => (noop::TOPIC, noop::SINK, std::process::id()),
            Side::Pipeline => (PIPELINE.name, self.sink.as_str(), self.pid("handlers")?),
        };
        let (restate, kafka) = (self.pid("restate")?, self.pid("kafka")?);
        let group = format!("{}-{}", self.run, Uuid::now_v7());
        self.broker
            .commit(&group, topic, &self.broker.ends(topic, PARTITIONS)?)
            .await?;
        commands.produce(&self.publisher, topic).await?;
        self.noop.counter.reset();
        let results = self.results()?;
        let log_records = self.log_records().await;
        let cpu = || {
            anyhow::Ok(
                [restate, kafka, process]
                    .map(process::cpu_seconds)
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()?,
            )
        };
        let before = cpu()?;
        let options = BTreeMap::from([
            ("group.id".to_owned(), group),
            ("auto.offset.reset".to_owned(), "earliest".to_owned()),
        ]);
        let source = format!("{}/{topic}", self.cluster());
        let subscription = self
            .restate
            .create_subscription(&source, sink, &options)
            .await?;
        let wanted = commands.ids.len() as u64;
        let ended = match side {
            Side::Noop => self.ended(wanted, || Ok(self.noop.counter.handled())).await,
            Side::Pipeline => {
                self.ended(wanted, || Ok(self.results()?.since(&results)))
                    .await
            }
        };
        let after = cpu()?;
        self.restate.delete_subscription(&subscription).await?;
        ended?;
        let seconds = match side {
            Side::Noop => self.noop.counter.seconds(),
            Side::Pipeline => {
                let (topic, ends) = (result_topic()?, self.results()?);
                results::check(
                    &self.broker,
                    &self.codec,
                    topic,
                    (&results, &ends),
                    &commands.ids,
                )
                .await?
            }
        };
        let log_records = match (log_records, self.log_records().await) {
            (Some(before), Some(after)) => Some((after - before) / wanted as f64),
            _ => None,
        };
        let used = |at: usize| after[at] - before[at];
        Ok(Measured {
            rate: wanted as f64 / seconds,
            seconds,
            restate_cpu: used(0),
            kafka_cpu: used(1),
            handler_cpu: used(2),
            log_records,
        })
    }

    /// Waits until `done` says `wanted`.
    async fn ended(
        &self,
        wanted: u64,
        done: impl Fn() -> anyhow::Result<u64>,
    ) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, tokio::time::Instant::now());
        loop {
            let now = done()?;
            if now >= wanted {
                return Ok(());
            }
            if now > last {
                (last, since) = (now, tokio::time::Instant::now());
            }
            ensure!(
                since.elapsed() < STUCK,
                "{now} of {wanted} events are done and nothing goes on"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Makes the stack's own subscription again; it goes on behind what was measured.
    pub async fn put_back(&self) -> anyhow::Result<()> {
        for subscription in self.restate.subscriptions().await? {
            if [noop::SINK, &self.sink].contains(&subscription.sink.as_str()) {
                self.restate.delete_subscription(&subscription.id).await?;
            }
        }
        let options: BTreeMap<_, _> = OPTIONS
            .iter()
            .filter_map(|name| {
                Some((
                    (*name).to_owned(),
                    self.declared.options.get(*name)?.clone(),
                ))
            })
            .collect();
        if let Some(group) = options.get("group.id") {
            let ends = self.broker.ends(PIPELINE.name, PARTITIONS)?;
            self.broker.commit(group, PIPELINE.name, &ends).await?;
        }
        let (source, sink) = (&self.declared.source, &self.declared.sink);
        self.restate
            .create_subscription(source, sink, &options)
            .await?;
        Ok(())
    }

    /// The most memory that the handlers' process has had resident, in MiB.
    pub fn handlers_peak_rss(&self) -> anyhow::Result<f64> {
        process::peak_rss_mib(self.pid("handlers")?)
    }

    fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let pid = self.endpoints.pids.get(name).copied();
        pid.with_context(|| format!("dev.json names no process {name}"))
    }

    fn results(&self) -> anyhow::Result<Ends> {
        self.broker.ends(result_topic()?, PARTITIONS)
    }

    /// `kafka://<cluster>` as the stack's own subscription has it.
    fn cluster(&self) -> &str {
        self.declared
            .source
            .rsplit_once('/')
            .map_or("", |(cluster, _)| cluster)
    }

    async fn log_records(&self) -> Option<f64> {
        log_records::so_far(self.restate_metrics.as_ref()?).await
    }
}

fn result_topic() -> anyhow::Result<&'static str> {
    Ok(PIPELINE
        .results
        .as_ref()
        .context("product-reservations has no result topic")?
        .name)
}
