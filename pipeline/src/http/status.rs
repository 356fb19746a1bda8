//! What codes are in HTTP.

use axum::http::StatusCode;

use crate::failure;

/// The status of a command's failure, by its code.
///
/// What the gateway itself cannot read is 400; a command that was understood and refused is 422, or
/// 409 for a service's own reasons: it conflicts with the state of its entity. What a handler could
/// not read although the gateway has written it is our fault.
pub fn status_of(code: &str) -> StatusCode {
    match code {
        failure::INVALID_REQUEST | failure::IDEMPOTENCY_MISMATCH => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        failure::FORBIDDEN => StatusCode::FORBIDDEN,
        // Not 408, at which clients send the same again by themselves.
        failure::EXPIRED => StatusCode::GONE,
        failure::UNDECODABLE
        | failure::UNKNOWN_SCHEMA
        | failure::UNKNOWN_TYPE
        | failure::INVALID_KEY
        | failure::INVALID_REPLY_TO
        | failure::INVALID_CORRELATION_ID
        | failure::WRONG_PARTITION
        | failure::HANDLER_FAILED
        | failure::HANDLER_CRASHED => StatusCode::INTERNAL_SERVER_ERROR,
        // Of a service that asked another one: no gateway's wait ends so.
        failure::DEADLINE_EXCEEDED => StatusCode::GATEWAY_TIMEOUT,
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
        (StatusCode::BAD_REQUEST, failure::INVALID_REQUEST),
        (StatusCode::BAD_REQUEST, failure::INVALID_KEY),
        (StatusCode::UNAUTHORIZED, failure::UNAUTHENTICATED),
        (StatusCode::NOT_FOUND, failure::NOT_FOUND),
        (StatusCode::METHOD_NOT_ALLOWED, failure::METHOD_NOT_ALLOWED),
        (StatusCode::REQUEST_TIMEOUT, failure::TOO_SLOW),
        (StatusCode::PAYLOAD_TOO_LARGE, failure::TOO_LARGE),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, failure::INVALID_REQUEST),
        (StatusCode::TOO_MANY_REQUESTS, failure::RATE_LIMITED),
        (StatusCode::SERVICE_UNAVAILABLE, failure::OVERLOADED),
        (StatusCode::SERVICE_UNAVAILABLE, failure::UNAVAILABLE),
    ];
    let failures = failure::OF_EVENTS
        .iter()
        .map(|code| (status_of(code), *code));
    own.into_iter().chain(failures).collect()
}
