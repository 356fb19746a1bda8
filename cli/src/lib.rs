//! The catalogue as an application: its handlers, the scenarios that `demo` plays, and stand-ins for
//! the systems outside that it calls.

// `print!` and its like panic where nothing can be written.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod demo;
mod stand_ins;

use millstream::Application;
use millstream_handlers::{Settings, catalogue};
use millstream_topics::TOPICS;

/// Waits that are shorter on a dev stack than in earnest: people and tests wait for them.
const IN_DEV: &[(&str, &str)] = &[
    ("busy-delay-ms", "500"),
    ("transition-ms", "1000"),
    ("payment-deadline-ms", "10000"),
    ("delivery-wait-ms", "300"),
    ("moderation-poll-ms", "300"),
    ("webhook-deadline-ms", "3000"),
    ("payment-poll-ms", "500"),
    ("task-retry-delay-ms", "100"),
    ("reminder-interval-ms", "1000"),
    ("call-duration-ms", "200"),
];

/// The program `millstream`.
pub fn application() -> Application<Settings> {
    Application::new("millstream", TOPICS)
        .version(env!("CARGO_PKG_VERSION"))
        .settings::<Settings>()
        .handlers(|pipeline, settings| Ok(catalogue(pipeline, settings)?))
        .scenarios(demo::SCENARIOS)
        .stand_ins(stand_ins::STAND_INS)
        .postgres()
        .dev_settings(IN_DEV)
}
