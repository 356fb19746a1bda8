//! `Accept` and `Content-Type`, as Confluent's registry looks at them, and answers that are JSON
//! whoever refuses.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::Refusal;

/// What an answer is unless the client asks for another name of it.
pub const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Names of what is answered and taken, the dearest first.
const JSON: [&str; 3] = [
    CONTENT_TYPE,
    "application/vnd.schemaregistry+json",
    "application/json",
];
/// Says nothing of what it is; clients that say nothing mean this.
const BYTES: &str = "application/octet-stream";
/// A refusal of the HTTP library is not longer.
const LONGEST_REFUSAL: usize = 64 * 1024;

/// Answers in a form that the client takes, or says that there is none.
pub async fn negotiate(request: Request, next: Next) -> Response {
    let Some(name) = accepted(request.headers()) else {
        return Refusal::NotAcceptable.into_response();
    };
    let mut response = in_json(next.run(request).await).await;
    let is_json = response.headers().get(header::CONTENT_TYPE);
    if is_json.is_some_and(|it| it == CONTENT_TYPE) {
        let name = HeaderValue::from_static(name);
        response.headers_mut().insert(header::CONTENT_TYPE, name);
    }
    response
}

/// What the HTTP library refuses by itself, it refuses in plain text.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let is_ours = |it: &HeaderValue| it == CONTENT_TYPE;
    let typed = response.headers().get(header::CONTENT_TYPE);
    if typed.is_some_and(is_ours) || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = to_bytes(response.into_body(), LONGEST_REFUSAL).await;
    let text = text.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Refusal::Http(status.as_u16(), format!("HTTP {status}: {text}")).into_response()
}

/// The name that the client takes best; `None`: it takes none.
fn accepted(headers: &HeaderMap) -> Option<&'static str> {
    let mut ranges = Vec::new();
    for header in headers.get_all(header::ACCEPT) {
        let text = header.to_str().unwrap_or_default();
        ranges.extend(text.split(',').filter_map(range));
    }
    if ranges.is_empty() && !headers.contains_key(header::ACCEPT) {
        return Some(CONTENT_TYPE);
    }
    let mut best: Option<(f32, &str)> = None;
    for name in JSON {
        // The narrowest range that has the name decides.
        let fitting = ranges.iter().filter(|(range, _)| covers(range, name));
        let narrowest = fitting.min_by_key(|(range, _)| range.matches('*').count());
        let Some((_, weight)) = narrowest.filter(|(_, weight)| *weight > 0.0) else {
            continue;
        };
        if best.is_none_or(|(heaviest, _)| *weight > heaviest) {
            best = Some((*weight, name));
        }
    }
    best.map(|(_, name)| name)
}

/// A media range and its weight.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|it| !it.is_empty())?;
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_weight = name.trim().eq_ignore_ascii_case("q");
        is_weight.then(|| value.trim().parse::<f32>().unwrap_or(1.0))
    });
    // Java's own client writes `*`.
    let range = if range == "*" { "*/*" } else { range };
    Some((range.to_ascii_lowercase(), weight.unwrap_or(1.0)))
}

fn covers(range: &str, name: &str) -> bool {
    match range.strip_suffix('*') {
        Some("*/") => true,
        Some(start) => name.starts_with(start),
        None => range == name,
    }
}

/// Refuses a body that is not said to be JSON. Clients that say nothing are believed, as Confluent's
/// registry does, but not browsers: a page of anybody may send such a body, a text or a form to this
/// machine without asking first.
pub fn check_sent(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(sent) = headers.get(header::CONTENT_TYPE) else {
        let browser = ["origin", "sec-fetch-site"]
            .iter()
            .any(|name| headers.contains_key(*name));
        return match browser {
            true => Err(Refusal::NotJson("a web page says no Content-Type".into())),
            false => Ok(()),
        };
    };
    let sent = String::from_utf8_lossy(sent.as_bytes());
    let name = sent.split(';').next().unwrap_or_default().trim();
    let known = JSON.iter().chain([&BYTES]);
    match known.clone().any(|known| known.eq_ignore_ascii_case(name)) {
        true => Ok(()),
        false => Err(Refusal::NotJson(format!("the body is said to be {name}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_accepted_decides_the_name_of_the_answer() {
        let [v1, any, json] = JSON;
        let table = [
            ("*/*", Some(v1)),
            ("application/*", Some(v1)),
            ("application/json", Some(json)),
            ("Application/JSON; charset=utf-8", Some(json)),
            ("application/vnd.schemaregistry+json", Some(any)),
            // Confluent's clients in Python, Java's URL connection, and a browser.
            (
                "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json",
                Some(v1),
            ),
            (
                "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
                Some(v1),
            ),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Some(v1),
            ),
            ("application/json, */*;q=0.1", Some(json)),
            ("application/json;q=0, */*", Some(v1)),
            ("*/*;q=0.5, application/json;q=0", Some(v1)),
            ("application/json;q=0", None),
            ("text/html", None),
            ("application/xml", None),
            ("nonsense", None),
        ];
        for (accept, expected) in table {
            assert_eq!(
                accepted(&headers(&[("accept", accept)])),
                expected,
                "{accept}"
            );
        }
        assert_eq!(accepted(&HeaderMap::new()), Some(v1), "nothing is said");
        let two = [("accept", "text/html"), ("accept", "application/json")];
        assert_eq!(accepted(&headers(&two)), Some(json));
    }

    #[test]
    fn a_body_is_json_and_no_page_posts_one_unasked() {
        for taken in [
            "application/vnd.schemaregistry.v1+json",
            "application/vnd.schemaregistry+json",
            "application/json",
            "application/json; charset=utf-8",
            "Application/Json",
            "application/octet-stream",
        ] {
            assert!(
                check_sent(&headers(&[("content-type", taken)])).is_ok(),
                "{taken}"
            );
        }
        for refused in [
            "text/plain",
            "text/plain;charset=UTF-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/json",
            "",
        ] {
            let refusal = check_sent(&headers(&[("content-type", refused)])).unwrap_err();
            assert_eq!((refusal.code(), refusal.status()), (415, 415), "{refused}");
        }
        assert!(check_sent(&HeaderMap::new()).is_ok(), "curl says nothing");
        for browser in [
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert!(check_sent(&headers(&[browser])).is_err(), "{browser:?}");
        }
    }
}
