//! Stopping subscriptions, starting them again, and going back in time.
//!
//! Restate can neither pause a subscription nor move it: it is deleted and created again with the
//! same consumer group. What is delivered twice on the way is dropped by the input rule of the
//! objects. A service in the batch lane is subscribed to its work orders: without them no lease begins,
//! and those that run are ended.

use std::time::{Duration, Instant};

use millstream_events::{Declaration, Subscription};

use super::error::Error;
use super::kafka::Kafka;
use super::restate::Restate;
use super::subscriptions::{DeclaredSubscription, declared};
use super::{Settings, lanes, owners};
use millstream_pipeline::config::Endpoints;

/// How long Restate may take to end leases.
const LEASES_END: Duration = Duration::from_secs(60);
/// Pause between two looks at them.
const LOOK: Duration = Duration::from_millis(200);
/// So many looks in a row have to see none.
const LOOKS: usize = 3;

/// What is done to each subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Deliver nothing more. Records wait in Kafka; `apply` and [`Control::Resume`] end it.
    Pause,
    /// Deliver again, from where it was.
    Resume,
    /// Deliver everything again that was recorded at or after this time, in milliseconds since
    /// 1970-01-01 UTC.
    Rewind {
        /// The time.
        to_ms: i64,
    },
    /// The same while Restate does not run, and so before it delivers anything: it goes on from there
    /// when it is started.
    RewindStopped {
        /// The time, in milliseconds since 1970-01-01 UTC.
        to_ms: i64,
    },
}

/// Applies `control` to the subscriptions of these topics, and tells `done` of each, as
/// `<topic> -> <service>/<handler>`.
pub async fn control(
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    settings: &Settings,
    control: Control,
    mut done: impl FnMut(&str),
) -> Result<(), Error> {
    let kafka = Kafka::new(&endpoints.kafka);
    let restate = Restate::new(&endpoints.restate_admin)?;
    let mut rewound = Vec::new();
    let mut wanted = declared(declarations, &settings.prefix, &settings.cluster);
    if !matches!(control, Control::RewindStopped { .. }) {
        let (actual, services) = tokio::try_join!(restate.subscriptions(), restate.services())?;
        wanted = owners::of_project(declarations, settings, &services, &actual);
    }
    for wanted in wanted {
        match control {
            Control::Pause => {
                delete(&restate, &wanted).await?;
                // A handler of the event lane may have any name: its invocations are events.
                if lanes::is_of_orders(declarations, &wanted.topic) {
                    end_leases(&restate, &wanted.to).await?;
                }
            }
            Control::Resume => create(&restate, &wanted).await?,
            Control::Rewind { to_ms } => {
                delete(&restate, &wanted).await?;
                kafka
                    .move_group(&wanted.group, &wanted.topic, to_ms)
                    .await?;
                rewound.push(wanted);
                continue;
            }
            Control::RewindStopped { to_ms } => {
                kafka
                    .move_group(&wanted.group, &wanted.topic, to_ms)
                    .await?;
            }
        }
        done(&name(&wanted));
    }
    // Only when all have been moved: objects fed by several topics see them from one time on.
    for wanted in rewound {
        create(&restate, &wanted).await?;
        done(&name(&wanted));
    }
    Ok(())
}

/// Ends the leases of a service in the batch lane, which nothing follows. The batch in hand may still be
/// committed; all else is decided by whoever has the partition next.
pub(crate) async fn end_leases(restate: &Restate, to: &Subscription) -> Result<(), Error> {
    let until = Instant::now() + LEASES_END;
    // An order that was on its way when the subscription ended begins one more.
    let mut none = 0;
    while none < LOOKS {
        let leases = restate.unfinished(to.service, to.handler).await?;
        none = if leases.is_empty() { none + 1 } else { 0 };
        if Instant::now() > until {
            return Err(Error::TimedOut {
                what: format!(
                    "the end of the leases of {}, which is paused (`subscriptions resume`)",
                    to.service
                ),
                seconds: LEASES_END.as_secs(),
            });
        }
        for lease in leases {
            restate.kill(&lease.id).await?;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn name(wanted: &DeclaredSubscription) -> String {
    format!(
        "{} -> {}/{}",
        wanted.topic, wanted.to.service, wanted.to.handler
    )
}

pub(crate) async fn delete(restate: &Restate, wanted: &DeclaredSubscription) -> Result<(), Error> {
    for actual in restate
        .subscriptions()
        .await?
        .iter()
        .filter(|actual| wanted.is(actual))
    {
        restate.delete_subscription(&actual.id).await?;
    }
    Ok(())
}

pub(crate) async fn create(restate: &Restate, wanted: &DeclaredSubscription) -> Result<(), Error> {
    if restate
        .subscriptions()
        .await?
        .iter()
        .any(|actual| wanted.is(actual))
    {
        return Ok(());
    }
    restate
        .create_subscription(&wanted.source, &wanted.sink, &wanted.options)
        .await
        .map(|_| ())
}
