//! The codes that say why an event was not carried out.
//!
//! The same code is in the metric label, the dead letter, the answer and the log. A service adds
//! business codes of its own in the same form: lower-kebab-case, few, stable.

use std::borrow::Cow;

use millstream_events::RequestFailed;
use restate_sdk::errors::TerminalError;

/// The value is not in Confluent's wire format, or its body does not fit its schema.
pub const UNDECODABLE: &str = "undecodable";
/// The registry says that it has no schema with the value's id.
pub const UNKNOWN_SCHEMA: &str = "unknown-schema";
/// The topic does not declare this kind of event.
pub const UNKNOWN_TYPE: &str = "unknown-type";
/// The key is empty, longer than [`crate::record::key::MAX_KEY_BYTES`] or not UTF-8.
pub const INVALID_KEY: &str = "invalid-key";
/// `reply_to` names a topic that is not declared for replies.
pub const INVALID_REPLY_TO: &str = "invalid-reply-to";
/// The correlation id cannot belong to any request.
pub const INVALID_CORRELATION_ID: &str = "invalid-correlation-id";
/// The command asks for something that makes no sense.
pub const INVALID_REQUEST: &str = "invalid-request";
/// The idempotency key was used before with another body.
pub const IDEMPOTENCY_MISMATCH: &str = "idempotency-mismatch";
/// The command came too late.
pub const EXPIRED: &str = "expired";
/// The principal may not do this.
pub const FORBIDDEN: &str = "forbidden";
/// The work was cancelled.
pub const CANCELLED: &str = "cancelled";
/// The handler's own code failed for good.
pub const HANDLER_FAILED: &str = "handler-failed";

/// Handling the event has ended the process several times.
pub const HANDLER_CRASHED: &str = "handler-crashed";
/// The record is on another partition than its key's (batch lane).
pub const WRONG_PARTITION: &str = "wrong-partition";
/// Another value has come under a number that a result had already.
pub const SEQUENCE_CONFLICT: &str = "sequence-conflict";

/// The object would outgrow its limit, or the answer that a repeated command was given before is
/// larger than what is remembered. Of the gateway: the request is too large.
pub const TOO_LARGE: &str = "too-large";
/// No reply has come within the time that the caller was willing to wait.
pub const DEADLINE_EXCEEDED: &str = "deadline-exceeded";
/// Of the gateway: the request has no key, token or signature that is valid.
pub const UNAUTHENTICATED: &str = "unauthenticated";
/// Of the gateway: too many requests with this key; they may be sent again later.
pub const RATE_LIMITED: &str = "rate-limited";
/// Of the gateway: there is no such thing, or it is another principal's.
pub const NOT_FOUND: &str = "not-found";
/// Of the gateway: the path takes other methods.
pub const METHOD_NOT_ALLOWED: &str = "method-not-allowed";
/// Of the gateway: the request did not come in time.
pub const TOO_SLOW: &str = "too-slow";
/// Of the gateway: a limit is reached; the request may be sent again later.
pub const OVERLOADED: &str = "overloaded";
/// Of the gateway: Kafka or the registry does not answer; the request may be sent again later.
pub const UNAVAILABLE: &str = "unavailable";

/// The codes that an event can end with, whatever its handler; services have more of their own.
pub const OF_EVENTS: &[&str] = &[
    UNDECODABLE,
    UNKNOWN_SCHEMA,
    UNKNOWN_TYPE,
    INVALID_KEY,
    INVALID_REPLY_TO,
    INVALID_CORRELATION_ID,
    INVALID_REQUEST,
    IDEMPOTENCY_MISMATCH,
    EXPIRED,
    FORBIDDEN,
    CANCELLED,
    HANDLER_FAILED,
    HANDLER_CRASHED,
    WRONG_PARTITION,
    TOO_LARGE,
    DEADLINE_EXCEEDED,
];

/// Status of a terminal error that stands for [`HANDLER_CRASHED`].
pub(crate) const CRASHED_STATUS: u16 = 508;

/// Longer messages of failures are cut.
const MAX_MESSAGE_BYTES: usize = 1000;

/// Longer codes are not ours.
const MAX_CODE_BYTES: usize = 64;

/// A failure that repeating the event would not mend.
///
/// The result of a command is then `RequestFailed` with this code; a fact becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// One of this module's codes or a business code.
    pub code: Cow<'static, str>,
    /// For people; says what to do next.
    pub message: String,
    /// Whether the same request may succeed later: an idempotency key does not remember it then.
    pub may_be_repeated: bool,
}

impl Failure {
    /// A failure with a code and a sentence that says what to do next.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self::with_code(Cow::Borrowed(code), message.into())
    }

    pub(crate) fn with_code(code: Cow<'static, str>, message: String) -> Self {
        Self {
            may_be_repeated: matches!(
                &*code,
                CANCELLED | EXPIRED | HANDLER_FAILED | HANDLER_CRASHED | DEADLINE_EXCEEDED
            ),
            code,
            message,
        }
    }

    /// What another service refused. Its code becomes a label of metrics, so it must look like one.
    pub(crate) fn remote(code: String, message: String) -> Self {
        let is_code = (1..=MAX_CODE_BYTES).contains(&code.len())
            && code
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        match is_code {
            true => Self::with_code(Cow::Owned(code), message),
            false => Self::new(HANDLER_FAILED, message),
        }
    }

    /// What the engine says when an invocation is cancelled or given up.
    pub(crate) fn of_terminal(error: &TerminalError) -> Self {
        match error.code() {
            409 => Self::new(CANCELLED, "the work was cancelled; send the command again"),
            CRASHED_STATUS => Self::new(HANDLER_CRASHED, error.message()),
            _ => Self::new(HANDLER_FAILED, error.message()),
        }
    }

    /// A failure of something outside that may be gone when the same request comes again.
    pub fn passing(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            may_be_repeated: true,
            ..Self::new(code, message)
        }
    }

    /// The command asks for something that makes no sense.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(INVALID_REQUEST, message)
    }

    /// The failure with a message of bounded length. A message may quote the event, and with it an
    /// answer or a dead letter would outgrow what Kafka takes.
    pub(crate) fn shortened(&self) -> Self {
        let mut message = self.message.clone();
        if message.len() > MAX_MESSAGE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
            message.push_str(" ...");
        }
        Self {
            message,
            ..self.clone()
        }
    }

    /// Whether the event is kept as a dead letter even if it is a command.
    ///
    /// It is when our side could not handle it, and is not when the command was understood and
    /// refused.
    pub fn keeps_dead_letter(&self) -> bool {
        keeps_dead_letter(&self.code)
    }
}

/// [`Failure::keeps_dead_letter`] for a code that came with an event. Such an event may be handled
/// after all: when it is replayed, or sent again.
pub fn keeps_dead_letter(code: &str) -> bool {
    matches!(
        code,
        UNDECODABLE
            | UNKNOWN_SCHEMA
            | UNKNOWN_TYPE
            | INVALID_KEY
            | HANDLER_FAILED
            | HANDLER_CRASHED
            | WRONG_PARTITION
    )
}

impl From<RequestFailed> for Failure {
    fn from(failed: RequestFailed) -> Self {
        Self::remote(failed.code, failed.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut() {
        let failure = Failure::new(UNDECODABLE, "ä".repeat(100_000)).shortened();
        assert_eq!(failure.message.len(), MAX_MESSAGE_BYTES + " ...".len());
        let short = Failure::new(UNDECODABLE, "why");
        assert_eq!(short.shortened(), short);
    }
}
