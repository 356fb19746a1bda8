//! The database pattern while handlers and Postgres are killed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use futures::future::join_all;
use millstream_devstack::Part;
use millstream_handlers::database::DATABASE_UNAVAILABLE;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::EventMeta;
use millstream_pipeline::kafka;
use millstream_schemas::db_credits::{AddCredits, AddMode, CreditsAdded};
use millstream_schemas::db_users::{DurableReadUser, InsertUser, ReadUser, UserRead, UserStored};
use millstream_topics::{DbCredits, DbUsers, DbUsersEvent};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

use super::ledger::{answered_once, records};
use crate::support::{Bench, LIMIT, OwnStack, failure, postgres, query, unique, until};

const USERS: &str = "db-users-results";
const CREDITS: &str = "db-credits-results";
/// In each mode: users, and additions to each of them.
const PER_MODE: usize = 40;
const PER_USER: i64 = 10;
const KILLS: usize = 6;

struct Faults {
    stack: OwnStack,
    endpoints: Endpoints,
    bench: Bench,
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_are_exact_and_durable_reads_stay() {
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let faults = Faults {
        bench: Bench::new(&endpoints).await,
        endpoints,
        stack,
    };
    faults.durable_reads_stay().await;
    faults.credits_are_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_without_a_database_say_so() {
    let without = [("MILLSTREAM_POSTGRES".to_owned(), String::new())];
    let stack = OwnStack::start(BTreeMap::from([(Part::Handlers, without.into())])).await;
    let bench = Bench::new(&stack.endpoints()).await;
    let user = unique("user");
    let seen = bench.client.request::<DbUsers>(&user, ReadUser {}, LIMIT);
    assert_eq!(failure(&seen.await.unwrap()), DATABASE_UNAVAILABLE);
    let command = AddCredits {
        amount: 1,
        mode: AddMode::Conditional,
    };
    let seen = bench.client.request::<DbCredits>(&user, command, LIMIT);
    assert_eq!(failure(&seen.await.unwrap()), DATABASE_UNAVAILABLE);
}

impl Faults {
    async fn insert(&self, user: &str) {
        let command = InsertUser {
            name: "Emm".into(),
            address: "Paris".into(),
            credits: 0,
        };
        let client = &self.bench.client;
        let seen = client.request::<DbUsers>(user, command, LIMIT).await;
        seen.unwrap().event::<UserStored>().unwrap();
    }

    async fn send(&self, user: &str, command: impl Into<DbUsersEvent>) -> EventMeta {
        let meta = self.bench.client.meta();
        let sent = self
            .bench
            .client
            .send::<DbUsers>(user, command, Some(&meta));
        sent.await.unwrap();
        meta
    }

    async fn journal_of(&self, meta: &EventMeta, user: &str, entry: &str) {
        let sql = format!(
            "SELECT 1 AS found FROM sys_journal j JOIN sys_invocation i ON i.id = j.id \
             WHERE i.target_service_key = '{user}' AND i.status != 'completed' \
             AND j.entry_type = '{entry}'"
        );
        until(&format!("`{entry}` of {}", meta.id), async || {
            query(&self.endpoints.restate_admin, &sql).await.pop()
        })
        .await;
    }

    /// Their answers cannot be published; the rows change before the next attempt.
    async fn durable_reads_stay(&self) {
        let (durable, plain) = (unique("durable"), unique("plain"));
        self.insert(&durable).await;
        self.insert(&plain).await;
        let admin: AdminClient<DefaultClientContext> =
            kafka::client(&self.endpoints.kafka).create().unwrap();
        let deleted = admin.delete_topics(&[USERS], &AdminOptions::new());
        deleted.await.unwrap()[0].as_ref().unwrap();
        let durable_read = self.send(&durable, DurableReadUser {}).await;
        let plain_read = self.send(&plain, ReadUser {}).await;
        self.journal_of(&durable_read, &durable, "Notification: Run")
            .await;
        let database = postgres::connect(&self.endpoints).await;
        let update = "UPDATE millstream.users SET name = 'Donald' WHERE id = ANY($1)";
        let users = vec![durable.clone(), plain.clone()];
        assert_eq!(database.execute(update, &[&users]).await.unwrap(), 2);
        // Both are attempted again.
        self.stack.kill_part(Part::Handlers).await.unwrap();
        self.stack.start_part(Part::Handlers).await.unwrap();
        assert_eq!(self.stack.apply().await, 1, "the topic is made again");
        let reads = [durable_read, plain_read];
        answered_once(&self.bench, &self.endpoints, USERS, &reads).await;
        let names: HashMap<_, _> = records(&self.endpoints, &self.bench.codec, USERS)
            .await
            .into_iter()
            .map(|seen| {
                let read: UserRead = seen.event().unwrap();
                (seen.key.unwrap(), read.name)
            })
            .collect();
        assert_eq!(names[&durable], "Emm", "as it was read first");
        assert_eq!(names[&plain], "Donald", "as it is");
    }

    /// Handlers killed at random, Postgres killed and restarted, prepared transactions rolled back
    /// under their owners' feet in the first half.
    async fn credits_are_exact(&self) {
        let mut users = Vec::new();
        for mode in [
            AddMode::AtLeastOnce,
            AddMode::Conditional,
            AddMode::IdempotencyKey,
            AddMode::TwoPhaseCommit,
        ] {
            users.extend((0..PER_MODE).map(|_| (mode, unique("user"))));
        }
        join_all(users.iter().map(|(_, user)| self.insert(user))).await;
        let begun = Instant::now();
        let mut commands = Vec::new();
        for _ in 0..PER_USER {
            commands.extend(join_all(users.iter().map(|(mode, user)| self.add(*mode, user))).await);
        }
        let mut sweep = Some(postgres::keep_rolling_back(&self.endpoints));
        for kill in 0..KILLS {
            if kill == KILLS / 2 {
                // What is left in the end is what the owners leave.
                drop(sweep.take());
            }
            self.more_answers(commands.len()).await;
            self.stack.kill_part(Part::Handlers).await.unwrap();
            match kill {
                3 => {
                    self.stack.kill_part(Part::Postgres).await.unwrap();
                    self.stack.start_part(Part::Postgres).await.unwrap();
                }
                6 => self.stack.restart(Part::Postgres).await.unwrap(),
                _ => {}
            }
            self.stack.start_part(Part::Handlers).await.unwrap();
        }
        // Handlers that are up when it goes away and comes back.
        self.more_answers(commands.len()).await;
        self.stack.kill_part(Part::Postgres).await.unwrap();
        self.stack.start_part(Part::Postgres).await.unwrap();
        answered_once(&self.bench, &self.endpoints, CREDITS, &commands).await;
        let seconds = begun.elapsed().as_secs_f32();
        self.check(&users, seconds).await;
    }

    async fn add(&self, mode: AddMode, user: &str) -> EventMeta {
        let (client, meta) = (&self.bench.client, self.bench.client.meta());
        let command = AddCredits { amount: 1, mode };
        let sent = client.send::<DbCredits>(user, command, Some(&meta));
        sent.await.unwrap();
        meta
    }

    /// Waits for a random number of answers, or for all that can come.
    async fn more_answers(&self, all: usize) {
        let count = || self.bench.client.seen(|seen| seen.topic == CREDITS).len();
        let random = usize::try_from(RandomState::new().hash_one(()) % 300).unwrap();
        let wanted = (count() + 50 + random).min(all);
        until("more answers", async || (count() >= wanted).then_some(())).await;
    }

    async fn check(&self, users: &[(AddMode, String)], seconds: f32) {
        let database = postgres::connect(&self.endpoints).await;
        let mut totals: BTreeMap<AddMode, i64> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (mode, user) in users {
            let credits = postgres::credits(&database, user).await.unwrap();
            *totals.entry(*mode).or_default() += credits;
            let may_be_more = *mode == AddMode::AtLeastOnce && credits > PER_USER;
            if credits != PER_USER && !may_be_more {
                wrong.push((*mode, user, credits));
            }
        }
        println!("{KILLS} kills of the handlers, 3 of Postgres, {seconds:.0} s: {totals:?}");
        assert!(wrong.is_empty(), "not {PER_USER}: {wrong:?}");
        assert_eq!(postgres::prepared(&database).await, 0);
        // Each answer told what the user had after this very event.
        let mut told: HashMap<String, Vec<i64>> = HashMap::new();
        for seen in records(&self.endpoints, &self.bench.codec, CREDITS).await {
            let added: CreditsAdded = seen.event().unwrap();
            let told = told.entry(seen.key.unwrap()).or_default();
            // A raw record may be there twice.
            if told.last() != Some(&added.credits) {
                told.push(added.credits);
            }
        }
        for (mode, user) in users {
            if *mode != AddMode::AtLeastOnce {
                let expected: Vec<_> = (1..=PER_USER).collect();
                assert_eq!(told[user], expected, "{mode:?} {user}");
            }
        }
    }
}
