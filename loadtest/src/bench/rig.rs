//! The object that does nothing on a running stack: its topic, deployment and subscription, and how fast
//! it takes events.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use millstream_control::restate::Restate;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Topic;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::publisher::Publisher;
use millstream_topics::{ProductReservations, TOPICS};
use uuid::Uuid;

use super::commands;
use super::noop::{self, Noop};
use crate::probe::broker::Broker;

/// As many as `product-reservations` has.
const PARTITIONS: i32 = ProductReservations::DECLARATION.partitions;
/// How often it is looked whether a round has ended. What counts is measured by other clocks.
const LOOK: Duration = Duration::from_millis(50);
/// How long nothing may happen before a round has failed.
const STUCK: Duration = Duration::from_secs(60);

/// Everything that rounds need.
pub struct Rig {
    run: String,
    broker: Broker,
    codec: Codec,
    publisher: Publisher,
    restate: Restate,
    noop: Noop,
    /// `kafka://<cluster>`, as the stack's own subscriptions have it.
    cluster: String,
}

impl Rig {
    /// Makes the topic and the object.
    pub async fn set_up(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let broker = Broker::new(&endpoints.kafka)?;
        broker.create_topic(noop::TOPIC, PARTITIONS).await?;
        let restate = Restate::new(&endpoints.restate_admin)?;
        let noop = Noop::serve(None)?;
        restate.register_deployment(&noop.url, true).await?;
        let mut cluster = None;
        for subscription in restate.subscriptions().await? {
            if subscription.sink == noop::SINK {
                // An earlier run was killed.
                restate.delete_subscription(&subscription.id).await?;
            } else if let Some((found, _)) = subscription.source.rsplit_once('/') {
                cluster = Some(found.to_owned());
            }
        }
        Ok(Self {
            run: format!("loadtest-{}", Uuid::now_v7()),
            codec: Codec::new(&endpoints.schema_registry, TOPICS)?,
            publisher: Publisher::new(kafka::client(&endpoints.kafka))?,
            broker,
            restate,
            noop,
            cluster: cluster.context("Restate has no subscription; run `millstream apply`")?,
        })
    }

    /// Events per second, from the first event handled to the last, of commands that were produced while
    /// nobody was subscribed.
    pub async fn round(&self, events: usize, keys: usize) -> anyhow::Result<f64> {
        let commands = commands::encode(&self.codec, &self.run, events, keys).await?;
        let group = format!("{}-{}", self.run, Uuid::now_v7());
        let ends = self.broker.ends(noop::TOPIC, PARTITIONS)?;
        self.broker.commit(&group, noop::TOPIC, &ends).await?;
        commands.produce(&self.publisher, noop::TOPIC).await?;
        self.noop.counter.reset();
        let options = BTreeMap::from([
            ("group.id".to_owned(), group),
            ("auto.offset.reset".to_owned(), "earliest".to_owned()),
        ]);
        let source = format!("{}/{}", self.cluster, noop::TOPIC);
        let create = self
            .restate
            .create_subscription(&source, noop::SINK, &options);
        let subscription = create.await?;
        let ended = self.ended(commands.ids.len() as u64).await;
        self.restate.delete_subscription(&subscription).await?;
        ended?;
        Ok(commands.ids.len() as f64 / self.noop.counter.seconds())
    }

    /// Waits until as many events are handled.
    async fn ended(&self, wanted: u64) -> anyhow::Result<()> {
        let (mut last, mut since) = (0, tokio::time::Instant::now());
        loop {
            let now = self.noop.counter.handled();
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
}
