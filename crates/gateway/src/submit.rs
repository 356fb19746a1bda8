//! From a checked request to its event, and from there to the response.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use millstream_events::{Declaration, EventDeclaration, EventMeta};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::Gateway;
use super::access::{Caller, Pass, Refusal, Verb};
use super::answer::{Answer, Taken, answered};
use super::identity::Identity;
use super::prefer::Prefer;
use super::principal::Principal;
use super::problem::Problem;
use super::request_id::{RequestId, event_id, topic_digest};
use super::results::Followed;
use super::shares::Share;
use super::trace::{SOURCE, Trace};
use super::waiting::Waiter;
use millstream_pipeline::codec::EncodeError;
use millstream_pipeline::codec::fields;
use millstream_pipeline::failure;
use millstream_pipeline::identity::Claim;
use millstream_pipeline::kafka::publisher::{PublishError, Record};
use millstream_pipeline::record::cloudevents;
use millstream_pipeline::record::key;
use millstream_pipeline::record::partition;

/// What a request that waits for its result may take beyond that.
const BEYOND_WAIT: Duration = Duration::from_millis(500);
/// How long the acknowledgement of an event may take whose result nobody waits for.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(5);
/// How long a repeated request waits before an earlier answer is looked for.
const LOOK_BACK_AFTER: Duration = Duration::from_millis(500);

/// An event to be sent for a client.
pub struct Command {
    /// Who sends it.
    pub caller: Caller,
    /// How long it waits unless the client says otherwise.
    pub wait: Duration,
    /// Its topic.
    pub declaration: &'static Declaration,
    /// Its kind.
    pub event: &'static EventDeclaration,
    /// Its key.
    pub key: String,
    /// Its fields.
    pub data: Map<String, Value>,
    /// Those of its fields that were made for it, which the client does not know.
    pub made: Map<String, Value>,
    /// What makes it the same request.
    pub identity: Identity,
    /// The memory that its body takes, until it is sent.
    #[expect(dead_code, reason = "dropped with the rest")]
    pub memory: Share,
}

impl Command {
    /// Whether the one who sends it may be told its result.
    fn may_be_answered(&self) -> bool {
        self.caller.may(Verb::Read, self.declaration.name)
    }
}

/// A request that was taken, as far as it is known without waiting.
pub struct Submitted {
    outcome: Outcome,
    /// Value of `Preference-Applied`.
    applied: Option<HeaderValue>,
    trace: Trace,
}

enum Outcome {
    Answered(Response),
    Sent(Sent),
}

/// What a response may become of.
struct Sent {
    taken: Taken,
    /// What must be good until it is told the result, and the topic of that.
    pass: Pass,
    topic: &'static str,
    request: RequestId,
    waiter: Option<Waiter>,
    look_back: bool,
    /// When the client no longer waits.
    until: Instant,
}

impl Gateway {
    /// Sends the event. What the client sent is gone before its result is waited for.
    pub async fn submit(&self, headers: HeaderMap, command: Command) -> Result<Submitted, Problem> {
        let longest = match command.may_be_answered() {
            true => self.settings.longest_wait,
            false => Duration::ZERO,
        };
        let waiting = Prefer::of(&headers).waiting(command.wait.min(longest), longest);
        let event_id = event_id(&command.caller.principal, &command.identity.nonce);
        let trace = Trace::of(&headers, &event_id);
        let sent = self.send(
            &headers,
            command,
            event_id,
            &trace,
            Limits::of(waiting.limit),
        );
        Ok(Submitted {
            outcome: sent.await?,
            applied: waiting.applied,
            trace,
        })
    }

    /// Waits for the result as long as the client wants to.
    pub async fn respond(&self, submitted: Submitted) -> Response {
        let mut response = match submitted.outcome {
            Outcome::Answered(response) => response,
            Outcome::Sent(sent) => self.result(sent).await,
        };
        response.extensions_mut().insert(submitted.trace);
        if let Some(applied) = submitted.applied {
            response.headers_mut().insert("preference-applied", applied);
        }
        response
    }

    async fn send(
        &self,
        headers: &HeaderMap,
        command: Command,
        event_id: String,
        trace: &Trace,
        limits: Limits,
    ) -> Result<Outcome, Problem> {
        check_key(&command)?;
        let record = self.record(headers, &command, &event_id, trace);
        let record = timeout_at(limits.acknowledged, record)
            .await
            .unwrap_or_else(|_| Err(no_registry()))?;
        let results = command.declaration.results.as_ref();
        let results = results.filter(|_| command.event.is_command());
        let followed = results.map(|results| {
            self.results.topic(results.name).ok_or_else(|| {
                Problem::unavailable(format!(
                    "the topic {} is not there yet; was `{program} apply` run?",
                    results.name,
                    program = millstream_pipeline::program::name()
                ))
            })
        });
        let may_be_answered = command.may_be_answered();
        let (declared, pass) = (command.declaration.name, command.caller.pass.clone());
        let principal = command.caller.principal.clone();
        let request = followed.transpose()?.map(|topic| {
            let request = request_id(&command, topic);
            (topic, request.encode(&principal), request)
        });
        let mut taken = Taken {
            request: None,
            event_id,
            key: command.key,
            made: command.made,
            full_name: command.event.full_name,
        };
        let Some((topic, id, request)) = request else {
            self.publish(&principal, record, &taken, limits.acknowledged)
                .await?;
            return Ok(Outcome::Answered(taken.accepted()));
        };
        taken.request = Some(id.clone());
        let mut look_back = request.repeatable && may_be_answered;
        if look_back {
            let noted = self.search.noted(topic, request.partition, &taken.event_id);
            // Who does not wait for a result is still told one that is there.
            let limit = match limits.waits {
                true => limits.result,
                false => limits.acknowledged,
            };
            let noted = timeout_at(limit, noted).await;
            match noted.ok().and_then(Result::ok).flatten() {
                Some(answer) if is_final(&answer) => {
                    // It may have been looked for as long as others wait.
                    let now = jiff::Timestamp::now();
                    let refusal = self.access.refusal(&pass, Verb::Read, declared, now);
                    return match refusal.map(Refusal::problem) {
                        Some(problem) => Err(problem),
                        None => Ok(Outcome::Answered(answered(&id, &answer.into()))),
                    };
                }
                // It may be carried out this time.
                Some(_) => look_back = false,
                None => {}
            }
            // It may have been looked for as long as others wait.
            let now = jiff::Timestamp::now();
            if let Some(refusal) = self.access.refusal(&pass, Verb::Send, declared, now) {
                return Err(refusal.problem());
            }
        }
        let waiter = match limits.waits {
            false => None,
            true => Some(self.wait_for(&principal, &taken.event_id)?),
        };
        self.publish(&principal, record, &taken, limits.acknowledged)
            .await?;
        Ok(Outcome::Sent(Sent {
            taken,
            pass,
            topic: declared,
            request,
            waiter,
            look_back,
            until: limits.result,
        }))
    }

    async fn record(
        &self,
        headers: &HeaderMap,
        command: &Command,
        event_id: &str,
        trace: &Trace,
    ) -> Result<Record, Problem> {
        let schema = (command.event.schema)();
        let body = fields::encode(schema, &command.data)
            .map_err(|errors| Problem::bad_fields(schema.full_name, errors))?;
        let mut meta = EventMeta {
            id: event_id.to_owned(),
            source: SOURCE.into(),
            time: jiff::Timestamp::now().as_microsecond(),
            correlation_id: event_id.to_owned(),
            idempotency_key: command.identity.idempotency_key.clone(),
            principal: command.caller.principal.name().map(str::to_owned),
            expires_at: expires_at(headers)?,
            traceparent: Some(trace.traceparent()),
            tracestate: trace.tracestate.clone(),
            ..EventMeta::default()
        };
        if let (Some(signer), Some(principal)) = (&self.settings.signer, &meta.principal) {
            let claim = Claim {
                topic: command.declaration.name,
                key: &command.key,
                full_name: schema.full_name,
                event_id,
                principal,
                body: &body.bytes,
            };
            meta.proof = Some(signer.proof(&claim, meta.time));
        }
        let value = self.codec.join(&body, Some(&meta)).await;
        let value = value.map_err(|error| match error {
            EncodeError::Event(failure) => Problem::from(failure),
            EncodeError::Registry(error) => {
                tracing::warn!(%error, "an event cannot be encoded");
                no_registry()
            }
        })?;
        let (topic, full_name) = (command.declaration.name, schema.full_name);
        Ok(cloudevents::record(
            topic,
            &command.key,
            full_name,
            &meta,
            value,
        ))
    }

    /// Produces a record, if not too many are on their way. Whoever waits is told in time that it was
    /// not acknowledged; it is still tried, as far as the producer does, and counts as being on its
    /// way.
    async fn publish(
        &self,
        principal: &Principal,
        record: Record,
        taken: &Taken,
        until: Instant,
    ) -> Result<(), Problem> {
        let place = self.producing.take(principal, 1);
        let place = place
            .map_err(|refused| refused.problem("events that Kafka has not acknowledged yet"))?;
        // Records of requests that are under way at the same time have no order among themselves.
        let publisher = match self.producing.used() > self.settings.batch_from {
            true => self.batches.clone(),
            false => self.publisher.clone(),
        };
        let publishing = tokio::spawn(async move {
            let published = publisher.publish(&record).await;
            drop(place);
            published
        });
        let reason = match timeout_at(until, publishing).await {
            Ok(Ok(Ok(_))) => return Ok(()),
            Ok(Ok(Err(PublishError::Record { source, .. }))) => {
                return Err(Problem::new(
                    axum::http::StatusCode::PAYLOAD_TOO_LARGE,
                    failure::TOO_LARGE,
                    format!("Kafka does not take this event: {source}"),
                ));
            }
            Ok(Ok(Err(error @ PublishError::Infrastructure { .. }))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it did not come in time".to_owned(),
        };
        tracing::warn!(reason, "an event was not acknowledged");
        let problem = Problem::unavailable(
            "Kafka did not acknowledge the event, which may have reached it all the same; \
             with an Idempotency-Key the request can be sent again safely",
        );
        Err(match &taken.request {
            Some(request) => problem.with("request", request.clone()),
            None => problem,
        })
    }

    /// A place among those who wait.
    pub(super) fn wait_for(
        &self,
        principal: &Principal,
        event_id: &str,
    ) -> Result<Waiter, Problem> {
        let entered = self.results.waiting.enter(principal, event_id);
        entered.map_err(|refused| refused.problem("requests that are waiting"))
    }

    async fn result(&self, sent: Sent) -> Response {
        let Sent {
            taken,
            pass,
            topic,
            request,
            waiter,
            look_back,
            until,
        } = sent;
        let (Some(mut waiter), Some(id)) = (waiter, &taken.request) else {
            return taken.accepted();
        };
        let before = async {
            if look_back {
                tokio::time::sleep(LOOK_BACK_AFTER).await;
                let find = Box::pin(self.search.find(&request, &taken.event_id));
                if let Ok(Some(answer)) = find.await {
                    return answer;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            answer = waiter.answer() => answered(id, &answer),
            answer = before => answered(id, &answer.into()),
            () = tokio::time::sleep_until(until) => taken.accepted(),
            // It was sent while the key was good, and must not be sent again; who asks for its result
            // needs one that is.
            _ = self.access.over(&pass, Verb::Read, topic) => taken.accepted(),
            () = self.draining.cancelled() => taken.accepted(),
        }
    }
}

/// Until when what may last.
#[derive(Debug, Clone, Copy)]
struct Limits {
    waits: bool,
    result: Instant,
    acknowledged: Instant,
}

impl Limits {
    /// Those of a request that waits so long for its result, from now on.
    fn of(wait: Duration) -> Self {
        let (now, waits) = (Instant::now(), wait > Duration::ZERO);
        let acknowledged = match waits {
            true => wait + BEYOND_WAIT,
            false => ACKNOWLEDGED_WITHIN,
        };
        Self {
            waits,
            result: now + wait,
            acknowledged: now + acknowledged,
        }
    }
}

fn no_registry() -> Problem {
    Problem::unavailable("the schema registry does not answer; nothing was sent")
}

/// Refuses keys that nobody can have meant, or that would look like others where they are shown.
fn check_key(command: &Command) -> Result<(), Problem> {
    let what = command.declaration.key;
    let message = match key::check(&command.key, what) {
        Err(failure) => failure.message,
        Ok(()) if command.key.chars().any(char::is_control) => {
            format!("the key has control characters, such as a line break; it must be the {what}")
        }
        Ok(()) => return Ok(()),
    };
    let status = axum::http::StatusCode::BAD_REQUEST;
    Err(Problem::new(status, failure::INVALID_KEY, message))
}

/// Whether sending the same event again cannot come to anything else.
fn is_final(answer: &Answer) -> bool {
    let code = answer.data.get("code").and_then(Value::as_str);
    answer.problem("").is_none() || !code.is_some_and(failure::keeps_dead_letter)
}

fn request_id(command: &Command, topic: Followed) -> RequestId {
    let partition = partition::of_key(command.key.as_bytes(), topic.partitions);
    let now = jiff::Timestamp::now().as_millisecond();
    RequestId {
        repeatable: command.identity.is_repeatable(),
        topic: topic_digest(topic.name),
        partition: u16::try_from(partition).unwrap_or_default(),
        time_ms: u64::try_from(now).unwrap_or_default(),
        nonce: command.identity.nonce,
    }
}

/// Until when the command is of use: the header `Millstream-Expires`, an RFC 3339 time.
fn expires_at(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("millstream-expires") else {
        return Ok(None);
    };
    let time = value.to_str().ok().and_then(time);
    time.map(|time| Some(time.as_microsecond())).ok_or_else(|| {
        Problem::bad_request("Millstream-Expires must be a time such as 2027-01-31T12:00:00Z")
    })
}

/// A time in RFC 3339. `9999-12-31T23:59:59Z`, which many write for never, is beyond what the library
/// can hold; its first or last time is as good.
fn time(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let date_time = pieces.date().to_datetime(pieces.time()?);
    let time = pieces.to_numeric_offset()?.to_timestamp(date_time);
    Some(time.unwrap_or(match date_time.year() > 0 {
        true => jiff::Timestamp::MAX,
        false => jiff::Timestamp::MIN,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        let at = |text: &str| time(text).map(|time| time.as_second());
        for text in [
            "2027-01-31T12:00:00Z",
            "2027-01-31 12:00:00-00:00",
            "2027-01-31t13:00:00.000000001+01:00",
        ] {
            assert_eq!(at(text), Some(1_801_396_800), "{text}");
        }
        assert_eq!(
            at("9999-12-31T23:59:59Z"),
            Some(jiff::Timestamp::MAX.as_second())
        );
        assert_eq!(
            at("9999-12-31T23:59:59-23:59"),
            Some(jiff::Timestamp::MAX.as_second())
        );
        assert!(at("0000-01-01T00:00:00Z").is_some());
        for wrong in [
            "",
            "soon",
            "2027-01-31",
            "2027-01-31T12:00:00",
            "2027-02-30T12:00:00Z",
            "1801396800",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
