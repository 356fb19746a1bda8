//! The catalogue's handlers, with waits as short as those of the dev stack.

use clap::{Args as _, Command, FromArgMatches as _};
use millstream_handlers::payment_signals::Secret;
use millstream_handlers::{Settings, catalogue};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::service::Pipeline;
use restate_sdk::endpoint::Builder;

/// All handlers; `stand_ins` is the URL of the world outside.
pub fn handlers(pipeline: &Pipeline, endpoints: &Endpoints, stand_ins: &str) -> Builder {
    let postgres = endpoints.postgres.as_deref().expect("Postgres runs");
    let outside = [
        ("user-directory", "user-directory"),
        ("carrier", "carrier"),
        ("social-network", "social-network"),
        ("stripe-url", "stripe"),
    ];
    let outside = outside.map(|(flag, path)| format!("--{flag}={stand_ins}/{path}"));
    let waits = [
        ("busy-delay", 500),
        ("payment-deadline", 10_000),
        ("delivery-wait", 300),
        ("moderation-poll", 300),
        ("transition", 1000),
        ("webhook-deadline", 3000),
        ("payment-poll", 500),
        ("task-retry-delay", 100),
        ("reminder-interval", 500),
        ("call-duration", 200),
    ];
    let waits = waits.map(|(flag, ms)| format!("--{flag}-ms={ms}"));
    let words = outside
        .into_iter()
        .chain(waits)
        .chain([format!("--postgres={postgres}")]);
    let flags = Settings::augment_args(Command::new("settings").no_binary_name(true));
    let mut settings = Settings::from_arg_matches(&flags.get_matches_from(words)).unwrap();
    // The stand-in takes any key.
    settings.payment_signals.stripe_key = Secret::new("sk_test_dev");
    catalogue(pipeline, &settings).expect("a connection URL")
}
