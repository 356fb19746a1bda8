//! The catalogue's handlers, with waits as short as those of the dev stack.

use std::time::Duration;

use millstream_handlers::database::Database;
use millstream_handlers::payment_signals::{self, Secret};
use millstream_handlers::{Settings, catalogue, orders, transactional_events};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::service::Pipeline;
use restate_sdk::endpoint::Builder;

/// All handlers; `stand_ins` is the URL of the world outside.
pub fn handlers(pipeline: &Pipeline, endpoints: &Endpoints, stand_ins: &str) -> Builder {
    let ms = Duration::from_millis;
    let url = endpoints.postgres.as_deref().expect("Postgres runs");
    let settings = Settings {
        user_directory: format!("{stand_ins}/user-directory"),
        busy_delay: ms(500),
        postgres: Some(Database::new(url).expect("a connection URL")),
        orders: orders::Settings {
            carrier: format!("{stand_ins}/carrier"),
            payment_deadline: ms(10_000),
            approval_deadline: ms(60_000),
            delivery_wait: ms(300),
        },
        posts: transactional_events::Settings {
            social_network: format!("{stand_ins}/social-network"),
            moderation_poll: ms(300),
            moderation_tries: 720,
        },
        transition: ms(1000),
        payment_expiry: Duration::from_secs(24 * 60 * 60),
        subtask: ms(1000),
        upload_bytes_per_second: 10_000_000,
        payment_signals: payment_signals::Settings {
            stripe_url: format!("{stand_ins}/stripe"),
            // The stand-in takes any key.
            stripe_key: Secret::new("sk_test_dev"),
            currency: "usd".into(),
            webhook_deadline: ms(3000),
            poll_delay: ms(500),
        },
        task_retry_delay: ms(100),
        reminder_interval: ms(500),
        calls_in_flight: 10,
        call_duration: ms(200),
        call_deadline: ms(60_000),
    };
    catalogue(pipeline, &settings)
}
