//! What can be seen of a process: metrics, spans and log lines.

pub mod log_lines;
pub mod metrics;
pub mod telemetry;
pub mod trace;
