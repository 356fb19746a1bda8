//! `product-reservations` without its subscription, for a while.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use millstream_control::restate::{ActualSubscription, Restate};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Topic};
use millstream_topics::ProductReservations;

use crate::probe::broker::Broker;

const TOPIC: &Declaration = ProductReservations::DECLARATION;
/// What a subscription has of its own; the server adds others.
const OPTIONS: [&str; 3] = ["group.id", "auto.offset.reset", "client.id"];

/// Nobody handles its commands until [`Paused::end`].
pub struct Paused {
    restate: Restate,
    broker: Broker,
    was: ActualSubscription,
}

impl Paused {
    /// Takes the subscription away.
    pub async fn begin(endpoints: &Endpoints) -> anyhow::Result<Self> {
        let restate = Restate::new(&endpoints.restate_admin)?;
        let subscriptions = restate.subscriptions().await?;
        let end = format!("/{}", TOPIC.name);
        let mut found = subscriptions
            .into_iter()
            .filter(|it| it.source.ends_with(&end));
        let was = found.next().context(
            "nothing is subscribed to product-reservations; run `millstream subscriptions resume`",
        )?;
        ensure!(
            found.next().is_none(),
            "product-reservations has several subscriptions; run `millstream apply --prune`"
        );
        restate.delete_subscription(&was.id).await?;
        Ok(Self {
            restate,
            broker: Broker::new(&endpoints.kafka)?,
            was,
        })
    }

    /// Puts it back. What came meanwhile is left out.
    pub async fn end(self) -> anyhow::Result<()> {
        let options = OPTIONS.iter().filter_map(|name| {
            let value = self.was.options.get(*name)?;
            Some(((*name).to_owned(), value.clone()))
        });
        let options: BTreeMap<_, _> = options.collect();
        if let Some(group) = options.get("group.id") {
            let ends = self.broker.ends(TOPIC.name, TOPIC.partitions)?;
            self.broker.commit(group, TOPIC.name, &ends).await?;
        }
        let (source, sink) = (&self.was.source, &self.was.sink);
        self.restate
            .create_subscription(source, sink, &options)
            .await?;
        Ok(())
    }
}
