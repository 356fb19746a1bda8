//! What to do about each code, in the words of the runbook.

use axum::Json;
use millstream_pipeline::failure;
use serde::Serialize;
use serde_json::json;

use crate::answer::Answer;

/// What a code means and what to do.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Advice {
    /// The code.
    pub code: &'static str,
    /// What happened.
    pub means: &'static str,
    /// Where to look and what to do.
    pub do_next: &'static str,
    /// Whether a replay helps once the cause is mended, or the record is wrong itself.
    pub replay: &'static str,
    /// Whether a replay only comes back.
    pub futile: bool,
}

const fn advice_on(
    code: &'static str,
    means: &'static str,
    do_next: &'static str,
    (replay, futile): Replay,
) -> Advice {
    Advice {
        code,
        means,
        do_next,
        replay,
        futile,
    }
}

/// What a replay does, and whether it only comes back.
type Replay = (&'static str, bool);

const WRONG_ITSELF: Replay = (
    "A replay only comes back: the record is wrong itself. Discard it once its producer is mended.",
    true,
);
const AFTER_MENDING: Replay = ("Replay it once the cause is mended.", false);
const ASK_AGAIN: Replay = (
    "It was answered; whoever sent it sends it again if it still matters.",
    false,
);

/// Every code that an event can end with.
const GUIDE: &[Advice] = &[
    advice_on(
        failure::UNDECODABLE,
        "The value is not in Confluent's wire format, or its body does not fit its schema or the limits.",
        "Look at the first bytes: a value begins with 00 and a schema id of four bytes. Text, JSON or nothing there means a producer without an Avro serializer. Its headers, key and time tell who it is.",
        WRONG_ITSELF,
    ),
    advice_on(
        failure::UNKNOWN_SCHEMA,
        "The registry said, twice, that it has no schema with the value's id.",
        "The producer registers with another registry, or the registry lost its schemas. Register the schema, or point the producer to the right one.",
        AFTER_MENDING,
    ),
    advice_on(
        failure::UNKNOWN_TYPE,
        "The topic does not declare this kind of event.",
        "Either it was sent to the wrong topic, or the handlers are older than the producer. Add the event to the topic file and deploy, or correct the producer.",
        AFTER_MENDING,
    ),
    advice_on(
        failure::INVALID_KEY,
        "The key is empty, null, longer than 1,024 bytes or not UTF-8.",
        "The producer must set the entity's id as the key. A topic whose producers are not yours is declared with `guard = true`.",
        WRONG_ITSELF,
    ),
    advice_on(
        failure::INVALID_REPLY_TO,
        "`reply_to` names a topic that is not declared for replies.",
        "Correct the producer, or declare the topic with `replies = true`.",
        WRONG_ITSELF,
    ),
    advice_on(
        failure::INVALID_CORRELATION_ID,
        "A reply belongs to no request of whoever its key names.",
        "Somebody wrote to `replies` who should not, or answers twice. Look at `source` and `causation_id`.",
        WRONG_ITSELF,
    ),
    advice_on(
        failure::INVALID_REQUEST,
        "The command asks for something that makes no sense.",
        "The message says which field. Correct whoever sends it.",
        WRONG_ITSELF,
    ),
    advice_on(
        failure::IDEMPOTENCY_MISMATCH,
        "The idempotency key was used before with another body.",
        "The sender must use a new key for a new request.",
        ASK_AGAIN,
    ),
    advice_on(
        failure::EXPIRED,
        "The command came too late: its `expires_at` had passed when it was handled.",
        "If many expire, look at the lag of the topic.",
        ASK_AGAIN,
    ),
    advice_on(
        failure::FORBIDDEN,
        "The principal may not do this, or the event has no valid proof of who sent it.",
        "Look at `principal` and at the handler's rule of ownership. A proof holds for a day: an event of before is refused for ever.",
        ASK_AGAIN,
    ),
    advice_on(
        failure::CANCELLED,
        "Somebody cancelled the work in Restate.",
        "Ask whoever did it; the command may be sent again.",
        AFTER_MENDING,
    ),
    advice_on(
        failure::HANDLER_FAILED,
        "The handler's own code failed for good: it panicked, or its result cannot be published.",
        "The message and the handler's log line with this event's id say where. Mend the handler and deploy it.",
        AFTER_MENDING,
    ),
    advice_on(
        failure::HANDLER_CRASHED,
        "Handling this record ended the process several times.",
        "Look at the end of the log of the process that died, for memory above all. Mend the handler and deploy it.",
        AFTER_MENDING,
    ),
    advice_on(
        failure::WRONG_PARTITION,
        "The record is on another partition than its key belongs to, in the batch lane.",
        "The producer must use the partitioner `murmur2_random`, which is Java's default.",
        ("Replay it: it goes to the partition of its key.", false),
    ),
    advice_on(
        failure::TOO_LARGE,
        "The object would outgrow its limit, or its answer is larger than what is remembered.",
        "Look at the size of the object's state. Let it hold less, or raise `state-limit` in the topic file.",
        AFTER_MENDING,
    ),
    advice_on(
        failure::DEADLINE_EXCEEDED,
        "Another service did not answer within the time that the handler was willing to wait.",
        "Look at the lag and the failures of the service that was asked.",
        AFTER_MENDING,
    ),
];

/// What to do about a code; `None`: a service's own, which its documentation explains.
pub fn advice(code: &str) -> Option<Advice> {
    GUIDE.iter().find(|advice| advice.code == code).copied()
}

/// All of it.
pub async fn guide() -> Answer {
    Ok(Json(json!({ "codes": GUIDE })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_an_event_has_advice() {
        for code in failure::OF_EVENTS {
            assert!(advice(code).is_some(), "{code}");
        }
    }
}
