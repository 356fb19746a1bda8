//! The thread that sends. It follows the schedule and nothing else.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::outlet::{Account, Outgoing, Outlet};
use super::plan::Plan;
use super::values::Event;
use crate::random::Random;

/// How often a sleeping thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Starts it; `done` is cancelled when all is sent, or `stop` was.
pub fn start(
    plan: Arc<Plan>,
    outlet: Outlet,
    account: Account,
    stop: CancellationToken,
    done: CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    thread::Builder::new()
        .name("send".into())
        .spawn(move || {
            let done = done.drop_guard();
            let result = send(&plan, &outlet, &account, &stop);
            drop(done);
            outlet.flush();
            result
        })
        .context("no thread can be made")
}

fn send(
    plan: &Plan,
    outlet: &Outlet,
    account: &Account,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    // Each has numbers of its own, so that a change of one leaves the others as they were.
    let mut random = Random::new(plan.workload.seed);
    let (arrivals, mut parts) = (random.fork(), random.fork());
    let (mut keys, mut values) = (random.fork(), random.fork());
    let until = shares(plan);
    let events = plan
        .schedule
        .events_due(plan.workload.arrivals, arrivals)
        .enumerate();
    for (number, due) in events {
        let at = parts.unit();
        let part = until
            .partition_point(|until| *until <= at)
            .min(until.len() - 1);
        let key = plan.parts[part].keys.pick(&mut keys, number);
        let event = Event {
            number,
            key: &key,
            run: &plan.run,
        };
        let body = plan.parts[part].make.value(&mut values, event);
        let prepared = outlet.prepare(Outgoing {
            part,
            number,
            micros: due.micros,
            key,
            body,
        })?;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            match account.clock.until(due.micros) {
                Duration::ZERO => break,
                left => thread::sleep(left.min(LOOK)),
            }
        }
        account.tracker().send(part, due);
        outlet.hand_over(number, prepared);
        let now = account.clock.now();
        account.tracker().handed_over(number, now);
    }
    Ok(())
}

/// The share of all events that belongs to the first parts, for each number of first parts.
fn shares(plan: &Plan) -> Vec<f64> {
    let mut sum = 0.0;
    let add = |part: &super::plan::Part| {
        sum += part.share;
        sum
    };
    plan.parts.iter().map(add).collect()
}
