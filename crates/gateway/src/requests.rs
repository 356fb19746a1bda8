//! `GET /v1/requests/{id}`, at once or after a wait, and its events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::Gateway;
use super::access::{Caller, Refusal, Verb};
use super::answer::{Answer, accepted, answered};
use super::prefer::Prefer;
use super::problem::Problem;
use super::request_id::{RequestId, event_id};
use super::search::SearchError;
use super::waiting::Waiter;
use millstream_pipeline::failure;

/// The routes' templates.
pub const PATH: &str = "/v1/requests/{id}";
/// See [`PATH`].
pub const EVENTS_PATH: &str = "/v1/requests/{id}/events";

/// How long an earlier result may be looked for, if the client does not wait for longer.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Pause between two signs of life on a stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stream lasts; the client then opens another one.
const STREAM_LIMIT: Duration = Duration::from_hours(1);

/// The query of a request that is asked for.
#[derive(Debug, Deserialize)]
pub struct Asked {
    /// Seconds.
    wait: Option<u64>,
}

/// What is known of a request.
struct Found {
    topic: &'static str,
    event_id: String,
    answer: Option<Arc<Answer>>,
    waiter: Option<Waiter>,
}

/// Answers as the request itself would have been answered by now.
pub async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    query: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let prefer = Prefer::of(&headers);
    // They are parts of the buffer that they came in, which is not kept while something waits.
    drop(headers);
    let asked = async {
        let Ok(Query(Asked { wait })) = query else {
            return Err(Problem::bad_request("`wait` must be a number of seconds"));
        };
        let longest = gateway.settings.longest_wait;
        let waiting = prefer.waiting(Duration::ZERO, longest);
        let limit = match wait {
            Some(seconds) => Duration::from_secs(seconds).min(longest),
            None => waiting.limit,
        };
        let (_, topic) = gateway.known(&caller, &id)?;
        tokio::select! {
            biased;
            answer = gateway.after_wait(&caller, &id, limit) => answer,
            refusal = gateway.access.over(&caller.pass, Verb::Read, topic) => Err(refusal.problem()),
        }
    };
    super::labelled(&format!("GET {PATH}"), asked.await)
}

/// Streams `accepted`, then `result` or `problem`.
pub async fn stream_events(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let found = gateway.look_for(&caller, &id, true).await;
    let found = found.and_then(|found| {
        let (pass, now) = (&caller.pass, jiff::Timestamp::now());
        match gateway.access.refusal(pass, Verb::Read, found.topic, now) {
            None => Ok(found),
            // The ticket outlived what it was given for.
            Some(_) => Err(Refusal::Ticket.unauthenticated()),
        }
    });
    let stream = found.map(|found| {
        let first = event("accepted", &about(&id, &found.event_id));
        let last = async move {
            let answer = match (found.answer, found.waiter) {
                (Some(answer), _) => answer,
                (None, Some(mut waiter)) => tokio::select! {
                    answer = waiter.answer() => answer,
                    () = tokio::time::sleep(STREAM_LIMIT) => return None,
                    _ = gateway.access.over(&caller.pass, Verb::Read, found.topic) => return None,
                    () = gateway.draining.cancelled() => return None,
                },
                (None, None) => return None,
            };
            Some(match answer.problem(&id) {
                Some(problem) => event("problem", &problem.body()),
                None => event("result", &answer.body(&id)),
            })
        };
        let events = stream::iter([first]).chain(stream::once(last).filter_map(std::future::ready));
        Sse::new(events.map(Ok::<_, Infallible>))
            .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
            .into_response()
    });
    super::labelled(&format!("GET {EVENTS_PATH}"), stream)
}

impl Gateway {
    /// What an id says and which topic its command stands on, if its request is the caller's and may be
    /// answered for.
    pub(super) fn known(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(RequestId, &'static str), Problem> {
        let principal = &caller.principal;
        let not_found = || Problem::not_found("there is no such request");
        let request = RequestId::decode(id, principal).ok_or_else(not_found)?;
        let now = jiff::Timestamp::now().as_millisecond();
        let age = now.saturating_sub(i64::try_from(request.time_ms).unwrap_or(i64::MAX));
        if u64::try_from(age).is_ok_and(|age| u128::from(age) > self.settings.keep.as_millis()) {
            return Err(Problem::new(
                StatusCode::GONE,
                failure::EXPIRED,
                "the request is too old to be answered for",
            ));
        }
        let topic = self.results.by_digest(request.topic);
        let topic = topic.and_then(|results| self.topic_of(results));
        let topic = topic.ok_or_else(not_found)?;
        caller.check(Verb::Read, topic)?;
        Ok((request, topic))
    }

    /// The answer of a request once it is there, or that there is none yet after so long.
    async fn after_wait(
        &self,
        caller: &Caller,
        id: &str,
        limit: Duration,
    ) -> Result<Response, Problem> {
        let until = Instant::now() + limit;
        let found = Box::pin(self.look_for(caller, id, limit > Duration::ZERO));
        let found = timeout_at(until.max(Instant::now() + LOOK_FOR), found)
            .await
            .unwrap_or_else(|_| Err(no_answer()))?;
        Ok(match found {
            Found {
                answer: Some(answer),
                ..
            } => answered(id, &answer),
            Found {
                event_id,
                waiter: Some(mut waiter),
                ..
            } => tokio::select! {
                answer = waiter.answer() => answered(id, &answer),
                () = tokio::time::sleep_until(until) => pending(id, &event_id),
                () = self.draining.cancelled() => pending(id, &event_id),
            },
            Found { event_id, .. } => pending(id, &event_id),
        })
    }

    /// The answer of a request if there is one, else a place among those who wait for it.
    async fn look_for(&self, caller: &Caller, id: &str, waits: bool) -> Result<Found, Problem> {
        let (request, topic) = self.known(caller, id)?;
        let principal = &caller.principal;
        let event_id = event_id(principal, &request.nonce);
        // First the place, then the search: nothing can come between them.
        let waiter = match waits {
            true => Some(self.wait_for(principal, &event_id)?),
            false => None,
        };
        let answer = self.search.find(&request, &event_id).await;
        let answer = answer.map_err(|error| match error {
            SearchError::NotFollowed => {
                Problem::unavailable("the result topic is not there yet; ask again")
            }
            error => {
                tracing::warn!(%error, "a result cannot be looked for");
                no_answer()
            }
        })?;
        Ok(Found {
            topic,
            event_id,
            answer: answer.map(Arc::new),
            waiter,
        })
    }
}

impl Gateway {
    /// The topic that a result topic belongs to.
    fn topic_of(&self, results: &str) -> Option<&'static str> {
        let mut topics = self.topics.values();
        let topic = topics.find(|it| it.results.as_ref().is_some_and(|it| it.name == results))?;
        Some(topic.name)
    }
}

fn no_answer() -> Problem {
    Problem::unavailable("Kafka or the registry does not answer; ask again")
}

fn about(id: &str, event_id: &str) -> Value {
    json!({ "request": id, "event": { "id": event_id } })
}

fn pending(id: &str, event_id: &str) -> Response {
    accepted(Some(id), about(id, event_id))
}

fn event(name: &str, data: &Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
