//! Where log lines go: to standard error, for people on a terminal and as JSON elsewhere.

use std::io::IsTerminal;

use millstream_pipeline::observe::log_lines;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// For commands that report what fails themselves.
pub const QUIET: &str = "warn,rdkafka=off,librdkafka=off";
/// For the console, whose page tells what the client library would log: at each end of a partition, too.
pub const SHOWING: &str = "info,rdkafka=off,librdkafka=off";
/// For commands that run until they are stopped.
pub const SERVING: &str =
    // Why an attempt failed is in our own lines.
    "info,restate_sdk::endpoint=error,restate_sdk::http_server=error";

/// Starts logging. `RUST_LOG` replaces `default`.
pub fn init(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let base = fmt()
        .with_env_filter(filter)
        .with_writer(log_lines::stderr)
        // A complaint about a line that is lost would be one more of them.
        .log_internal_errors(false);
    if std::io::stderr().is_terminal() {
        base.with_ansi(crate::output::colours_wanted()).init();
    } else {
        // The SDK's span around each invocation says nothing that our own lines do not say.
        base.json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init();
    }
}
