//! Pages in browsers: which origins may use the gateway (CORS).
//!
//! A browser asks before it sends what a page may not send by itself, without a key, and shows the
//! page no response that does not name its origin. So every response is marked, whatever it says,
//! and such a question is answered before anything else.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Gateway;
use super::access::Refusal;
use super::problem::Problem;

/// What routes may be declared with.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// Headers of requests that mean something here.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, Millstream-Expires, Prefer, Traceparent, \
     Tracestate, X-API-Key",
);
/// Headers of responses that a page may read, besides those that it always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Allow, Location, Preference-Applied, Retry-After, WWW-Authenticate");
/// Seconds that a browser may remember the answer: two hours, as long as any does.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
/// What an answer to a browser's question depends on.
const ASKED_BY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);

/// An origin as browsers send it: `https://app.example`, `http://localhost:3000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no origin: write scheme, host and, if it is not the scheme's own, port, all in lower \
     case and nothing behind: https://app.example, http://localhost:3000. There is none for all"
)]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let error = || OriginError(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(error)?;
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(error()),
        };
        // What a browser would send in another form would never be equal.
        let fits =
            |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' | b'[' | b']');
        let is_one = !authority.is_empty()
            && authority.bytes().all(fits)
            && !authority.ends_with(default_port)
            && text
                .parse::<axum::http::Uri>()
                .is_ok_and(|uri| uri.host().is_some());
        match HeaderValue::from_str(text) {
            Ok(value) if is_one => Ok(Self(value)),
            _ => Err(error()),
        }
    }
}

/// The origin that the response is to name, if the request comes from one that is allowed.
fn allowed<'r>(origins: &[Origin], headers: &'r HeaderMap) -> Option<&'r HeaderValue> {
    let mut values = headers.get_all(header::ORIGIN).iter();
    let origin = values.next().filter(|_| values.next().is_none())?;
    origins.iter().any(|it| it.0 == origin).then_some(origin)
}

/// Whether a browser asks what a page may send.
fn is_question(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether a page of another origin sends this. A browser sends some requests of any page, and says
/// so; what it sends on behalf of whoever typed an address has no page.
pub fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let (origin, host) = (text("origin"), text("host").unwrap_or_default());
    let is_own = |origin: &[u8]| {
        let authority = origin.split(|it| *it == b'/').nth(2);
        authority == Some(host) && !host.is_empty()
    };
    match origin {
        Some(origin) => !is_own(origin),
        None => text("sec-fetch-site") == Some(b"cross-site"),
    }
}

/// Answers browsers' questions, and marks all other responses.
pub async fn mark(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let origins = gateway.settings.origins.as_slice();
    let origin = allowed(origins, request.headers()).cloned();
    let mut response = match &origin {
        Some(_) if is_question(request.method(), request.headers()) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            headers.insert(header::VARY, ASKED_BY);
            response
        }
        // Where nobody has to show a key, whoever opens some page would send events with it.
        None if gateway.access.is_open() && is_foreign(request.headers()) => foreign(),
        _ => next.run(request).await,
    };
    if origins.is_empty() {
        return response;
    }
    let headers = response.headers_mut();
    headers
        .entry(header::VARY)
        .or_insert(HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

fn foreign() -> Response {
    Refusal::Origin.count();
    Problem::forbidden_because(
        "pages of other origins may not use a gateway that serves everybody; to allow one, name its \
         origin with --cors-origin",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs.fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(*name, value.parse().unwrap());
            headers
        })
    }

    #[test]
    fn an_origin_is_what_browsers_send() {
        for good in [
            "https://app.example",
            "http://localhost:3000",
            "https://app.example:8443",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example",
            "https://",
            "https://App.example",
            "https://app.example/",
            "https://app.example/x",
            "https://app.example:443",
            "http://app.example:80",
            "https://*.example",
            "https://a@app.example",
            "https://app.example, https://b.example",
            "file://x",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_compared_as_a_whole() {
        let origins = ["https://app.example".parse().unwrap()];
        let is_allowed =
            |pairs: &[(&'static str, &str)]| allowed(&origins, &headers(pairs)).is_some();
        assert!(is_allowed(&[("origin", "https://app.example")]));
        assert!(!is_allowed(&[]));
        for other in [
            "https://app.example:8443",
            "http://app.example",
            "https://app.example.evil",
            "https://my.app.example",
            "null",
        ] {
            assert!(!is_allowed(&[("origin", other)]), "{other}");
        }
        let twice = [("origin", "https://app.example"), ("origin", "null")];
        assert!(!is_allowed(&twice));
    }

    #[test]
    fn foreign_pages_are_known() {
        let is = |pairs: &[(&'static str, &str)]| is_foreign(&headers(pairs));
        assert!(!is(&[("host", "localhost:8088")]), "no browser");
        assert!(is(&[
            ("host", "localhost:8088"),
            ("origin", "https://evil.example")
        ]));
        assert!(is(&[
            ("host", "localhost:8088"),
            ("origin", "http://localhost:3000")
        ]));
        assert!(is(&[("host", "localhost:8088"), ("origin", "null")]));
        assert!(is(&[("origin", "null")]));
        assert!(!is(&[
            ("host", "localhost:8088"),
            ("origin", "http://localhost:8088")
        ]));
        // A picture's address, say.
        assert!(is(&[
            ("host", "localhost:8088"),
            ("sec-fetch-site", "cross-site")
        ]));
        assert!(!is(&[
            ("host", "localhost:8088"),
            ("sec-fetch-site", "none")
        ]));
        assert!(!is(&[
            ("host", "localhost:8088"),
            ("sec-fetch-site", "same-origin")
        ]));
    }
}
