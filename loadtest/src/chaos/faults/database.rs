//! The database is away while events have effects in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use millstream_devstack::Part;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::Topic;
use millstream_pipeline::record::digest::digest;
use millstream_schemas::db_credits::{AddCredits, AddMode, CreditsAdded};
use millstream_schemas::db_users::{InsertUser, ReadUser, UserRead, UserStored};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::{DbCredits, DbUsers, ProductReservations};
use tokio::time::sleep;

use super::catalogue::{Catalogue, Records};
use super::harness::Harness;
use super::outcome::Outcome;
use super::trial::until;
use crate::chaos::ledger::checker::Report;

const LIMIT: Duration = Duration::from_secs(300);
const MODES: [AddMode; 4] = [
    AddMode::AtLeastOnce,
    AddMode::Conditional,
    AddMode::IdempotencyKey,
    AddMode::TwoPhaseCommit,
];
/// Additions to each user, at least.
const ROUNDS: u64 = 10;
/// Between two additions to a user.
const BETWEEN: Duration = Duration::from_millis(500);

/// A user, and the way in which credits are added to it.
struct User {
    id: String,
    mode: AddMode,
}

/// Postgres is killed and stays away, in the middle of which the handlers are killed, too; events
/// that need no database go on.
pub async fn down(harness: &Harness) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let catalogue = harness.catalogue().await?;
    let topics = [
        DbUsers::DECLARATION,
        DbCredits::DECLARATION,
        ProductReservations::DECLARATION,
    ];
    let client = Client::new(&harness.endpoints, &topics, "loadtest").await?;
    let results = DbCredits::DECLARATION.results.as_ref();
    let records = catalogue
        .follow(&[results.map_or("", |results| results.name)])
        .await?;
    let users = insert(harness, &client).await?;

    let over = AtomicBool::new(false);
    let mut failures = Vec::new();
    let mut healed = begun;
    let add = add(&client, &users, &over);
    let fault = async {
        let result = postgres_away(harness, catalogue, &client, &mut failures).await;
        over.store(true, Ordering::Relaxed);
        healed = Instant::now();
        result
    };
    let (sent, fault) = tokio::join!(add, fault);
    fault?;
    let sent = sent?;
    let answered = until(LIMIT, || async {
        let causes = causes(&records);
        sent.keys().all(|id| causes.contains_key(id))
    });
    answered.await;
    let recovery = healed.elapsed().as_secs_f64();

    let mut report = Report::default();
    judge_answers(&records, &users, &sent, &mut report);
    let surplus = judge_rows(&client, &users, &sent, &mut report).await?;
    let (scenario, seed) = harness.name();
    Ok(Outcome {
        scenario: scenario.into(),
        seed,
        faults: 2,
        ok: report.is_clean() && failures.is_empty(),
        report,
        recovery_seconds: Some(recovery),
        seconds: begun.elapsed().as_secs_f64(),
        // This mode promises no more.
        figures: [("at_least_once_surplus".into(), surplus as f64)].into(),
        failures,
        ..Outcome::default()
    })
}

async fn insert(harness: &Harness, client: &Client) -> anyhow::Result<Vec<User>> {
    let (_, seed) = harness.name();
    let each = (harness.size.events / (2 * ROUNDS * MODES.len() as u64)).max(2);
    let users: Vec<User> = MODES
        .into_iter()
        .flat_map(|mode| (0..each).map(move |number| (mode, number)))
        .map(|(mode, number)| User {
            id: format!("user-{seed}-{mode:?}-{number}"),
            mode,
        })
        .collect();
    try_join_all(users.iter().map(|user| async move {
        let command = InsertUser {
            name: "Emm".into(),
            address: "Paris".into(),
            credits: 0,
        };
        let seen = client.request::<DbUsers>(&user.id, command, LIMIT).await?;
        seen.event::<UserStored>()?;
        anyhow::Ok(())
    }))
    .await?;
    Ok(users)
}

/// Adds one credit to every user again and again, until the faults are over; the user of each
/// command, by its id.
async fn add(
    client: &Client,
    users: &[User],
    over: &AtomicBool,
) -> anyhow::Result<HashMap<String, usize>> {
    let mut sent = HashMap::new();
    let mut round = 0;
    while round < ROUNDS || !over.load(Ordering::Relaxed) {
        let commands = users.iter().enumerate().map(|(at, user)| async move {
            let (meta, mode) = (client.meta(), user.mode);
            let command = AddCredits { amount: 1, mode };
            client
                .send::<DbCredits>(&user.id, command, Some(&meta))
                .await?;
            anyhow::Ok((meta.id, at))
        });
        sent.extend(try_join_all(commands).await?);
        round += 1;
        sleep(BETWEEN).await;
    }
    Ok(sent)
}

async fn postgres_away(
    harness: &Harness,
    catalogue: &Catalogue,
    client: &Client,
    failures: &mut Vec<String>,
) -> anyhow::Result<()> {
    let mut random = harness.random();
    let away = Duration::from_secs(if harness.size.full { 60 } else { 6 });
    sleep(random.millis(1000, 2500)).await;
    harness.stack.kill_part(Part::Postgres).await?;
    let begun = Instant::now();
    // What needs no database is answered meanwhile.
    let command = ReserveProduct {
        reservation_id: "reservation1".into(),
    };
    let key = format!("product-{:x}", random.next());
    let seen = client.request::<ProductReservations>(&key, command, LIMIT);
    match seen.await {
        Ok(seen) => drop(seen.event::<ProductReserved>()?),
        Err(error) => failures.push(format!("other events wait for the database: {error}")),
    }
    // New handlers find none.
    let mut replica = catalogue.replica().await;
    replica.kill().await?;
    replica.restart().await?;
    sleep(away.saturating_sub(begun.elapsed())).await;
    harness.stack.start_part(Part::Postgres).await?;
    Ok(())
}

/// How many records answer each command.
fn causes(records: &Records) -> HashMap<String, u64> {
    let mut causes: HashMap<String, u64> = HashMap::new();
    for (_, seen) in records.seen().iter() {
        let cause = seen
            .meta
            .as_ref()
            .and_then(|meta| meta.causation_id.clone());
        *causes.entry(cause.unwrap_or_default()).or_default() += 1;
    }
    causes
}

/// Digest and credits of what stands under each number of a user's results.
type Numbers = BTreeMap<i64, ([u8; 32], i64)>;

/// Each command has one answer, under one number, which tells what the user had after it.
fn judge_answers(
    records: &Records,
    users: &[User],
    sent: &HashMap<String, usize>,
    report: &mut Report,
) {
    let mut numbers: HashMap<String, Numbers> = HashMap::new();
    let mut answers: HashMap<String, u64> = HashMap::new();
    for (_, seen) in records.seen().iter() {
        let (Some(meta), Some(key)) = (seen.meta.as_ref(), seen.key.clone()) else {
            report.phantoms += 1;
            continue;
        };
        report.raw_results += 1;
        let (seq, digest) = (
            meta.seq.unwrap_or_default(),
            digest(&[seen.value.as_deref().unwrap_or_default()]),
        );
        let credits = seen.event::<CreditsAdded>().map(|added| added.credits);
        let known = numbers.entry(key.clone()).or_default();
        match known.get(&seq) {
            Some((same, _)) => {
                report.raw_duplicates += 1;
                report.conflicts += u64::from(*same != digest);
            }
            None => {
                known.insert(seq, (digest, credits.as_ref().copied().unwrap_or(-1)));
                let cause = meta.causation_id.clone().unwrap_or_default();
                report.phantoms += u64::from(!sent.contains_key(&cause));
                *answers.entry(cause).or_default() += 1;
            }
        }
        if let Err(failure) = credits {
            report.loss += 1;
            report.notes.push(format!("{key} is refused: {failure}"));
        }
    }
    report.events += sent.len() as u64;
    report.loss += sent.keys().filter(|id| !answers.contains_key(*id)).count() as u64;
    report.visible_duplicates += answers.values().map(|count| count - 1).sum::<u64>();
    for user in users {
        let Some(known) = numbers.get(&user.id) else {
            continue;
        };
        let last = known.last_key_value().map_or(0, |(last, _)| *last);
        let last = u64::try_from(last).unwrap_or_default();
        report.gaps += last.saturating_sub(known.len() as u64);
        let told_right = known.iter().all(|(seq, (_, credits))| credits == seq);
        if user.mode != AddMode::AtLeastOnce && !told_right {
            report.chain_mismatches += 1;
            report
                .notes
                .push(format!("{} is told other credits than it has", user.id));
        }
    }
}

/// The rows hold what was added, once; how much more the mode that may do it twice has added.
async fn judge_rows(
    client: &Client,
    users: &[User],
    sent: &HashMap<String, usize>,
    report: &mut Report,
) -> anyhow::Result<i64> {
    let mut due = vec![0_i64; users.len()];
    for at in sent.values() {
        due[*at] += 1;
    }
    let mut surplus = 0;
    for (user, due) in users.iter().zip(due) {
        let seen = client
            .request::<DbUsers>(&user.id, ReadUser {}, LIMIT)
            .await?;
        let more = seen.event::<UserRead>()?.credits - due;
        let may_be_more = user.mode == AddMode::AtLeastOnce;
        if may_be_more && more > 0 {
            surplus += more;
        } else if more != 0 {
            report
                .notes
                .push(format!("{} has {more} more than {due}", user.id));
            report.loss += u64::try_from(-more).unwrap_or_default();
            report.visible_duplicates += u64::try_from(more).unwrap_or_default();
        }
    }
    Ok(surplus)
}
