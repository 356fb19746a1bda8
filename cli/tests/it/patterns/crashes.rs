//! Handlers and Restate killed while machines move, payments storm and subtasks run.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use millstream_devstack::Part;
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::EventMeta;
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::fan_out_jobs::{JobCompleted, RunJob};
use millstream_schemas::machine_commands::{MachineState, SetUp, Status};
use millstream_schemas::payments::{self, CancelPayment, PaymentStatus};
use millstream_topics::{FanOutJobs, MachineCommands, Payments};

use super::payment_state_machine::{account, balance, make, payment_state};
use crate::support::watch::Watch;
use crate::support::{LIMIT, OwnStack, client_of, sql, unique, until};

const PAYMENTS: usize = 40;
const SUBTASKS: [&str; 4] = ["get out of bed", "shower", "make coffee", "have breakfast"];

#[tokio::test(flavor = "multi_thread")]
async fn transitions_payments_and_subtasks_survive_kills() {
    let settings = [
        ("MILLSTREAM_TRANSITION_MS", "4000"),
        ("MILLSTREAM_PAYMENT_EXPIRY_MS", "3000"),
        ("MILLSTREAM_SUBTASK_MS", "4000"),
    ];
    let settings = settings.map(|(name, ms)| (name.to_owned(), ms.to_owned()));
    let stack = OwnStack::start(BTreeMap::from([(Part::Handlers, settings.into())])).await;
    let endpoints = stack.endpoints();
    let client = client_of(&endpoints).await;
    let watch = Watch::new(&endpoints, &["accounts", "subtasks"]).await;
    expired(&client, &endpoints).await;
    for part in [Part::Handlers, Part::Restate] {
        let (machine, moving) = (unique("machine"), client.meta());
        let sent = client.send::<MachineCommands>(&machine, SetUp {}, Some(&moving));
        let begun = Instant::now();
        sent.await.unwrap();
        let (job, working) = (unique("job"), client.meta());
        let description = SUBTASKS.join(",");
        let sent = client.send::<FanOutJobs>(&job, RunJob { description }, Some(&working));
        sent.await.unwrap();
        waits(&endpoints, "MachineOperator", &machine).await;
        for n in 0..SUBTASKS.len() {
            waits(&endpoints, "Subtasks", &format!("{job}/{n}")).await;
        }
        let storm = Storm::begin(&client).await;
        // Two kills: while the first money moves, and while the rest does.
        for moved in [PAYMENTS / 4, PAYMENTS] {
            watch.until(moved, |seen| storm.has_moved(seen)).await;
            stack.kill_part(part).await.unwrap();
            stack.start_part(part).await.unwrap();
        }
        storm.settled(&client, &endpoints, &watch).await;

        let state: MachineState = only_result(&client, &moving).await.event().unwrap();
        assert_eq!((state.status, state.changed), (Status::Up, true));
        assert!(begun.elapsed().as_millis() >= 4000);
        until("the written state", async || {
            let (_, entry) = sql::state(&endpoints, "MachineOperator", &machine)
                .await
                .pop()?;
            (entry["status"] == "UP").then_some(())
        })
        .await;

        let done: JobCompleted = only_result(&client, &working).await.event().unwrap();
        let done = done.results.into_iter();
        let done: Vec<_> = done.map(|it| (it.description, it.outcome)).collect();
        let expected = SUBTASKS.map(|it| (it.to_owned(), Some("DONE".to_owned())));
        assert_eq!(done, expected);
        let of_job = |seen: &Seen| {
            let key = seen.key.as_deref().unwrap_or_default();
            key.starts_with(&job)
        };
        assert_eq!(watch.events(of_job).len(), SUBTASKS.len());
    }
}

/// A payment is forgotten when its time is over, and its id can be used again.
async fn expired(client: &Client, endpoints: &Endpoints) {
    let (account, payment) = (account(client, 1000).await, unique("payment"));
    for paid in 1..=2 {
        let made = client.request::<Payments>(&payment, make(&account, 100), LIMIT);
        let made: PaymentStatus = made.await.unwrap().event().unwrap();
        assert_eq!(made.status, payments::Status::CompletedSuccessfully);
        let by_timer = |seen: &&Seen| seen.event::<PaymentStatus>().is_ok_and(is_new);
        until("the expiry", async || {
            let told = client.seen(|seen| seen.key.as_ref() == Some(&payment));
            (told.iter().filter(by_timer).count() == paid).then_some(())
        })
        .await;
        let forgotten = until("the written state", async || {
            let state = payment_state(endpoints, &payment).await;
            (state["status"] == "NEW").then_some(state)
        })
        .await;
        assert!(forgotten.get("payment").is_none());
        assert_eq!(balance(endpoints, &account).await, 1000 - 100 * paid as i64);
    }
}

fn is_new(status: PaymentStatus) -> bool {
    status.status == payments::Status::New
}

/// Payments over two accounts, every other one cancelled.
struct Storm {
    name: String,
    accounts: [String; 2],
    sent: Vec<(EventMeta, payments::Status)>,
}

impl Storm {
    async fn begin(client: &Client) -> Self {
        let name = unique("storm");
        let accounts = [account(client, 1000).await, account(client, 1000).await];
        let mut sent = Vec::new();
        for n in 0..PAYMENTS {
            let (payment, meta) = (format!("{name}-{n}"), client.meta());
            let make = make(&accounts[n / 2 % 2], 10);
            let made = client.send::<Payments>(&payment, make, Some(&meta));
            made.await.unwrap();
            sent.push((meta, payments::Status::CompletedSuccessfully));
            if n % 2 == 1 {
                let meta = client.meta();
                let cancelled = client.send::<Payments>(&payment, CancelPayment {}, Some(&meta));
                cancelled.await.unwrap();
                sent.push((meta, payments::Status::Cancelled));
            }
        }
        Self {
            name,
            accounts,
            sent,
        }
    }

    /// Whether it is a command to an account, for one of these payments.
    fn has_moved(&self, seen: &Seen) -> bool {
        let movement = seen.data.as_ref().map(|data| &data["movement_id"]);
        let movement = movement.and_then(serde_json::Value::as_str);
        movement.is_some_and(|id| id.starts_with(&self.name))
    }

    async fn settled(&self, client: &Client, endpoints: &Endpoints, watch: &Watch) {
        for (meta, expected) in &self.sent {
            let status: PaymentStatus = only_result(client, meta).await.event().unwrap();
            assert_eq!(status.status, *expected);
        }
        for account in &self.accounts {
            let kept = 10 * PAYMENTS as i64 / 4;
            assert_eq!(balance(endpoints, account).await, 1000 - kept);
        }
        let commands = watch.events(|seen| self.has_moved(seen));
        let movements: HashSet<String> = commands
            .iter()
            .map(|seen| seen.data.as_ref().unwrap()["movement_id"].to_string())
            .collect();
        assert_eq!(movements.len(), PAYMENTS + PAYMENTS / 2);
    }
}

/// The result of a command, which may have been published twice, but the same.
async fn only_result(client: &Client, meta: &EventMeta) -> Seen {
    let seen = client.result_of(meta, LIMIT).await.unwrap();
    let all = client.seen(|seen| {
        let caused = seen.meta.as_ref().and_then(|it| it.causation_id.as_ref());
        caused == Some(&meta.id)
    });
    for other in all {
        assert_eq!((&other.meta, &other.data), (&seen.meta, &seen.data));
    }
    seen
}

/// Waits until the object waits for its durable timer.
async fn waits(endpoints: &Endpoints, service: &str, key: &str) {
    until("the durable timer", async || {
        let journals = sql::journals(endpoints, service, key).await;
        let (_, entries) = journals.first()?;
        entries.contains(&"Command: Sleep".to_owned()).then_some(())
    })
    .await;
}
