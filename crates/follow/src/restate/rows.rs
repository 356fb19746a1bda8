//! Rows of Restate's SQL, and what they say.

use serde::Deserialize;

use super::quoted;
use crate::found::Place;
use crate::journey::Wait;

/// Columns of [`Invocation`].
pub const COLUMNS: &str = "id, target, target_service_name AS service, target_service_key AS key, \
    target_handler_name AS handler, status, created_at, modified_at, next_retry_at, retry_count, \
    invoked_by_subscription_id AS subscription, journal_size, last_failure, last_failure_error_code AS code, last_failure_related_command_name AS failed_name, \
    last_failure_related_command_type AS failed_type";

/// So much of a journal entry is looked at.
pub const HEAD: usize = 1500;
/// So much of a failure is shown.
const MAX_FAILURE: usize = 2000;

/// An invocation that is not done.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Invocation {
    pub id: String,
    pub target: String,
    pub service: String,
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub handler: String,
    pub status: String,
    #[serde(default)]
    pub created_at: String,
    #[serde(default)]
    modified_at: String,
    #[serde(default)]
    next_retry_at: Option<String>,
    #[serde(default)]
    retry_count: Option<u64>,
    /// How many entries its journal has.
    #[serde(default)]
    pub journal_size: Option<u64>,
    /// Which one delivered its record.
    #[serde(default)]
    pub subscription: Option<String>,
    #[serde(default)]
    last_failure: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    failed_name: Option<String>,
    #[serde(default)]
    failed_type: Option<String>,
}

impl Invocation {
    /// The status of one that waits for its turn.
    pub const QUEUED: &str = "pending";

    /// Whether it has a journal.
    pub fn has_begun(&self) -> bool {
        !self.is_queued() && self.status != "scheduled"
    }

    /// Whether it waits for its turn.
    pub fn is_queued(&self) -> bool {
        self.status == Self::QUEUED
    }

    /// When Restate took it.
    pub fn created(&self) -> i64 {
        millis(&self.created_at).unwrap_or(0)
    }

    /// As the journey shows it; `commands` are those of its journal.
    pub fn wait(&self, commands: &[&Command]) -> Wait {
        let failure = self.last_failure.as_ref().filter(|it| !it.is_empty());
        let failed = failure
            .and(self.failed_name.as_ref())
            .filter(|it| !it.is_empty());
        let waits_for = match (failed, &self.failed_type) {
            (Some(name), Some(kind)) => Some(format!(
                "{} {name}",
                kind.trim_start_matches("Command: ").to_lowercase()
            )),
            _ => waits_for(commands),
        };
        Wait {
            target: self.target.clone(),
            status: self.status.clone(),
            invocation: Some(self.id.clone()),
            since: millis(&self.modified_at),
            attempts: self.retry_count.filter(|_| failure.is_some()),
            code: self.code.clone().filter(|_| failure.is_some()),
            failure: failure.map(|text| text.chars().take(MAX_FAILURE).collect()),
            retry_at: self.next_retry_at.as_deref().and_then(millis),
            waits_for,
            ahead: None,
            behind: None,
        }
    }
}

/// Columns of [`Count`], which are also what its rows are grouped by.
pub const QUEUE: [(&str, &str); 4] = [
    ("target_service_name", "service"),
    ("target_service_key", "key"),
    ("target_handler_name", "handler"),
    ("invoked_by_subscription_id", "subscription"),
];

/// How many invocations one subscription has made for a key, that are not done.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Count {
    pub service: String,
    #[serde(default)]
    pub key: Option<String>,
    #[serde(default)]
    pub handler: String,
    #[serde(default)]
    pub subscription: Option<String>,
    pub count: usize,
}

/// The beginning of a command in a journal.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Command {
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub text: String,
}

impl Command {
    /// The record that an invocation was made for, as the headers of its input say it.
    pub fn place(&self) -> Option<Place> {
        if !self.text.starts_with("{\"Command\":{\"Input\"") {
            return None;
        }
        let header = |name: &str| {
            let mark = format!("{{\"name\":\"{name}\",\"value\":\"");
            let (_, rest) = self.text.split_once(&mark)?;
            rest.split_once('"').map(|(value, _)| value)
        };
        Some(Place {
            topic: header("kafka.topic")?.to_owned(),
            partition: header("kafka.partition")?.parse().ok()?,
            offset: header("kafka.offset")?.parse().ok()?,
        })
    }

    fn number(&self, name: &str) -> Option<i64> {
        let (_, rest) = self.text.split_once(&format!("\"{name}\":"))?;
        let end = rest
            .find(|it: char| !it.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse().ok()
    }

    fn word(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&format!("\"{name}\":\""))?;
        rest.split_once('"').map(|(value, _)| value)
    }

    /// What waiting for it means; `None`: nobody waits for such a one.
    fn what(&self) -> Option<String> {
        let kind = self
            .text
            .strip_prefix("{\"Command\":{\"")?
            .split('"')
            .next()?;
        let name = self.name.as_deref().filter(|name| !name.is_empty());
        Some(match kind {
            "Sleep" => {
                let until = jiff::Timestamp::from_millisecond(self.number("wake_up_time")?).ok()?;
                format!("sleep until {until:.0}")
            }
            "GetPromise" => format!("promise {}", self.word("key")?),
            "Run" => format!("run {}", name?),
            "Call" => format!("call of {}", name.or(self.word("handler"))?),
            "AttachInvocation" => "another invocation".to_owned(),
            _ => return None,
        })
    }
}

/// So many entries of a journal are looked at, the last ones.
const LAST: u64 = 12;

/// The entries of these journals, given with their sizes, that say what their invocations are of and
/// wait for, as a condition in SQL; `None`: there are none.
pub fn of_journals<'i>(journals: impl Iterator<Item = (&'i str, Option<u64>)>) -> Option<String> {
    let each = journals.map(|(id, size)| {
        let last = size.unwrap_or(0).saturating_sub(LAST);
        format!("(id = {} AND (index = 0 OR index >= {last}))", quoted(id))
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| each.join(" OR "))
}

/// What the last commands wait for: a promise or a call with its deadline is two of them.
pub fn waits_for(commands: &[&Command]) -> Option<String> {
    let last: Vec<String> = commands
        .iter()
        .rev()
        .take_while(|it| it.what().is_some())
        .take(2)
        .filter_map(|it| it.what())
        .collect();
    match last.as_slice() {
        [deadline, what]
            if deadline.starts_with("sleep ")
                && !what.starts_with("run ")
                && !what.starts_with("sleep ") =>
        {
            Some(format!("{what}, or {deadline}"))
        }
        // Something was tried, and is tried again.
        [pause, run] if pause.starts_with("sleep ") && run.starts_with("run ") => {
            Some(format!("{pause}, after {run}"))
        }
        [what, ..] => Some(what.clone()),
        [] => None,
    }
}

/// A time of Restate's SQL in milliseconds since 1970-01-01 UTC.
pub fn millis(text: &str) -> Option<i64> {
    Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Command {
        Command {
            text: text.into(),
            ..Command::default()
        }
    }

    #[test]
    fn an_input_says_which_record_it_is_of() {
        let input = command(
            r#"{"Command":{"Input":{"headers":[{"name":"kafka.offset","value":"12"},{"name":"kafka.topic","value":"orders"},{"name":"kafka.partition","value":"3"}],"payload":[0,0"#,
        );
        assert_eq!(input.place().unwrap().to_string(), "orders/3/12");
        assert_eq!(
            command(r#"{"Command":{"Run":{"completion_id":2}}}"#).place(),
            None
        );
        assert_eq!(command("").place(), None);
    }

    #[test]
    fn a_promise_with_a_deadline_is_one_thing_to_wait_for() {
        let promise =
            command(r#"{"Command":{"GetPromise":{"key":"approval","completion_id":3,"name":""}}}"#);
        let sleep =
            command(r#"{"Command":{"Sleep":{"wake_up_time":1796072164132,"completion_id":4}}}"#);
        let state = command(r#"{"Command":{"SetState":{"key":"state"}}}"#);
        assert_eq!(
            waits_for(&[&state, &promise, &sleep]).unwrap(),
            "promise approval, or sleep until 2026-11-30T20:56:04Z"
        );
        assert_eq!(waits_for(&[&promise, &state]), None);
        let run = Command {
            name: Some("publish".into()),
            ..command(r#"{"Command":{"Run":{"completion_id":2,"name":"publish"}}}"#)
        };
        assert_eq!(waits_for(&[&promise, &run]).unwrap(), "run publish");
        assert_eq!(
            waits_for(&[&run, &sleep]).unwrap(),
            "sleep until 2026-11-30T20:56:04Z, after run publish"
        );
        assert_eq!(
            of_journals([("a'b", Some(40)), ("c", None)].into_iter()).unwrap(),
            "(id = 'a''b' AND (index = 0 OR index >= 28)) OR (id = 'c' AND (index = 0 OR index >= 0))"
        );
    }
}
