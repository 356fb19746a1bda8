//! Problems: what a client is told when there is no result (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use millstream_pipeline::codec::fields::FieldError;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::http::status::status_of;

/// A response of type `application/problem+json`.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    errors: Vec<FieldError>,
    /// Seconds after which the request may be sent again.
    retry_after: Option<u64>,
    /// Whether the connection is of no more use: not all of the request was read.
    close: bool,
    members: Vec<(&'static str, Value)>,
}

/// The code of a response, for metrics.
#[derive(Debug, Clone)]
pub struct Code(pub Cow<'static, str>);

impl Problem {
    /// A problem with the status that belongs to the code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            close: false,
            members: Vec::new(),
        }
    }

    /// The request cannot be read: nothing was sent.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, failure::INVALID_REQUEST, detail)
    }

    /// The data does not fit the event's schema: nothing was sent.
    pub fn bad_fields(event: &str, errors: Vec<FieldError>) -> Self {
        let detail = match errors.first() {
            Some(FieldError { field, detail }) if field.is_empty() => {
                format!("the data does not fit {event}: it {detail}")
            }
            Some(FieldError { field, detail }) => {
                format!("the data does not fit {event}: `{field}` {detail}")
            }
            None => format!("the data does not fit {event}"),
        };
        Self {
            errors,
            ..Self::bad_request(detail)
        }
    }

    /// Nobody known sends this. The same words whatever is wrong with what was sent.
    pub fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            failure::UNAUTHENTICATED,
            "the request has no valid key, token or signature",
        )
    }

    /// This is not allowed. The same words whether or not what was asked for exists.
    pub fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            failure::FORBIDDEN,
            "the key or token does not allow this",
        )
    }

    /// This is not allowed to anybody, for a reason that everybody may know.
    pub fn forbidden_because(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, failure::FORBIDDEN, detail)
    }

    /// There are too many requests of one sender.
    pub fn rate_limited(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                failure::RATE_LIMITED,
                "too many requests; send the request again later",
            )
        }
    }

    /// There is no such thing, or it is not this principal's.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, failure::NOT_FOUND, detail)
    }

    /// A limit of this gateway is reached.
    pub fn overloaded(what: &str) -> Self {
        Self {
            retry_after: Some(1),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                failure::OVERLOADED,
                format!("{what}; send the request again later"),
            )
        }
    }

    /// Kafka or the registry does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(2),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                failure::UNAVAILABLE,
                detail,
            )
        }
    }

    /// The problem that a `RequestFailed` is.
    pub fn of_failure(code: &str, message: &str) -> Self {
        Self {
            code: code.to_owned().into(),
            ..Self::new(status_of(code), "", message)
        }
    }

    /// The same, after which the connection is closed.
    pub fn closing(self) -> Self {
        Self {
            close: true,
            ..self
        }
    }

    /// The same with a further member.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// The body.
    pub fn body(&self) -> Value {
        let mut body = json!({
            "type": format!("urn:millstream:problem:{}", self.code),
            "title": self.code.replace('-', " "),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        for (name, value) in &self.members {
            body[*name] = value.clone();
        }
        body
    }
}

impl From<Failure> for Problem {
    /// A failure of our own making before anything was sent.
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", failure.message)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            self.body().to_string(),
        )
            .into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.close {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(Code(self.code));
        response
    }
}
