//! What a request comes to.

use std::error::Error;

use axum::Json;
use axum::http::StatusCode;
use millstream_gateway::Problem;
use serde_json::Value;

/// JSON, or why not and what to do.
pub type Answer = Result<Json<Value>, Problem>;

/// A part behind the console does not answer, or refuses.
pub fn away(error: &(dyn Error + 'static)) -> Problem {
    let text = with_causes(error);
    tracing::warn!(error = text, "a part cannot be asked");
    Problem::unavailable(text)
}

/// Kafka cannot be read.
pub fn no_kafka(what: &str, error: &(dyn Error + 'static)) -> Problem {
    let text = with_causes(error);
    tracing::warn!(error = text, what, "Kafka cannot be read");
    Problem::unavailable(format!(
        "{what} cannot be read from Kafka: {text}. Look whether the brokers run (`{program} doctor` says \
         more) and whether `{program} apply` was run",
        program = millstream_pipeline::program::name()
    ))
}

/// There is nothing of this name.
pub fn nothing(what: impl Into<String>) -> Problem {
    Problem::not_found(what)
}

/// The request itself is wrong.
pub fn wrong(what: impl Into<String>) -> Problem {
    Problem::bad_request(what)
}

/// It took too long.
pub fn too_slow(what: &str) -> Problem {
    Problem::new(
        StatusCode::GATEWAY_TIMEOUT,
        "too-slow",
        format!("{what} took too long; narrow the search down, or try again"),
    )
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let cause = inner.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = inner.source();
    }
    text
}
