//! How long a client wants to wait: the header `Prefer` (RFC 7240).

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

/// What a client prefers, as far as the gateway honours it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    respond_async: bool,
    wait: Option<u64>,
}

/// How long to wait, and what to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// How long.
    pub limit: Duration,
    /// Value of `Preference-Applied`.
    pub applied: Option<HeaderValue>,
}

impl Prefer {
    /// Reads all headers of that name; the first of several equal preferences counts.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let values = headers.get_all("prefer");
        let values = values.iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            // Parameters after a semicolon mean nothing here.
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "respond-async" => prefer.respond_async = true,
                "wait" if prefer.wait.is_none() => prefer.wait = value.parse().ok(),
                _ => {}
            }
        }
        prefer
    }

    /// How long to wait: `wait`, for `longest` at most; else not at all for `respond-async`; else
    /// `default`.
    pub fn waiting(self, default: Duration, longest: Duration) -> Waiting {
        let wait = self
            .wait
            .map(|seconds| Duration::from_secs(seconds).min(longest));
        let limit = match (wait, self.respond_async) {
            (Some(wait), _) => wait,
            (None, true) => Duration::ZERO,
            (None, false) => default,
        };
        let mut applied = Vec::new();
        if self.respond_async {
            applied.push("respond-async".to_owned());
        }
        if let Some(wait) = wait {
            applied.push(format!("wait={}", wait.as_secs()));
        }
        Waiting {
            limit,
            applied: HeaderValue::from_str(&applied.join(", "))
                .ok()
                .filter(|value| !value.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(headers: &[&str]) -> (u64, Option<String>) {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append("prefer", HeaderValue::from_str(header).unwrap());
        }
        let waiting = Prefer::of(&map).waiting(Duration::from_secs(10), Duration::from_secs(60));
        let applied = waiting.applied.map(|it| it.to_str().unwrap().to_owned());
        (waiting.limit.as_secs(), applied)
    }

    #[test]
    fn preferences_are_honoured_within_limits() {
        let applied = |text: &str| Some(text.to_owned());
        assert_eq!(waiting(&[]), (10, None));
        assert_eq!(waiting(&["respond-async"]), (0, applied("respond-async")));
        assert_eq!(waiting(&["wait=3"]), (3, applied("wait=3")));
        assert_eq!(
            waiting(&["handling=lenient; x=1, Respond-Async", "WAIT=\"5\""]),
            (5, applied("respond-async, wait=5"))
        );
        assert_eq!(waiting(&["wait=1, wait=9"]), (1, applied("wait=1")));
        assert_eq!(waiting(&["wait=9999"]), (60, applied("wait=60")));
        assert_eq!(waiting(&["wait=soon, wait=-1"]), (10, None));
    }
}
