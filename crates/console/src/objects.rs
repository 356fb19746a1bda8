//! Objects: their states, in Restate or in the topic of a service in the batch lane, and the invocations
//! that are not finished.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use millstream_control::restate::{FAILS, WaitingKey};
use millstream_control::{keys_in_topic, shards_of, state_in_topic};
use millstream_follow::Roles;
use millstream_follow::hidden::{HIDDEN, in_timer_state};
use millstream_follow::restate::waited_for;
use millstream_gateway::Problem;
use millstream_pipeline::events::Lane;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Console;
use crate::answer::{Answer, away, nothing, too_slow, wrong};
use crate::shown::{IN_LIST, WHOLE, pretty, short};
use crate::{flow, timers};

/// How long reading the states of the batch lane may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Rows of a list.
const MAX_ROWS: usize = 200;
/// Keys that wait, and entries of a state.
const MAX_KEYS: usize = 50;
/// Bytes of a state that are asked for.
const MAX_STATE: usize = 256 * 1024;

/// What is shown of an invocation.
const INVOCATION: &str = "id, target_service_name AS service, target_service_key AS key, \
     target_handler_name AS handler, status, created_at, modified_at, retry_count, last_failure, \
     last_failure_error_code AS failure_code, next_retry_at, scheduled_start_at, scheduled_at, journal_size";

/// A text in Restate's SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text of a row, cut.
pub fn cut_texts(mut row: Value, limit: usize) -> Value {
    if let Some(row) = row.as_object_mut() {
        for value in row.values_mut() {
            if let Value::String(text) = value {
                *text = short(text, limit);
            }
        }
    }
    row
}

/// Adds to invocations that have begun what they wait for.
async fn with_waits(console: &Console, mut rows: Vec<Value>) -> Result<Vec<Value>, Problem> {
    let waits = {
        let begun = rows.iter().filter(|it| has_begun(it));
        let journals =
            begun.filter_map(|it| Some((it["id"].as_str()?, it["journal_size"].as_u64())));
        let waits = waited_for(&console.restate, journals).await;
        waits.map_err(|error| away(&error))?
    };
    for row in &mut rows {
        if let Some(what) = row["id"].as_str().and_then(|id| waits.get(id)) {
            row["waits_for"] = json!(short(what, IN_LIST));
        }
    }
    Ok(rows)
}

fn has_begun(row: &Value) -> bool {
    !matches!(row["status"].as_str(), Some("pending" | "scheduled") | None)
}

/// The invocations that keys are held by, with what they wait for.
async fn holders(console: &Console, waiting: &[WaitingKey]) -> Result<Vec<Value>, Problem> {
    let each = waiting.iter().map(|it| {
        let (service, key) = (quoted(&it.service), quoted(&it.key));
        format!("(target_service_name = {service} AND target_service_key = {key})")
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        return Ok(Vec::new());
    }
    let holders = format!(
        "SELECT {INVOCATION} FROM sys_invocation WHERE status NOT IN ('pending', 'scheduled', 'completed') \
         AND ({}) LIMIT {MAX_ROWS}",
        each.join(" OR ")
    );
    let holders = console.restate.query::<Value>(&holders).await;
    with_waits(console, holders.map_err(|error| away(&error))?).await
}

/// The names of what is stuck: failing, paused, or waiting behind others of its key.
pub async fn stuck(State(console): State<Arc<Console>>) -> Answer {
    // One that is being tried once more is as stuck as one that waits for that.
    let failing = format!(
        "SELECT {INVOCATION} FROM sys_invocation WHERE status IN ('backing-off', 'paused') \
         OR ({FAILS}) \
         ORDER BY modified_at LIMIT {MAX_ROWS}"
    );
    let (failing, waiting) = tokio::try_join!(
        console.restate.query::<Value>(&failing),
        console.restate.waiting_keys(MAX_KEYS)
    )
    .map_err(|error| away(&error))?;
    let is_whole = failing.len() < MAX_ROWS && waiting.len() < MAX_KEYS;
    let (failing, holders) =
        tokio::try_join!(with_waits(&console, failing), holders(&console, &waiting))?;
    let failing: Vec<Value> = failing
        .into_iter()
        .map(|it| cut_texts(it, IN_LIST))
        .collect();
    let holder = |it: &WaitingKey| {
        let holder = |row: &&Value| row["service"] == it.service && row["key"] == it.key;
        holders
            .iter()
            .find(holder)
            .cloned()
            .map(|it| cut_texts(it, IN_LIST))
    };
    let waiting: Vec<Value> = waiting
        .into_iter()
        .map(|it| {
            json!({
                "service": it.service,
                "key": short(&it.key, IN_LIST),
                "count": it.count,
                "waited_ms": it.waited_ms,
                // What holds the key.
                "behind": holder(&it),
            })
        })
        .collect();
    Ok(Json(
        json!({ "failing": failing, "waiting": waiting, "whole": is_whole }),
    ))
}

/// Which keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// What they begin with.
    prefix: String,
}

/// Keys of a service that have a state.
pub async fn keys(
    State(console): State<Arc<Console>>,
    Path(service): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    known(&console, &service)?;
    if asked.prefix.len() > 1_024 {
        return Err(wrong("no key is longer than 1,024 bytes"));
    }
    if let Some(shards) = shards_of(&console.declarations, &service) {
        let reading = async {
            let turn = console.turn(LIMIT).await;
            let of = (service.as_str(), asked.prefix.as_str());
            let goes_on = move || !turn.is_over();
            keys_in_topic(shards, &console.endpoints, of, MAX_ROWS, goes_on).await
        };
        let found = tokio::time::timeout(LIMIT, reading).await;
        let found = found.map_err(|_| too_slow("reading the states"))?;
        let found = found.map_err(|error| away(&error))?;
        let rows = found
            .keys
            .iter()
            .map(|(key, bytes)| json!({ "key": key, "bytes": bytes }));
        return Ok(Json(
            json!({ "keys": rows.collect::<Vec<_>>(), "whole": found.is_whole }),
        ));
    }
    let rows: Vec<Value> = console
        .restate
        .query(&format!(
            "SELECT service_key AS key, SUM(octet_length(value_utf8)) AS bytes FROM state WHERE service_name = {} \
             AND starts_with(service_key, {}) GROUP BY service_key ORDER BY service_key LIMIT {MAX_ROWS}",
            quoted(&service),
            quoted(&asked.prefix)
        ))
        .await
        .map_err(|error| away(&error))?;
    let is_whole = rows.len() < MAX_ROWS;
    let rows: Vec<Value> = rows.into_iter().map(|it| cut_texts(it, 2_000)).collect();
    Ok(Json(json!({ "keys": rows, "whole": is_whole })))
}

/// All that Restate holds of a key.
pub async fn object(
    State(console): State<Arc<Console>>,
    Path((service, key)): Path<(String, String)>,
) -> Answer {
    let topics = known(&console, &service)?;
    if key.len() > 1_024 {
        return Err(wrong("no key is longer than 1,024 bytes"));
    }
    let leased = shards_of(&console.declarations, &service);
    let partition = leased.map(|shards| shards.of_key(&key));
    // Its invocations are leases of partitions.
    let object = partition.map_or_else(|| key.clone(), |partition| partition.to_string());
    let (service_text, object) = (quoted(&service), quoted(&object));
    let invocations = format!(
        "SELECT {INVOCATION} FROM sys_invocation WHERE target_service_name = {service_text} \
         AND target_service_key = {object} AND status <> 'completed' ORDER BY created_at LIMIT {MAX_ROWS}"
    );
    let invocations = async {
        let found = console.restate.query::<Value>(&invocations).await;
        found.map_err(|error| away(&error))
    };
    let state = async {
        let Some(shards) = leased else {
            let state = format!(
                "SELECT key AS entry, octet_length(value_utf8) AS bytes, substr(value_utf8, 1, {MAX_STATE}) AS text \
                 FROM state WHERE service_name = {service_text} AND service_key = {object} ORDER BY key LIMIT {MAX_KEYS}"
            );
            let found = console.restate.query::<Value>(&state).await;
            return found.map_err(|error| away(&error));
        };
        let reading = async {
            let turn = console.turn(LIMIT).await;
            let of = (service.as_str(), key.as_str());
            let goes_on = move || !turn.is_over();
            state_in_topic(shards, &console.endpoints, of, goes_on).await
        };
        let found = tokio::time::timeout(LIMIT, reading).await;
        let found = found.map_err(|_| too_slow("reading the state"))?;
        let found = found.map_err(|error| away(&error))?;
        let row = |(bytes, state): (usize, Value)| json!({ "entry": "state", "bytes": bytes, "text": state.to_string() });
        Ok(found.into_iter().map(row).collect())
    };
    let (state, invocations) = tokio::try_join!(state, invocations)?;
    let is_whole = state.len() < MAX_KEYS && invocations.len() < MAX_ROWS;
    let mut invocations = with_waits(&console, invocations).await?;
    // What holds the others up comes first.
    invocations.sort_by_key(|it| !has_begun(it));
    let entry = |row: &Value| entry(&service, row, &console.roles);
    let state: Vec<Value> = state.iter().map(entry).collect();
    let invocations: Vec<Value> = invocations
        .into_iter()
        .map(|it| cut_texts(it, 4_000))
        .collect();
    Ok(Json(json!({
        "service": service,
        "key": key,
        "state": state,
        "invocations": invocations,
        "topics": topics,
        // Of a key in the batch lane: the partition with which it is leased.
        "partition": partition,
        "whole": is_whole,
    })))
}

/// An entry of a state: its fields, and what the library keeps with them apart.
fn entry(service: &str, row: &Value, roles: &Roles) -> Value {
    let text = row["text"].as_str();
    let mut parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let text = match (service, &mut parsed) {
        (timers::OBJECT, Some(state)) => {
            in_timer_state(state, roles);
            text
        }
        // Cut off, it holds an event all the same.
        (timers::OBJECT, None) => text.map(|_| HIDDEN),
        _ => text,
    };
    let (fields, bookkeeping) = match parsed {
        Some(Value::Object(mut fields)) => {
            let bookkeeping = fields.remove("_m");
            (Some(Value::Object(fields)), bookkeeping)
        }
        other => (other, None),
    };
    json!({
        "entry": row["entry"],
        "bytes": row["bytes"],
        "fields": fields.as_ref().map(pretty),
        "bookkeeping": bookkeeping.as_ref().map(pretty),
        // What is no JSON is shown as it is.
        "text": text.filter(|_| fields.is_none()).map(|text| short(text, WHOLE)),
    })
}

/// The topics that a service handles.
fn known(console: &Console, service: &str) -> Result<Vec<&'static str>, Problem> {
    let lane = match shards_of(&console.declarations, service) {
        Some(_) => Lane::Batch,
        None => Lane::Event,
    };
    let topics: Vec<&'static str> = console
        .declarations
        .iter()
        .filter(|topic| {
            let mut handlers = flow::handlers(&console.declarations, topic).into_iter();
            // Work orders of the batch lane are not events of its keys.
            handlers.any(|it| it.to.service == service && it.lane == lane)
        })
        .map(|topic| topic.name)
        .collect();
    match topics.is_empty() {
        false => Ok(topics),
        true => Err(nothing(format!(
            "no service {} handles a topic that is declared here",
            short(service, IN_LIST)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_ends_the_text_that_it_stands_in() {
        assert_eq!(quoted("o'neill' OR ''='"), "'o''neill'' OR ''''='''");
    }

    #[test]
    fn fields_and_bookkeeping_are_shown_apart() {
        let roles = Roles::of(millstream_topics::TOPICS);
        let entry = |service: &str, row: &Value| entry(service, row, &roles);
        let row = json!({ "entry": "state", "bytes": 9, "text": "{\"a\":1,\"_m\":{\"v\":1}}" });
        let shown = entry("Flights", &row);
        assert_eq!(shown["fields"], "{\n  \"a\": 1\n}");
        assert!(shown["bookkeeping"].as_str().is_some());
        let broken = json!({ "entry": "state", "bytes": 1, "text": "{" });
        assert_eq!(entry("Flights", &broken)["text"], "{");
        // The event that a timer holds has a proof.
        assert_eq!(entry("Timers", &broken)["text"], "***");
        let timer = json!({ "timer": { "topic": "tasks", "key": "k", "value": "AAAA" } });
        let timer = json!({ "entry": "state", "bytes": 9, "text": timer.to_string() });
        let shown = entry("Timers", &timer);
        let fields: Value = serde_json::from_str(shown["fields"].as_str().unwrap()).unwrap();
        let held = json!({ "topic": "tasks", "key": "k", "value": "***" });
        assert_eq!(fields, json!({ "timer": held }));
    }
}
