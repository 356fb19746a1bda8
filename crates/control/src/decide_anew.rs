//! Has a service of the batch lane decide its topics once more, with no states.

use std::collections::BTreeSet;

use millstream_events::{Declaration, Lane, Subscription};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::lane::batch::topics::{Place, Rewound, rewind};

use super::control::{create, delete, end_leases};
use super::error::Error;
use super::restate::Restate;
use super::subscriptions::declared;
use super::{Settings, lanes};

/// What becomes of a service whose topics are decided anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedAnew {
    /// It.
    pub service: &'static str,
    /// All of its topics: a partition has one state, and one position in each of them.
    pub topics: Vec<&'static str>,
}

/// The services that handle any of `chosen` in the batch lane, with all their topics among `all`.
pub fn leased(all: &[&'static Declaration], chosen: &[&'static Declaration]) -> Vec<DecidedAnew> {
    let is_leased = |it: &&&'static Declaration| it.lane == Lane::Batch;
    let services: BTreeSet<&'static str> = (chosen.iter().filter(is_leased))
        .flat_map(|topic| topic.subscriptions)
        .map(|to| to.service)
        .collect();
    let anew = services.into_iter().map(|service| DecidedAnew {
        service,
        topics: (all.iter().filter(is_leased))
            .filter(|topic| topic.subscriptions.iter().any(|to| to.service == service))
            .map(|topic| topic.name)
            .collect(),
    });
    anew.collect()
}

/// Has each partition of a service begin at the first record that is not older than `to_ms`, in
/// milliseconds since 1970-01-01 UTC, with no state, and under an epoch of its own. Tells `done` of each
/// partition. What fails may be called again.
pub async fn decide_anew(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
    service: &str,
    to_ms: i64,
    mut done: impl FnMut(i32, &Rewound),
) -> Result<(), Error> {
    let is_ours = |to: &Subscription| to.service == service;
    let topics = declarations.iter().filter(|it| it.lane == Lane::Batch);
    let topics: Vec<_> = topics
        .filter(|it| it.subscriptions.iter().any(is_ours))
        .collect();
    let orders = declared(
        &lanes::own_topics(declarations, service),
        &settings.prefix,
        &settings.cluster,
    );
    let restate = Restate::new(&endpoints.restate_admin)?;
    for orders in &orders {
        delete(&restate, orders).await?;
        end_leases(&restate, &orders.to).await?;
    }
    let names: Vec<_> = topics.iter().map(|it| it.subscribed_topic()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let generation = topics.first().map_or(1, |it| it.generation);
    let config = millstream_pipeline::kafka::client(&endpoints.kafka);
    for partition in 0..topics.first().map_or(0, |it| it.partitions) {
        let place = Place::new(&settings.prefix, service, &names, partition);
        let place = Place {
            generation,
            ..place
        };
        let config = config.clone();
        let rewound = tokio::task::spawn_blocking(move || rewind(config, &place, to_ms)).await?;
        done(partition, &rewound?);
    }
    for orders in &orders {
        create(&restate, orders).await?;
    }
    Ok(())
}
