//! Durable timers: events that are produced later.

mod crashes;
mod handlers;
mod outside;
mod refused;

use std::time::Duration;

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{
    Bytes, EventMeta, EventSet, Timers, Topic,
    timers::{CancelTimer, SetTimer},
};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::outbound_emails::SendEmail;
use millstream_topics::OutboundEmails;
use serde_json::Value;

use crate::support::{At, Bench, LIMIT, query, sql, unique, until};

/// Microseconds since 1970-01-01 UTC, that much from now.
fn from_now(delay: Duration) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from((now.unwrap() + delay).as_micros()).unwrap()
}

/// Sets timers as a program outside does.
struct Setter<'b> {
    bench: &'b Bench,
}

impl Setter<'_> {
    fn client(&self) -> &Client {
        &self.bench.client
    }

    /// Sets the timer `name` for an event of `T`.
    async fn set<T: Topic>(
        &self,
        name: &str,
        (key, event): (&str, &impl EventSet),
        (meta, not_before): (&EventMeta, Option<i64>),
    ) -> At {
        let value = self.bench.value(event, Some(meta)).await;
        let set = SetTimer {
            topic: T::DECLARATION.name.into(),
            key: key.into(),
            value: Bytes(value),
        };
        self.send(name, set, not_before).await
    }

    /// Sets the timer `name` for a mail under the key `mail`; the mail's `meta`.
    async fn mail(&self, name: &str, mail: &str, not_before: Option<i64>) -> EventMeta {
        let (meta, event) = (self.client().meta(), letter(mail));
        self.set::<OutboundEmails>(name, (mail, &event), (&meta, not_before))
            .await;
        meta
    }

    async fn send(&self, name: &str, set: SetTimer, not_before: Option<i64>) -> At {
        let meta = EventMeta {
            not_before,
            ..self.client().meta()
        };
        let sent = self.client().send::<Timers>(name, set, Some(&meta));
        sent.await.unwrap()
    }

    async fn cancel(&self, name: &str) {
        let sent = self.client().send::<Timers>(name, CancelTimer {}, None);
        sent.await.unwrap();
    }

    /// The mails under this key so far.
    fn mails(&self, mail: &str) -> Vec<Seen> {
        self.client().seen(|seen| is_mail(seen, mail))
    }

    /// The first mail under this key.
    async fn arrives(&self, mail: &str) -> Seen {
        let what = format!("the mail {mail}");
        let wanted = |seen: &Seen| is_mail(seen, mail);
        self.client().wait_for(&what, LIMIT, wanted).await.unwrap()
    }

    /// Lets all time pass up to now and this much more, as the timers count it.
    async fn pass(&self, time: Duration) {
        let mail = unique("clock");
        self.mail(&mail, &mail, Some(from_now(time))).await;
        self.arrives(&mail).await;
    }
}

fn letter(mail: &str) -> SendEmail {
    SendEmail {
        recipient: "somebody".into(),
        subject: mail.to_owned(),
        body: String::new(),
    }
}

fn is_mail(seen: &Seen, mail: &str) -> bool {
    seen.topic == OutboundEmails::DECLARATION.name && seen.key.as_deref() == Some(mail)
}

/// The one state entry of a timer, once `wanted` holds of it.
async fn state(endpoints: &Endpoints, name: &str, wanted: impl Fn(Option<&Value>) -> bool) {
    until(&format!("the state of the timer {name}"), async || {
        let entries = sql::state(endpoints, "Timers", name).await;
        wanted(entries.first().map(|(_, entry)| entry)).then_some(())
    })
    .await;
}

/// Invocations of the timer that are not finished.
async fn pending(endpoints: &Endpoints, name: &str) -> usize {
    let sql = format!(
        "SELECT id FROM sys_invocation WHERE target_service_name = 'Timers' \
         AND target_service_key LIKE '{name}%' AND status != 'completed'"
    );
    query(&endpoints.restate_admin, &sql).await.len()
}
