//! What codes are in HTTP.

use axum::http::StatusCode;

use crate::code;

/// The status of a command's failure, by its code.
///
/// What the gateway itself cannot read is 400; a command that was understood and refused is 422, or
/// 409 for a service's own reasons: it conflicts with the state of its entity. What a handler could
/// not read although the gateway has written it is our fault.
pub fn status_of(code: &str) -> StatusCode {
    match code {
        code::INVALID_REQUEST | code::IDEMPOTENCY_MISMATCH => StatusCode::UNPROCESSABLE_ENTITY,
        code::FORBIDDEN => StatusCode::FORBIDDEN,
        // Not 408, at which clients send the same again by themselves.
        code::EXPIRED => StatusCode::GONE,
        code::UNDECODABLE
        | code::UNKNOWN_SCHEMA
        | code::UNKNOWN_TYPE
        | code::INVALID_KEY
        | code::INVALID_REPLY_TO
        | code::INVALID_CORRELATION_ID
        | code::WRONG_PARTITION
        | code::HANDLER_FAILED
        | code::HANDLER_CRASHED => StatusCode::INTERNAL_SERVER_ERROR,
        // Of a service that asked another one: no gateway's wait ends so.
        code::DEADLINE_EXCEEDED => StatusCode::GATEWAY_TIMEOUT,
        // `cancelled`, and business codes.
        _ => StatusCode::CONFLICT,
    }
}

/// Status and code of everything that the gateway answers by itself: results, its own problems, and the
/// failures that any command may end with. A service's business codes come on top, as 409.
pub fn answers() -> Vec<(StatusCode, &'static str)> {
    let own = [
        (StatusCode::OK, "ok"),
        (StatusCode::ACCEPTED, "ok"),
        (StatusCode::ACCEPTED, "pending"),
        (StatusCode::BAD_REQUEST, code::INVALID_REQUEST),
        (StatusCode::BAD_REQUEST, code::INVALID_KEY),
        (StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED),
        (StatusCode::NOT_FOUND, code::NOT_FOUND),
        (StatusCode::METHOD_NOT_ALLOWED, code::METHOD_NOT_ALLOWED),
        (StatusCode::REQUEST_TIMEOUT, code::TOO_SLOW),
        (StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, code::INVALID_REQUEST),
        (StatusCode::TOO_MANY_REQUESTS, code::RATE_LIMITED),
        (StatusCode::SERVICE_UNAVAILABLE, code::OVERLOADED),
        (StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE),
    ];
    let failures = code::OF_EVENTS.iter().map(|code| (status_of(code), *code));
    own.into_iter().chain(failures).collect()
}
