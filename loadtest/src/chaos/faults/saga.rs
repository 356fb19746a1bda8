//! The handlers are killed after each step of a saga.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use millstream_pipeline::client::Client;
use millstream_pipeline::events::{EventMeta, Replies, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::digest::digest;
use millstream_schemas::trip_bookings::TripRejected;
use millstream_topics::{CarRentals, Charges, Flights, TripBookings};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use super::catalogue::Records;
use super::harness::Harness;
use super::outcome::Outcome;
use super::trial::until;
use super::trips::{Ending, Step, Trip, judge};
use crate::chaos::ledger::checker::Report;

const LIMIT: Duration = Duration::from_secs(300);
/// By then everything that is on the topics was read.
const SETTLED: Duration = Duration::from_secs(10);
/// A trip's events are its commands and their replies, one after the other. The kills go through
/// those of a trip whose card is refused.
const EVENTS: usize = 2 * 6;
/// How many events of trips stand for one of the ledger's.
const TRIPS_PER_EVENT: u64 = 120;

const SERVICES: [(&str, &str); 3] = [
    ("Flights", "flight"),
    ("CarRentals", "car"),
    ("Charges", "charge"),
];

/// A trip that was asked for.
struct Asked {
    id: String,
    ending: Ending,
    meta: EventMeta,
}

/// Trips under way are interrupted when a booked and a declined one have come to their first event,
/// then their second, and so on.
pub async fn kill9(harness: &Harness) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let catalogue = harness.catalogue().await?;
    let mut random = harness.random();
    let topics = [
        Flights::DECLARATION.name,
        CarRentals::DECLARATION.name,
        Charges::DECLARATION.name,
        Replies::DECLARATION.name,
    ];
    let results = TripBookings::DECLARATION.results.as_ref();
    let results = results.map_or("", |results| results.name);
    let records = catalogue
        .follow(&[&topics[..], &[results]].concat())
        .await?;
    let declarations = [TripBookings::DECLARATION];
    let client = Client::new(&harness.endpoints, &declarations, "loadtest").await?;
    let (scenario, seed) = harness.name();
    let each = (harness.size.events / TRIPS_PER_EVENT).max(4);
    let mut asked: Vec<Asked> = Vec::new();
    let mut failures = Vec::new();
    let mut healed = begun;
    for event in 1..=EVENTS {
        let first = asked.len();
        for number in 0..each {
            let ending = Ending::ALL[usize::try_from(number)? % Ending::ALL.len()];
            let (id, meta) = (format!("trip-{seed}-{}", asked.len()), client.meta());
            let sent = client.send::<TripBookings>(&id, ending.request()?, Some(&meta));
            sent.await?;
            asked.push(Asked { id, ending, meta });
        }
        let batch = &asked[first..];
        let come = until(LIMIT, || async {
            // A booked trip has fewer events than there are kills.
            let wanted = |ending: Ending| event.min(2 * ending.commands().len());
            [Ending::Booked, Ending::Declined].iter().all(|ending| {
                let trip = batch.iter().find(|trip| trip.ending == *ending);
                trip.is_none_or(|trip| events(&records, &topics, trip) >= wanted(*ending))
            })
        });
        if !come.await {
            failures.push(format!("no trip comes to event {event}"));
        }
        catalogue.replica().await.kill().await?;
        sleep(random.millis(0, 500)).await;
        catalogue.replica().await.restart().await?;
        healed = Instant::now();
    }
    let answered = until(LIMIT, || async {
        unanswered(&records, results, &asked) == 0
    });
    answered.await;
    let recovery = healed.elapsed().as_secs_f64();
    let quiet = until(LIMIT, || async { is_quiet(harness).await.unwrap_or(false) });
    if !quiet.await {
        failures.push("Restate has not come to rest".into());
    }
    // What stands on the topics may not have been read yet.
    let settled = Instant::now();
    let report = loop {
        let report = judge_all(harness, &records, &topics, &asked).await?;
        if report.is_clean() || settled.elapsed() > SETTLED {
            break report;
        }
        sleep(Duration::from_millis(200)).await;
    };
    let commands = asked.iter().map(|trip| trip.ending.commands().len());
    let commands = commands.sum::<usize>() as f64;
    Ok(Outcome {
        scenario: scenario.into(),
        seed,
        faults: EVENTS as u64,
        ok: report.is_clean() && failures.is_empty(),
        report,
        recovery_seconds: Some(recovery),
        seconds: begun.elapsed().as_secs_f64(),
        figures: [("commands".into(), commands)].into(),
        failures,
        ..Outcome::default()
    })
}

fn of_trip(seen: &Seen, trip: &Asked) -> bool {
    let correlation_id = seen.meta.as_ref().map(|meta| &meta.correlation_id);
    correlation_id == Some(&trip.meta.correlation_id)
}

/// How many commands and replies of a trip there are.
fn events(records: &Records, topics: &[&str], trip: &Asked) -> usize {
    let seen = records.seen();
    let ours = seen
        .iter()
        .map(|(_, seen)| seen)
        .filter(|seen| topics.contains(&seen.topic.as_str()) && of_trip(seen, trip));
    let ids: HashSet<_> = ours.filter_map(id).collect();
    ids.len()
}

fn unanswered(records: &Records, topic: &str, asked: &[Asked]) -> usize {
    let seen = records.seen();
    let results = seen.iter().map(|(_, seen)| seen);
    let results = results.filter(|seen| seen.topic == topic);
    let answered: HashSet<_> = results.filter_map(|seen| seen.key.as_deref()).collect();
    asked
        .iter()
        .filter(|trip| !answered.contains(trip.id.as_str()))
        .count()
}

/// Whether the services of a trip have nothing left to do.
async fn is_quiet(harness: &Harness) -> anyhow::Result<bool> {
    let counts = harness.restate()?.invocation_counts().await?;
    let ours = ["BookingWorkflow", "Replies"].into_iter();
    let ours: Vec<_> = ours.chain(SERVICES.map(|(service, _)| service)).collect();
    Ok(!counts
        .iter()
        .any(|count| ours.contains(&count.service.as_str())))
}

async fn judge_all(
    harness: &Harness,
    records: &Records,
    topics: &[&str],
    asked: &[Asked],
) -> anyhow::Result<Report> {
    let states = states(harness).await?;
    let mut trips: HashMap<String, Trip> = HashMap::new();
    let mut report = Report::default();
    for (_, seen) in records.seen().iter() {
        let Some(correlation_id) = seen.meta.as_ref().map(|meta| &meta.correlation_id) else {
            continue;
        };
        let is_reply = seen.topic == Replies::DECLARATION.name;
        let Some(step) = step(seen).filter(|_| !is_reply) else {
            continue;
        };
        let trip = trips.entry(correlation_id.clone()).or_default();
        if topics.contains(&seen.topic.as_str()) {
            trip.commands.push(step);
            continue;
        }
        trip.results.push(step);
        let rejected = seen.event::<TripRejected>().ok();
        trip.undone = rejected.map(|rejected| rejected.compensations);
    }
    for asked in asked {
        let mut trip = trips.remove(&asked.meta.correlation_id).unwrap_or_default();
        trip.states = SERVICES.map(|(service, part)| {
            let state = states.get(&(service.to_owned(), format!("{}-{part}", asked.id)))?;
            stands(state)
        });
        judge(&asked.id, asked.ending, &trip, &mut report);
    }
    report.phantoms += trips.len() as u64;
    Ok(report)
}

/// Status of a reservation or a charge.
fn stands(state: &Value) -> Option<String> {
    let charged = state["charged_cents"].as_i64().unwrap_or_default() > 0;
    match (&state["status"], state["refunded"].as_bool(), charged) {
        (Value::String(status), _, _) => Some(status.clone()),
        (_, Some(true), _) => Some("refunded".into()),
        (_, _, true) => Some("charged".into()),
        _ => None,
    }
}

/// State of every object of the services, by service and key.
async fn states(harness: &Harness) -> anyhow::Result<HashMap<(String, String), Value>> {
    #[derive(Deserialize)]
    struct Row {
        service: String,
        key: String,
        state: String,
    }
    let names = SERVICES
        .map(|(service, _)| format!("'{service}'"))
        .join(", ");
    let sql = format!(
        "SELECT service_name AS service, service_key AS key, value_utf8 AS state FROM state \
         WHERE service_name IN ({names})"
    );
    let rows: Vec<Row> = harness.restate()?.query(&sql).await?;
    rows.into_iter()
        .map(|row| Ok(((row.service, row.key), serde_json::from_str(&row.state)?)))
        .collect()
}

fn id(seen: &Seen) -> Option<String> {
    Some(seen.meta.as_ref()?.id.clone())
}

fn step(seen: &Seen) -> Option<Step> {
    let full_name = seen.full_name.as_deref()?;
    let [a, b, c, d, e, f, g, h, ..] = digest(&[seen.value.as_deref()?]);
    Some(Step {
        id: id(seen)?,
        name: full_name.rsplit('.').next()?.to_owned(),
        timestamp: seen.timestamp,
        digest: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
    })
}
