//! The installation as a whole, as metrics: what [`super::status`] shows, looked at again and again.
//!
//! No other part knows it: Restate tells of paused invocations in SQL alone, its lag gauge stands
//! still when Restate does, and a part that is away cannot say so itself. Run one of it; a second one
//! would only show the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_events::{Declaration, DlqStatus, Topic, is_system_service};
use prometheus::IntGaugeVec;
use tokio_util::sync::CancellationToken;

use super::kafka::{Kafka, PartitionOffsets};
use super::registry::Registry;
use super::restate::Restate;
use super::status::{by_service, guard_status, lane_status, records, unmarked};
use super::{Error, Settings, owners, standing, state, subscriptions, topics};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::observe::metrics::{Known, Program, metrics};

/// How long a part may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// Looks at the installation once in `interval` until `stop`. Parts may come and go.
pub async fn export(
    declarations: &[&'static Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
    interval: Duration,
    stop: CancellationToken,
) -> Result<(), Error> {
    metrics().begin(Program::Exporter, &Known::of(declarations));
    let mut exporter = Exporter {
        declarations,
        endpoints,
        settings,
        kafka: Kafka::new(&endpoints.kafka),
        restate: Restate::new(&endpoints.restate_admin)?,
        registry: Registry::new(&endpoints.schema_registry)?,
        shown: Shown::default(),
        is_guest: false,
    };
    let looking = async {
        loop {
            exporter.look().await;
            tokio::time::sleep(interval).await;
        }
    };
    stop.run_until_cancelled(looking).await;
    Ok(())
}

struct Exporter<'a> {
    declarations: &'a [&'static Declaration],
    endpoints: &'a Endpoints,
    settings: &'a Settings,
    kafka: Kafka,
    restate: Restate,
    registry: Registry,
    shown: Shown,
    /// Whether another project served the library's services when Restate was last asked.
    is_guest: bool,
}

/// What the gauges show, so that a series that has no value any more goes.
#[derive(Default)]
struct Shown {
    lag: Labels,
    standing: Labels,
    active: Labels,
    guard_lag: Labels,
    batch_lag: Labels,
    batch_standing: Labels,
    invocations: Labels,
    oldest_waiting: Labels,
    unmarked: Labels,
    deployments: Labels,
    /// Records on the dead letter topics and of their marks when they were last read: reading them
    /// again is dear.
    dead_letters: BTreeMap<String, i64>,
    reachable: BTreeMap<&'static str, bool>,
}

type Labels = BTreeSet<Vec<String>>;
type Values = BTreeMap<Vec<String>, i64>;

impl Exporter<'_> {
    async fn look(&mut self) {
        let kafka = within("an answer of Kafka", self.look_at_kafka()).await;
        let is_there = self.tell("kafka", kafka);
        if !is_there {
            self.show_kafka(FromKafka::default());
        }
        let restate = within("an answer of Restate", self.look_at_restate()).await;
        let is_there = self.tell("restate", restate);
        if !is_there {
            self.show_restate(FromRestate::default());
        }
        let registry = within("an answer of the registry", self.registry.subject_count()).await;
        self.tell("registry", registry.map(|_| ()));
    }

    /// Shows whether a part answers; says so when that changes.
    fn tell(&mut self, part: &'static str, looked: Result<(), Error>) -> bool {
        let is_there = looked.is_ok();
        let gauge = metrics().reachable.with_label_values(&[part]);
        gauge.set(i64::from(is_there));
        let before = self.shown.reachable.insert(part, is_there);
        match looked {
            Ok(()) if before == Some(false) => tracing::info!(part, "it answers again"),
            Err(error) if before != Some(false) => tracing::warn!(part, %error, "no answer"),
            _ => {}
        }
        is_there
    }

    async fn look_at_kafka(&mut self) -> Result<(), Error> {
        let declared = topics::declared(self.declarations);
        let names: BTreeSet<String> = declared.into_iter().map(|topic| topic.name).collect();
        let (mut topics, _) = self.kafka.topics(&names).await?;
        let Settings {
            prefix, cluster, ..
        } = self.settings;
        let mut found = FromKafka::default();
        let mut declared = subscriptions::declared(self.declarations, prefix, cluster);
        declared.retain(|it| !(self.is_guest && is_system_service(it.to.service)));
        let offsets = state::offsets(&self.kafka, &declared, &topics).await?;
        let standing = standing::standing(&self.kafka, &declared, &offsets).await?;
        for wanted in declared {
            let handler = format!("{}/{}", wanted.to.service, wanted.to.handler);
            if let Some(offsets) = offsets.get(&wanted.group) {
                let lag = offsets.iter().map(PartitionOffsets::lag).sum();
                let seconds = standing.get(&wanted.group).map_or(0, |it| it.seconds);
                let labels = vec![wanted.topic, handler];
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                found.standing.insert(labels.clone(), seconds);
                found.lag.insert(labels, lag);
            }
        }
        let guards = guard_status(self.declarations, &self.kafka, self.settings, &topics).await?;
        let guards = guards.into_iter();
        let guards = guards.filter_map(|guard| Some((vec![guard.topic], guard.lag?)));
        found.guard_lag = guards.collect();
        let lanes = lane_status(self.declarations, &self.kafka, self.settings, &topics).await?;
        for lane in lanes {
            let Some(lag) = lane.lag else { continue };
            let seconds = lane.standing_seconds.unwrap_or_default();
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            let service = lane.handler.split('/').next().unwrap_or_default();
            let labels = vec![service.to_owned(), lane.topic.clone()];
            found.batch_standing.insert(labels, seconds);
            found.batch_lag.insert(vec![lane.topic, lane.handler], lag);
        }
        let kept: BTreeMap<String, &str> = self
            .declarations
            .iter()
            .filter(|declaration| declaration.dead_letters)
            .map(|declaration| (declaration.dead_letter_topic(), declaration.name))
            .collect();
        let marks = DlqStatus::DECLARATION.name;
        topics.retain(|name, _| kept.contains_key(name) || name == marks);
        let records = records(&self.kafka, &topics).await?;
        if records != self.shown.dead_letters {
            let unmarked = unmarked(self.declarations, self.endpoints, &records).await;
            let unmarked = unmarked.into_iter().filter_map(|(topic, unmarked)| {
                let topic = (*kept.get(&topic)?).to_owned();
                Some((vec![topic], i64::try_from(unmarked.count).ok()?))
            });
            let unmarked: Values = unmarked.collect();
            // What could not be told in time is asked for again.
            if unmarked.len() == kept.len() {
                self.shown.dead_letters = records;
            }
            found.unmarked = Some(unmarked);
        }
        self.show_kafka(found);
        Ok(())
    }

    async fn look_at_restate(&mut self) -> Result<(), Error> {
        let (subscriptions, services, deployments, counts, pinned) = tokio::try_join!(
            self.restate.subscriptions(),
            self.restate.services(),
            self.restate.deployments(),
            self.restate.invocation_counts(),
            self.restate.pinned_counts()
        )?;
        let mut found = FromRestate::default();
        let declared =
            owners::of_project(self.declarations, self.settings, &services, &subscriptions);
        let mut own = declared.iter().map(|it| it.to.service);
        self.is_guest = !own.any(is_system_service);
        for wanted in declared {
            let is_there = subscriptions.iter().any(|actual| wanted.is(actual));
            // A service that is well shows a zero, and not nothing.
            let paused = vec![wanted.to.service.to_owned(), "paused".to_owned()];
            found.invocations.insert(paused, 0);
            let service = vec![wanted.to.service.to_owned()];
            found.oldest_waiting.insert(service, 0);
            let handler = format!("{}/{}", wanted.to.service, wanted.to.handler);
            let labels = vec![wanted.topic, handler];
            found.active.insert(labels, i64::from(is_there));
        }
        for service in by_service(counts) {
            for (state, count) in [
                ("paused", service.paused),
                ("backing-off", service.backing_off),
                ("running", service.running),
                ("suspended", service.suspended),
                ("waiting", service.waiting),
            ] {
                let labels = vec![service.service.clone(), state.to_owned()];
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                found.invocations.insert(labels, count);
            }
            let oldest = service.oldest_waiting_seconds.unwrap_or_default();
            let oldest = i64::try_from(oldest).unwrap_or(i64::MAX);
            found.oldest_waiting.insert(vec![service.service], oldest);
        }
        for deployment in deployments {
            let is_current = services
                .iter()
                .any(|service| service.deployment_id == deployment.id);
            let current = if is_current { "yes" } else { "no" }.to_owned();
            let pinned = pinned.iter().find(|it| it.deployment == deployment.id);
            let count = pinned.map_or(0, |it| i64::try_from(it.count).unwrap_or(i64::MAX));
            let address = deployment.uri.unwrap_or(deployment.id);
            *found.deployments.entry(vec![address, current]).or_default() += count;
        }
        self.show_restate(found);
        Ok(())
    }

    fn show_kafka(&mut self, found: FromKafka) {
        let (metrics, shown) = (metrics(), &mut self.shown);
        show(&metrics.subscription_lag, &mut shown.lag, found.lag);
        show(
            &metrics.subscription_standing,
            &mut shown.standing,
            found.standing,
        );
        show(&metrics.guard_lag, &mut shown.guard_lag, found.guard_lag);
        show(&metrics.batch_lag, &mut shown.batch_lag, found.batch_lag);
        let standing = &metrics.batch_standing;
        show(standing, &mut shown.batch_standing, found.batch_standing);
        if let Some(unmarked) = found.unmarked {
            show(
                &metrics.dead_letters_unmarked,
                &mut shown.unmarked,
                unmarked,
            );
        }
    }

    fn show_restate(&mut self, found: FromRestate) {
        let (metrics, shown) = (metrics(), &mut self.shown);
        show(
            &metrics.subscription_active,
            &mut shown.active,
            found.active,
        );
        show(
            &metrics.invocations,
            &mut shown.invocations,
            found.invocations,
        );
        show(
            &metrics.invocations_oldest_waiting,
            &mut shown.oldest_waiting,
            found.oldest_waiting,
        );
        let deployments = &metrics.deployment_invocations;
        show(deployments, &mut shown.deployments, found.deployments);
    }
}

async fn within<T>(
    what: &str,
    looking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let looked = tokio::time::timeout(LIMIT, looking).await;
    looked.unwrap_or_else(|_| {
        Err(Error::TimedOut {
            what: what.to_owned(),
            seconds: LIMIT.as_secs(),
        })
    })
}

/// What Kafka tells; empty when it is away.
#[derive(Default)]
struct FromKafka {
    lag: Values,
    standing: Values,
    guard_lag: Values,
    batch_lag: Values,
    batch_standing: Values,
    /// `None`: as before. Nobody deals with a dead letter while Kafka is away.
    unmarked: Option<Values>,
}

/// What Restate tells; empty when it is away.
#[derive(Default)]
struct FromRestate {
    active: Values,
    invocations: Values,
    oldest_waiting: Values,
    deployments: Values,
}

/// Shows just these values.
fn show(gauge: &IntGaugeVec, shown: &mut Labels, values: Values) {
    for gone in shown.iter().filter(|labels| !values.contains_key(*labels)) {
        // It was shown, so it is there.
        let _ = gauge.remove_label_values(gone);
    }
    for (labels, value) in &values {
        gauge.with_label_values(labels).set(*value);
    }
    *shown = values.into_keys().collect();
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector;
    use prometheus::opts;

    use super::*;

    #[test]
    fn a_series_without_a_value_goes() {
        let gauge = IntGaugeVec::new(opts!("lag", "Lag."), &["topic"]).unwrap();
        let mut shown = Labels::new();
        let values = |pairs: &[(&str, i64)]| -> Values {
            pairs
                .iter()
                .map(|(topic, lag)| (vec![(*topic).to_owned()], *lag))
                .collect()
        };
        show(&gauge, &mut shown, values(&[("a", 1), ("b", 2)]));
        show(&gauge, &mut shown, values(&[("b", 3)]));
        let family = gauge.collect().remove(0);
        let metrics = family.get_metric();
        assert_eq!(metrics.len(), 1);
        assert_eq!(metrics[0].get_label()[0].value(), "b");
        assert_eq!(metrics[0].get_gauge().get_value(), 3.0);
    }
}
