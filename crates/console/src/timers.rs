//! Timers: what is due when, and what is late.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use millstream_follow::Roles;
use millstream_follow::hidden::in_timer_state;
use serde_json::{Value, json};

use crate::Console;
use crate::answer::{Answer, away};
use crate::objects::quoted;
use crate::shown::{IN_LIST, short};

/// The object that holds them.
pub const OBJECT: &str = "Timers";
/// Timers that are shown: those that are due first.
const MAX_ROWS: usize = 500;
/// Keys whose states are asked for at once: no question may be too long.
const AT_ONCE: usize = 100;
/// Bytes of a state that is shown: its topic and key. A larger one holds a large event.
const MAX_STATE: usize = 64 * 1024;
/// Later than this is late: Restate and the handlers need a moment.
const LATE_MS: i64 = 5_000;

/// The pending timers, the first that is due first.
pub async fn timers(State(console): State<Arc<Console>>) -> Answer {
    // Restate shows the time of the start only where that of the scheduling is asked for as well.
    let pending = format!(
        "SELECT target_service_key AS key, target_handler_name AS handler, status, scheduled_start_at AS due, scheduled_at, \
         last_failure FROM sys_invocation WHERE target_service_name = '{OBJECT}' AND status <> 'completed' \
         ORDER BY scheduled_start_at NULLS FIRST LIMIT {MAX_ROWS}"
    );
    let count = format!(
        "SELECT COUNT(*) AS count FROM sys_invocation WHERE target_service_name = '{OBJECT}' AND status <> 'completed'"
    );
    let (pending, count) = tokio::try_join!(
        console.restate.query::<Value>(&pending),
        console.restate.query::<Value>(&count)
    )
    .map_err(|error| away(&error))?;
    let mut named: Vec<Value> = Vec::new();
    for question in of_states(&pending) {
        let found = console.restate.query::<Value>(&question).await;
        named.extend(found.map_err(|error| away(&error))?);
    }
    let named: HashMap<&str, &Value> = named
        .iter()
        .filter_map(|row| Some((row["key"].as_str()?, row)))
        .collect();
    let now = jiff::Timestamp::now().as_millisecond();
    let rows: Vec<Value> = pending
        .iter()
        .map(|row| {
            timer(
                row,
                row["key"].as_str().and_then(|key| named.get(key).copied()),
                now,
                &console.roles,
            )
        })
        .collect();
    Ok(Json(json!({
        "timers": rows,
        "total": count.first().map(|row| row["count"].clone()),
        "now": now,
    })))
}

/// What asks for the states of these timers.
fn of_states(pending: &[Value]) -> Vec<String> {
    let keys: BTreeSet<&str> = pending
        .iter()
        .filter_map(|row| row["key"].as_str())
        .collect();
    let keys: Vec<String> = keys.into_iter().map(quoted).collect();
    keys.chunks(AT_ONCE)
        .map(|keys| {
            format!(
                "SELECT service_key AS key, value_utf8 AS text FROM state WHERE service_name = '{OBJECT}' \
                 AND key = 'state' AND octet_length(value_utf8) <= {MAX_STATE} AND service_key IN ({})",
                keys.join(", ")
            )
        })
        .collect()
}

fn timer(row: &Value, state: Option<&Value>, now: i64, roles: &Roles) -> Value {
    let text = state.and_then(|state| state["text"].as_str());
    let held = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let held = held.map(|mut state| {
        in_timer_state(&mut state, roles);
        state["timer"].take()
    });
    let due = row["due"]
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok());
    let due = due.map(|due| due.as_millisecond());
    let name = row["key"].as_str().unwrap_or_default();
    json!({
        "name": short(name, IN_LIST),
        "handler": row["handler"],
        "status": row["status"],
        "due": due,
        "late": due.is_some_and(|due| now - due > LATE_MS),
        "failure": row["last_failure"].as_str().map(|it| short(it, IN_LIST)),
        "topic": held.as_ref().and_then(|held| held["topic"].as_str()),
        "key": held.as_ref().and_then(|held| held["key"].as_str()).map(|key| short(key, IN_LIST)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_for_a_reply_is_shown_without_its_key() {
        let roles = Roles::of(millstream_topics::TOPICS);
        let shown = |topic: &str| {
            let held = json!({ "timer": { "topic": topic, "key": "k", "value": "AAAA" } });
            let state = json!({ "key": "t", "text": held.to_string() });
            let row = json!({ "key": "t", "status": "scheduled", "due": "1970-01-01T00:00:01Z" });
            let shown = timer(&row, Some(&state), 0, &roles);
            (
                shown["topic"].clone(),
                shown["key"].clone(),
                shown["due"].clone(),
            )
        };
        assert_eq!(
            shown("replies"),
            (json!("replies"), json!("***"), json!(1000))
        );
        assert_eq!(shown("tasks"), (json!("tasks"), json!("k"), json!(1000)));
    }

    #[test]
    fn only_the_states_of_what_is_listed_are_asked_for() {
        assert!(of_states(&[]).is_empty());
        let listed = [
            json!({ "key": "b" }),
            json!({ "key": "o'neill" }),
            json!({ "key": "b" }),
        ];
        let questions = of_states(&listed);
        assert_eq!(questions.len(), 1);
        assert!(questions[0].ends_with("IN ('b', 'o''neill')"));
        let many: Vec<Value> = (0..MAX_ROWS)
            .map(|at| json!({ "key": at.to_string() }))
            .collect();
        assert_eq!(of_states(&many).len(), MAX_ROWS / AT_ONCE);
    }
}
