//! The only broker, restarted in quick rhythm with every kind of long-lived client open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use millstream_control::Settings;
use millstream_devstack::Part;
use millstream_pipeline::observe::metrics::{KAFKA_CLIENTS_RENEWED_TOTAL, metrics};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::gateway::Gateway;
use super::harness::Harness;
use super::outcome::Outcome;
use super::relay::Relay;
use super::trial::{Trial, until};
use crate::chaos::ledger::catalogue::OWN_TOPICS;
use crate::chaos::ledger::event::Book;

/// How soon after its start the broker is stopped again: before its clients have come to rest.
const RHYTHM: Duration = Duration::from_secs(8);
/// How long each client may take to go on after the last start.
const BACK: Duration = Duration::from_secs(45);
/// How long a request waits for its result while Kafka is away, in seconds.
const WAIT: u64 = 1;
/// What its answer may take beyond that.
const BEYOND: Duration = Duration::from_secs(1);
/// Pause between two looks at what Restate takes.
const LOOK: Duration = Duration::from_secs(2);
/// How many requests the gateway lets wait.
const MAX_WAITING: usize = 100;
/// Events per second that go through a guard relay meanwhile.
const FOREIGN_RATE: f64 = 20.0;

/// Kafka is stopped, started, stopped again 8 s later, and started; with `--full` ten times. Handlers,
/// a gateway, a guard relay, the registry, the exporter and producers must all go on by themselves.
pub async fn bounced(harness: &Harness) -> anyhow::Result<Outcome> {
    let (settings, interval) = (Settings::default(), Duration::from_secs(1));
    let (endpoints, stop) = (&harness.endpoints, CancellationToken::new());
    tokio::select! {
        outcome = with_clients(harness) => outcome,
        ended = millstream_control::export(OWN_TOPICS, endpoints, &settings, interval, stop) => {
            ended?;
            anyhow::bail!("the exporter has ended by itself")
        }
    }
}

/// The same beside the exporter.
async fn with_clients(harness: &Harness) -> anyhow::Result<Outcome> {
    let relay = Relay::start(harness, "bounced").await?;
    let gateway = Gateway::start(harness, MAX_WAITING).await?;
    let trial = harness.trial().await?;
    let foreign = harness.trial_in(Book::Foreign).await?;
    let over = AtomicBool::new(false);
    let events = async {
        let result = trial.under_load(bounce(harness, &trial, &gateway)).await;
        over.store(true, Ordering::Relaxed);
        result
    };
    let guarded = foreign.trickle(FOREIGN_RATE, || over.load(Ordering::Relaxed));
    let (events, guarded) = tokio::join!(events, guarded);
    events.and(guarded)?;
    let begun = Instant::now();
    let restarts = take_again(harness, &[&trial, &foreign]).await?;
    trial.figure("restate_restarts", f64::from(restarts));
    trial.figure("restate_seconds", begun.elapsed().as_secs_f64());
    expect_gateway(&trial, &gateway).await;
    expect_registry(harness, &trial).await?;
    expect_exporter(&trial).await;
    let renewed = gateway.counted(KAFKA_CLIENTS_RENEWED_TOTAL).await?;
    trial.figure("gateway_clients_renewed", renewed as f64);
    trial.figure("relay_restarts", relay.restarts().await? as f64);
    let foreign = foreign.finish().await?;
    trial.expect(foreign.ok, format!("behind the guard: {foreign}"));
    let outcome = trial.finish().await?;
    relay.process.end(Signal::SIGTERM).await?;
    gateway.process.end(Signal::SIGTERM).await?;
    Ok(outcome)
}

async fn bounce(harness: &Harness, trial: &Trial<'_>, gateway: &Gateway) -> anyhow::Result<()> {
    let times = if harness.size.full { 10 } else { 1 };
    sleep(Duration::from_secs(1)).await;
    for time in 0..times {
        for _ in 0..2 {
            trial.fault();
            harness.stack.stop_part(Part::Kafka).await?;
            if time == 0 {
                expect_in_time(trial, gateway).await?;
            }
            let started = tokio::time::Instant::now();
            harness.stack.start_part(Part::Kafka).await?;
            trial.healed();
            sleep_until(started + RHYTHM).await;
        }
    }
    Ok(())
}

/// Waits until Restate takes events again. Its own clients may have lost the broker: as soon as
/// `status` names a subscription that stands still it is restarted, as operators are told to. How
/// often.
async fn take_again(harness: &Harness, trials: &[&Trial<'_>; 2]) -> anyhow::Result<u32> {
    let (begun, mut restarts) = (Instant::now(), 0);
    loop {
        let all = join_all(trials.iter().map(|trial| trial.goes_on(LOOK))).await;
        if !all.contains(&false) {
            return Ok(restarts);
        }
        if begun.elapsed() > 2 * BACK {
            trials[0].expect(
                false,
                "Restate takes no events, and no subscription is named",
            );
            return Ok(restarts);
        }
        let settings = Settings::default();
        let status = millstream_control::status(OWN_TOPICS, &harness.endpoints, &settings).await?;
        let mut subscriptions = status.subscriptions.iter();
        if subscriptions.any(|it| it.standing_seconds.is_some()) {
            trials[0].fault();
            harness.stack.restart(Part::Restate).await?;
            trials[0].healed();
            restarts += 1;
        }
    }
}

/// While Kafka is away a request is answered within its wait, and never said to be accepted.
async fn expect_in_time(trial: &Trial<'_>, gateway: &Gateway) -> anyhow::Result<()> {
    let key = format!("away.{}", trial.run);
    let (status, time) = gateway.book(Book::Main, &key, WAIT).await?;
    trial.expect(
        status == StatusCode::SERVICE_UNAVAILABLE,
        format!("while Kafka is away the gateway answers {status}"),
    );
    let limit = Duration::from_secs(WAIT) + BEYOND;
    trial.expect(
        time <= limit,
        format!("while Kafka is away an answer takes {time:?}"),
    );
    Ok(())
}

/// The gateway sends, reads results, and says that it is ready.
async fn expect_gateway(trial: &Trial<'_>, gateway: &Gateway) {
    let begun = Instant::now();
    let mut number = 0_u32;
    let goes_on = until(BACK, || {
        number += 1;
        let key = format!("back.{}.{number}", trial.run);
        async move {
            let answer = gateway.book(Book::Main, &key, WAIT).await;
            answer.is_ok_and(|(status, _)| status == StatusCode::OK)
        }
    });
    trial.expect(goes_on.await, "the gateway does not go on");
    trial.figure("gateway_seconds", begun.elapsed().as_secs_f64());
    let ready = until(BACK, || gateway.is_ready());
    trial.expect(ready.await, "the gateway does not say that it is ready");
}

/// The registry writes to its log and reads what it has written.
async fn expect_registry(harness: &Harness, trial: &Trial<'_>) -> anyhow::Result<()> {
    let http = millstream_pipeline::http::builder().no_proxy().build()?;
    let url = format!(
        "{}/subjects/bounced-{}/versions",
        harness.endpoints.schema_registry, trial.run
    );
    let begun = Instant::now();
    let goes_on = until(BACK, || async {
        let body = serde_json::json!({ "schema": "\"string\"" });
        let answer = http.post(&url).json(&body).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    });
    trial.expect(goes_on.await, "the registry does not go on");
    trial.figure("registry_seconds", begun.elapsed().as_secs_f64());
    Ok(())
}

/// The exporter, which runs in this process, shows anew what Kafka tells.
async fn expect_exporter(trial: &Trial<'_>) {
    let begun = Instant::now();
    let shown = metrics().reachable.with_label_values(&["kafka"]);
    shown.set(0);
    let goes_on = until(BACK, || async { shown.get() == 1 });
    trial.expect(goes_on.await, "the exporter does not go on");
    trial.figure("exporter_seconds", begun.elapsed().as_secs_f64());
}
