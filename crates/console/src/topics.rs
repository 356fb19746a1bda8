//! Records of topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::browse;
use crate::browse::{MAX_PAGE, Place};
use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};
use futures::stream;
use millstream_control::dead_letters::parse_time;
use millstream_gateway::Problem;
use millstream_gateway::access::Caller;
use millstream_pipeline::events::{Declaration, EventSchema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Console;
use crate::answer::{Answer, no_kafka, nothing, too_slow, wrong};
use crate::live::events;
use crate::shown::{self, IN_LIST, row, short};

/// How long a page may be waited for.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);
/// Records of a page unless it is said.
const USUAL: usize = 50;

/// What a topic is to the declaration that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// The declaration.
    pub of: &'static Declaration,
    /// `topic`, `results`, `results, once each`, `dead letters` or `guarded`.
    pub role: &'static str,
}

/// All topics that belong to the declarations.
pub fn all(declarations: &[&'static Declaration]) -> BTreeMap<String, Role> {
    let mut topics = BTreeMap::new();
    for of in declarations {
        let role = |role| Role { of, role };
        if of.guard {
            topics.insert(of.subscribed_topic(), role("guarded"));
        }
        if of.dead_letters {
            topics.insert(of.dead_letter_topic(), role("dead letters"));
        }
        if let Some(results) = &of.results {
            topics
                .entry(results.name.to_owned())
                .or_insert(role("results"));
            if let Some(once) = &results.once {
                topics.insert(once.name.to_owned(), role("results, once each"));
            }
        }
    }
    // A result topic that somebody handles has a declaration of its own.
    for of in declarations {
        let role = match of.is_of_results() {
            true => "results",
            false => "topic",
        };
        topics.insert(of.name.to_owned(), Role { of, role });
    }
    topics
}

fn known(console: &Console, topic: &str) -> Result<Role, Problem> {
    console.topics.get(topic).copied().ok_or_else(|| {
        nothing(format!(
            "no topic {} is declared in {}; it may be another project's",
            short(topic, IN_LIST),
            console.settings.application
        ))
    })
}

/// What is declared of a topic, the schemas of its events among it.
pub async fn topic(State(console): State<Arc<Console>>, Path(name): Path<String>) -> Answer {
    let Role { of, role } = known(&console, &name)?;
    let own = of.events.iter().map(|event| (event.schema)());
    let events: Vec<Value> = match (role, &of.results) {
        ("results" | "results, once each", Some(results)) if !of.is_of_results() => {
            results.schemas.iter().map(|it| schema(it())).collect()
        }
        ("dead letters", _) => Vec::new(),
        _ => own.map(schema).collect(),
    };
    Ok(Json(json!({
        "name": name,
        "role": role,
        "of": of.name,
        "declaration": crate::flow::topic(&console.declarations, of),
        "partitions": of.partitions,
        "retention_ms": of.retention_ms,
        "schemas": events,
    })))
}

fn schema(schema: &EventSchema) -> Value {
    let parse = |text| serde_json::from_str::<Value>(text).unwrap_or_default();
    json!({
        "name": schema.full_name,
        "schema": parse(schema.json),
        "example": parse(schema.example),
    })
}

/// Which records.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    partition: Option<i32>,
    offset: Option<i64>,
    key: Option<String>,
    time: Option<String>,
    /// Where a page with older records begins, as the page before said it.
    before: Option<String>,
    limit: Option<usize>,
}

/// A page of records.
pub async fn records(
    State(console): State<Arc<Console>>,
    Path(topic): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    known(&console, &topic)?;
    let query = query(asked)?;
    let reading = async {
        let turn = console.turn(LIMIT).await;
        console.browser.page(&topic, query, turn).await
    };
    let page = tokio::time::timeout(LIMIT, reading).await;
    let page = page.map_err(|_| too_slow("reading the topic"))?;
    let page = page.map_err(|error| no_kafka(&topic, &error))?;
    let page = page.ok_or_else(|| {
        nothing(format!(
            "{topic} is declared, but Kafka does not have it; `{} apply` makes it",
            millstream_pipeline::program::name()
        ))
    })?;
    let rows: Vec<Value> = page
        .records
        .iter()
        .map(|it| row(&it.seen, it.size))
        .collect();
    let bounds: Vec<Value> = page
        .bounds
        .iter()
        .map(
            |(partition, begin, end)| json!({ "partition": partition, "begin": begin, "end": end }),
        )
        .collect();
    let older = page.older.map(|older| {
        let parts: Vec<String> = older
            .iter()
            .map(|(partition, at)| format!("{partition}:{at}"))
            .collect();
        parts.join(",")
    });
    Ok(Json(json!({
        "records": rows,
        "partitions": bounds,
        "searched": page.searched,
        "older": older,
        "now": jiff::Timestamp::now().as_millisecond(),
    })))
}

fn query(asked: Asked) -> Result<browse::Query, Problem> {
    let place = if let Some(before) = &asked.before {
        let read = before.split(',').map(|part| {
            let (partition, offset) = part.split_once(':')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        });
        let read: Option<BTreeMap<i32, i64>> = read.collect();
        Place::Before(read.ok_or_else(|| wrong("`before` is what a page says as `older`"))?)
    } else if let Some(offset) = asked.offset {
        Place::Offset(offset)
    } else if let Some(time) = asked.time.as_deref().filter(|it| !it.is_empty()) {
        let now = jiff::Timestamp::now().as_millisecond();
        Place::Time(parse_time(time, now).map_err(|error| wrong(error.to_string()))?)
    } else {
        Place::Newest
    };
    Ok(browse::Query {
        partition: asked.partition,
        key: asked.key.filter(|key| !key.is_empty()),
        place,
        limit: asked.limit.unwrap_or(USUAL).min(MAX_PAGE),
    })
}

/// All of a record.
pub async fn record(
    State(console): State<Arc<Console>>,
    Path((topic, partition, offset)): Path<(String, i32, i64)>,
) -> Answer {
    known(&console, &topic)?;
    let reading = async {
        let turn = console.turn(LIMIT).await;
        let found = console.browser.record(&topic, partition, offset, turn);
        found.await
    };
    let found = tokio::time::timeout(LIMIT, reading).await;
    let found = found.map_err(|_| too_slow("reading the record"))?;
    let found = found.map_err(|error| no_kafka(&topic, &error))?;
    let found = found.ok_or_else(|| {
        nothing(format!(
            "nothing stands at {topic}/{partition}/{offset} any more, or not yet"
        ))
    })?;
    Ok(Json(shown::record(&found)))
}

/// The records that come from now on.
pub async fn tail(
    State(console): State<Arc<Console>>,
    Extension(caller): Extension<Caller>,
    Path(topic): Path<String>,
) -> Response {
    if let Err(problem) = known(&console, &topic) {
        return problem.into_response();
    }
    let Ok(place) = Arc::clone(&console.tails).try_acquire_owned() else {
        return Problem::unavailable(
            "as many pages follow a topic as may do so at once; end one of them, or try again later",
        )
        .into_response();
    };
    let reader = match console.browser.tail(&topic).await {
        Ok(reader) => reader,
        Err(error) => return no_kafka(&topic, &error).into_response(),
    };
    let (tail, name) = (Arc::clone(&console), topic);
    let ready = stream::iter([Event::default().event("ready").data("{}")]);
    let records = stream::unfold(Some((reader, place)), move |reader| {
        let (console, topic) = (Arc::clone(&tail), name.clone());
        async move {
            let (mut reader, place) = reader?;
            Some(match console.browser.next(&mut reader).await {
                Ok(seen) => {
                    let size = seen.value.as_ref().map_or(0, Vec::len);
                    let event = Event::default().event("record");
                    let event = event.json_data(row(&seen, size)).unwrap_or_default();
                    (event, Some((reader, place)))
                }
                Err(error) => {
                    let problem = no_kafka(&topic, &error).body().to_string();
                    (Event::default().event("problem").data(problem), None)
                }
            })
        }
    });
    events(&console, caller, futures::StreamExt::chain(ready, records)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_declarations_has_one_role() {
        let topics = all(millstream_topics::TOPICS);
        let role = |name: &str| topics.get(name).map(|it| it.role);
        assert_eq!(role("trip-bookings"), Some("topic"));
        assert_eq!(role("trip-bookings-results"), Some("results"));
        assert_eq!(role("accounts-results-once"), Some("results, once each"));
        assert_eq!(role("trip-bookings-dlq"), Some("dead letters"));
        assert_eq!(role("__consumer_offsets"), None);
    }

    #[test]
    fn a_page_is_asked_for_in_one_way() {
        let asked = |before: &str| Asked {
            before: Some(before.into()),
            ..Asked::default()
        };
        let read = query(asked("0:5,1:7")).unwrap();
        assert_eq!(read.place, Place::Before(BTreeMap::from([(0, 5), (1, 7)])));
        assert!(query(asked("0:x")).is_err());
        let endless = Asked {
            limit: Some(1_000_000),
            ..Asked::default()
        };
        assert_eq!(query(endless).unwrap().limit, MAX_PAGE);
    }
}
