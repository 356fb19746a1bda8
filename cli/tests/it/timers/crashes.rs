//! Handlers and Restate that are killed while timers run and while they fire.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_devstack::Part;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::expensive_calls::{CallCompleted, ExpensiveCall};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::support_escalations::Escalation;
use millstream_schemas::tasks::{SubmitTask, TaskCompleted};
use millstream_topics::{
    ExpensiveCalls, InvoiceEvents, OutboundEmails, PriorityQueue, SupportEscalations,
    TaskExecutions, Tasks,
};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::{Setter, from_now, state};
use crate::faults::ledger::{answered_once, records};
use crate::patterns::reminders::{about, escalated, failed};
use crate::support::{Bench, LIMIT, OwnStack, letter_code, sql, unique, until};

const SETTINGS: [(&str, &str); 4] = [
    ("MILLSTREAM_TASK_RETRY_DELAY_MS", "500"),
    ("MILLSTREAM_REMINDER_INTERVAL_MS", "2000"),
    ("MILLSTREAM_CALLS_IN_FLIGHT", "2"),
    ("MILLSTREAM_CALL_DURATION_MS", "1000"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_comes_once_whoever_is_killed() {
    let crash = Crash::start().await;
    crash.what_kafka_refuses().await;
    crash.while_timers_run_and_fire().await;
    crash.between_attempts().await;
    crash.between_reminders().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_and_leave_their_slots_whoever_is_killed() {
    let crash = Crash::start().await;
    for event in ["Enqueue", "Release"] {
        crash.at_a_step_of_a_call(event).await;
    }
    crash.while_calls_run().await;
}

struct Crash {
    stack: OwnStack,
    endpoints: Endpoints,
    bench: Bench,
}

impl Crash {
    async fn start() -> Self {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let stack = OwnStack::start(BTreeMap::from([(Part::Handlers, settings.into())])).await;
        let endpoints = stack.endpoints();
        Self {
            bench: Bench::new(&endpoints).await,
            endpoints,
            stack,
        }
    }

    async fn kill(&self, part: Part) {
        self.stack.kill_part(part).await.unwrap();
        self.stack.start_part(part).await.unwrap();
    }

    async fn submit(&self, task: &str, description: &str, delay_ms: Option<i64>) -> EventMeta {
        let meta = self.bench.client.meta();
        let submit = SubmitTask {
            description: description.into(),
            delay_ms,
        };
        let sent = self.bench.client.send::<Tasks>(task, submit, Some(&meta));
        sent.await.unwrap();
        meta
    }

    async fn completed(&self, meta: &EventMeta) {
        let answer = self.bench.client.result_of(meta, LIMIT).await.unwrap();
        answer.event::<TaskCompleted>().unwrap();
    }

    /// The events of `T` as a reader takes them: copies have one id.
    async fn all<T: Topic>(&self) -> Vec<Seen> {
        let all = records(&self.endpoints, &self.bench.codec, T::DECLARATION.name).await;
        let mut known = BTreeSet::new();
        // An event without `meta` is of another test on this stack.
        let mut is_new = |seen: &Seen| known.insert(seen.meta.as_ref()?.id.clone()).then_some(());
        all.into_iter()
            .filter(|seen| is_new(seen).is_some())
            .collect()
    }

    /// Those with this key.
    async fn events<T: Topic>(&self, key: &str) -> Vec<Seen> {
        let mut events = self.all::<T>().await;
        events.retain(|seen| seen.key.as_deref() == Some(key));
        events
    }

    /// An event that is larger than its topic takes when it is due is a dead letter of that topic.
    async fn what_kafka_refuses(&self) {
        let topic = SupportEscalations::DECLARATION.name;
        let mut limit = AlterConfig::new(ResourceSpecifier::Topic(topic));
        limit = limit.set("max.message.bytes", "2000");
        let admin: AdminClient<DefaultClientContext> =
            kafka::client(&self.endpoints.kafka).create().unwrap();
        let options = AdminOptions::new();
        let altered = admin.alter_configs([&limit], &options).await.unwrap();
        altered
            .into_iter()
            .for_each(|it| assert!(it.is_ok(), "{it:?}"));
        let setter = Setter { bench: &self.bench };
        let escalation = |reason: String| Escalation {
            customer: "customer1".into(),
            reason,
        };
        for (size, is_kept) in [(10, false), (4_000, true)] {
            let (key, meta) = (unique("escalation"), self.bench.client.meta());
            let event = escalation("a".repeat(size));
            setter
                .set::<SupportEscalations>(&key, (&key, &event), (&meta, None))
                .await;
            let comes_to = match is_kept {
                true => format!("{topic}-dlq"),
                false => topic.to_owned(),
            };
            let seen = self
                .bench
                .client
                .wait_for("the escalation", LIMIT, |seen| {
                    seen.topic.starts_with(topic) && seen.key.as_deref() == Some(&key)
                })
                .await
                .unwrap();
            assert_eq!(seen.topic, comes_to);
            assert_eq!(seen.meta.as_ref().unwrap().id, meta.id);
            if is_kept {
                assert_eq!(letter_code(&seen), "handler-failed");
                assert_eq!(seen.header("__connect.errors.topic"), Some(topic));
                assert_eq!(seen.header("__connect.errors.partition"), Some("-1"));
            }
        }
    }

    async fn while_timers_run_and_fire(&self) {
        const DELAY: Duration = Duration::from_secs(20);
        let setter = Setter { bench: &self.bench };
        let mut tasks = Vec::new();
        let mut mails = Vec::new();
        for _ in 0..20 {
            let (task, mail) = (unique("task"), unique("mail"));
            let delay_ms = i64::try_from(DELAY.as_millis()).unwrap();
            let meta = self.submit(&task, "a", Some(delay_ms)).await;
            tasks.push((task, meta));
            // In place of one that must never be seen.
            setter
                .mail(&mail, &format!("not-{mail}"), Some(from_now(DELAY)))
                .await;
            setter.mail(&mail, &mail, Some(from_now(DELAY))).await;
            mails.push(mail);
        }
        // Before that, what is to be replaced would rightly fire once it is due.
        for mail in &mails {
            state(&self.endpoints, mail, |entry| {
                entry.is_some_and(|entry| entry["timer"]["key"] == mail.as_str())
            })
            .await;
        }
        for part in [Part::Handlers, Part::Restate] {
            self.kill(part).await;
        }
        // Again while they fire.
        self.completed(&tasks[0].1).await;
        for part in [Part::Handlers, Part::Restate] {
            self.kill(part).await;
        }

        let metas: Vec<_> = tasks.iter().map(|(_, meta)| meta.clone()).collect();
        answered_once(&self.bench, &self.endpoints, "tasks-results", &metas).await;
        for mail in &mails {
            setter.arrives(mail).await;
        }
        setter.pass(Duration::from_secs(1)).await;
        let (executions, sent) = (
            self.all::<TaskExecutions>().await,
            self.all::<OutboundEmails>().await,
        );
        let count = |events: &[Seen], key: &str| {
            let of_key = |seen: &&Seen| seen.key.as_deref() == Some(key);
            events.iter().filter(of_key).count()
        };
        for (task, _) in &tasks {
            assert_eq!(count(&executions, task), 1);
        }
        for mail in &mails {
            assert_eq!(count(&sent, mail), 1);
            assert_eq!(count(&sent, &format!("not-{mail}")), 0);
        }
    }

    /// A task that fails twice; the handlers are killed as each attempt begins.
    async fn between_attempts(&self) {
        let task = unique("task");
        let meta = self.submit(&task, "flaky", None).await;
        for attempt in 1..=3 {
            until(&format!("attempt {attempt}"), async || {
                let attempts = self.events::<TaskExecutions>(&task).await;
                (attempts.len() >= attempt).then_some(())
            })
            .await;
            self.kill(Part::Handlers).await;
        }
        answered_once(&self.bench, &self.endpoints, "tasks-results", &[meta]).await;
        assert_eq!(self.events::<TaskExecutions>(&task).await.len(), 3);
    }

    async fn between_reminders(&self) {
        let (client, invoice) = (&self.bench.client, unique("invoice"));
        let sent = client.send::<InvoiceEvents>(&invoice, failed(1), None);
        sent.await.unwrap();
        for (count, part) in [(1, Part::Handlers), (2, Part::Restate), (3, Part::Handlers)] {
            until(&format!("mail {count}"), async || {
                (about::<OutboundEmails>(client, &invoice).len() >= count).then_some(())
            })
            .await;
            self.kill(part).await;
        }
        escalated(client, &invoice).await;
        // By the reader rule: a number that was seen is a copy, and a copy has the same bytes.
        let mut mails: BTreeMap<i64, Seen> = BTreeMap::new();
        for mail in about::<OutboundEmails>(client, &invoice) {
            let seq = mail.meta.as_ref().unwrap().seq.unwrap();
            let value = mail.value.clone();
            assert_eq!(mails.entry(seq).or_insert(mail).value, value);
        }
        let subjects = mails
            .iter()
            .map(|(seq, mail)| (*seq, mail.event::<SendEmail>().unwrap().subject));
        let expected = [1, 2, 3].map(|n| (n, format!("Reminder {n}: {invoice}")));
        assert_eq!(subjects.collect::<Vec<_>>(), expected);
        assert_eq!(self.events::<SupportEscalations>(&invoice).await.len(), 1);
    }

    async fn call(&self) -> EventMeta {
        let (request, meta) = (unique("call"), self.bench.client.meta());
        let call = ExpensiveCall {
            left: 1,
            right: 2,
            priority: 1,
        };
        let client = &self.bench.client;
        let sent = client.send::<ExpensiveCalls>(&request, call, Some(&meta));
        sent.await.unwrap();
        meta
    }

    async fn slots_are_free(&self) {
        until("free slots", async || {
            let entries = sql::state(&self.endpoints, "PriorityQueue", "default").await;
            let held = entries.first()?.1["in_flight"].as_array()?.len();
            (held == 0).then_some(())
        })
        .await;
    }

    /// The handlers are killed as a step's event arrives on its topic.
    async fn at_a_step_of_a_call(&self, event: &str) {
        let meta = self.call().await;
        let name = format!("millstream.priority_queue.{event}");
        let is_step = |seen: &Seen| {
            let of = seen.meta.as_ref().map(|it| &it.correlation_id);
            of == Some(&meta.correlation_id) && seen.full_name.as_ref() == Some(&name)
        };
        until(event, async || {
            let events = self.events::<PriorityQueue>("default").await;
            events.iter().any(is_step).then_some(())
        })
        .await;
        self.kill(Part::Handlers).await;
        answered_once(
            &self.bench,
            &self.endpoints,
            "expensive-calls-results",
            &[meta],
        )
        .await;
        self.slots_are_free().await;
    }

    async fn while_calls_run(&self) {
        let mut metas = Vec::new();
        for _ in 0..6 {
            metas.push(self.call().await);
        }
        for part in [Part::Handlers, Part::Restate] {
            until("two calls at work", async || {
                let entries = sql::state(&self.endpoints, "PriorityQueue", "default").await;
                let held = entries.first()?.1["in_flight"].as_array()?.len();
                (held == 2).then_some(())
            })
            .await;
            self.kill(part).await;
        }
        answered_once(
            &self.bench,
            &self.endpoints,
            "expensive-calls-results",
            &metas,
        )
        .await;
        for meta in &metas {
            let answer = self.bench.client.result_of(meta, LIMIT).await.unwrap();
            assert_eq!(answer.event::<CallCompleted>().unwrap().result, 3);
        }
        self.slots_are_free().await;
    }
}
