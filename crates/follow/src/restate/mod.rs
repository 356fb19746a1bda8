//! What Restate has of a request: invocations that are not done, and timers that are not due.

mod rows;
#[cfg(test)]
mod tests;
mod timers;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use millstream_control::Error;
use millstream_control::restate::Restate;

use crate::journey::{Journey, Kind};
use crate::tree::{PendingTimer, Roles};
use rows::{Command, Invocation};
pub use waits::{Held, Turn, begun, tell, turns};

/// So many invocations are looked at; those that were made first.
const MAX_INVOCATIONS: usize = 500;
/// So many keys are asked about.
const MAX_KEYS: usize = 200;
/// So many timers are looked at.
const MAX_TIMERS: usize = 1000;

/// Who may be handling the events of a request: by service, the keys.
#[derive(Debug, Clone, Default)]
pub struct Handlers(BTreeMap<&'static str, BTreeSet<String>>);

impl Handlers {
    /// The handlers that the events of a journey are delivered to.
    pub fn of(journey: &Journey, roles: &Roles) -> Self {
        let mut handlers: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        let mut keys = 0;
        // The last ones first: what is old is done, mostly.
        for node in journey.nodes.iter().rev() {
            if matches!(node.kind, Kind::DeadLetter | Kind::Missing) || node.partition.is_none() {
                continue;
            }
            let declaration = node
                .topic
                .as_deref()
                .and_then(|topic| roles.declaration(topic));
            let (Some(declaration), Some(key)) = (declaration, &node.key) else {
                continue;
            };
            for subscription in declaration.subscriptions {
                let known = handlers.entry(subscription.service).or_default();
                if keys < MAX_KEYS && is_safe(key) {
                    keys += usize::from(known.insert(key.clone()));
                }
            }
        }
        Self(handlers)
    }

    /// As a condition in SQL; `None`: there are none.
    fn condition(&self) -> Option<String> {
        let each = self.0.iter().filter(|(_, keys)| !keys.is_empty()).map(|(service, keys)| {
            let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
            format!(
                "(target_service_name = {} AND (target_service_key IN ({}) OR target_service_key IS NULL))",
                quoted(service),
                keys.join(", ")
            )
        });
        let each: Vec<String> = each.collect();
        (!each.is_empty()).then(|| each.join(" OR "))
    }
}

/// Whether a text can stand in a query. Others are not asked about.
fn is_safe(text: &str) -> bool {
    !text.is_empty() && text.len() <= 1024 && !text.chars().any(char::is_control)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What Restate has of the keys of a journey, and is not done with.
pub async fn held(restate: &Restate, journey: &Journey, roles: &Roles) -> Result<Held, Error> {
    let Some(condition) = Handlers::of(journey, roles).condition() else {
        return Ok(Held::default());
    };
    let condition = format!("status <> 'completed' AND ({condition})");
    let invocations: Vec<Invocation> = restate
        .query(&format!(
            "SELECT {} FROM sys_invocation WHERE {condition} \
             ORDER BY created_at LIMIT {MAX_INVOCATIONS}",
            rows::COLUMNS
        ))
        .await?;
    let begun = invocations.iter().filter(|it| it.has_begun());
    let begun = begun.map(|it| (it.id.as_str(), it.journal_size));
    let commands = commands(restate, begun).await?;
    let is_whole = invocations.len() < MAX_INVOCATIONS;
    let held = Held::new(invocations, commands);
    if !held.has_queued() {
        return Ok(held);
    }
    let subscriptions = restate.subscriptions().await?.into_iter();
    let topics = subscriptions.filter_map(|it| {
        let topic = it.source.rsplit_once('/')?.1.to_owned();
        Some((it.id, topic))
    });
    let topics: HashMap<String, String> = topics.collect();
    let counts = match is_whole {
        true => None,
        false => {
            let shown = rows::QUEUE.map(|(column, name)| format!("{column} AS {name}"));
            let sql = format!(
                "SELECT {}, COUNT(*) AS count FROM sys_invocation WHERE {condition} GROUP BY {}",
                shown.join(", "),
                rows::QUEUE.map(|(column, _)| column).join(", ")
            );
            Some(restate.query(&sql).await?)
        }
    };
    Ok(held.queued(&topics, counts))
}

/// The first command of each of these journals, given with their sizes, and the last ones.
async fn commands<'i>(
    restate: &Restate,
    journals: impl Iterator<Item = (&'i str, Option<u64>)>,
) -> Result<Vec<Command>, Error> {
    let Some(condition) = rows::of_journals(journals) else {
        return Ok(Vec::new());
    };
    restate
        .query(&format!(
            // An input holds the whole record, as numbers; its headers come first.
            "SELECT id, index, name, substr(entry_json, 1, {}) AS text FROM sys_journal \
             WHERE ({condition}) AND entry_type LIKE 'Command: %' ORDER BY id, index",
            rows::HEAD
        ))
        .await
}

/// What invocations that have begun wait for, by their ids, as far as their journals tell; they are
/// given with the sizes of these.
pub async fn waited_for<'i>(
    restate: &Restate,
    journals: impl Iterator<Item = (&'i str, Option<u64>)>,
) -> Result<HashMap<String, String>, Error> {
    let mut all: BTreeMap<String, Vec<Command>> = BTreeMap::new();
    for command in commands(restate, journals).await? {
        all.entry(command.id.clone()).or_default().push(command);
    }
    let told = all.into_iter().filter_map(|(id, commands)| {
        let commands: Vec<&Command> = commands.iter().collect();
        Some((id, rows::waits_for(&commands)?))
    });
    Ok(told.collect())
}

/// The timers of these requests that are not due.
pub async fn timers(
    restate: &Restate,
    journey: &Journey,
    roles: &Roles,
) -> Result<Vec<PendingTimer>, Error> {
    let mut pending = Vec::new();
    let conditions = timers::conditions(journey);
    if !conditions.is_empty() {
        let rows: Vec<timers::State> = restate
            .query(&format!(
                "SELECT service_key AS key, value_utf8 AS state FROM state \
                 WHERE service_name = 'Timers' AND key = 'state' AND ({}) LIMIT {MAX_TIMERS}",
                conditions.join(" OR ")
            ))
            .await?;
        pending.extend(rows.iter().filter_map(|row| row.timer(journey)));
    }
    let expected = timers::Expected::of(journey, roles);
    if let Some(condition) = expected.condition() {
        let rows: Vec<timers::Once> = restate
            .query(&format!(
                "SELECT target_service_key AS key, scheduled_start_at AS due FROM sys_invocation \
                 WHERE target_service_name = 'Timers' AND target_handler_name = 'once' \
                 AND status = 'scheduled' AND ({condition}) LIMIT {MAX_TIMERS}"
            ))
            .await?;
        pending.extend(rows.iter().filter_map(|row| expected.timer(row)));
    }
    Ok(pending)
}
