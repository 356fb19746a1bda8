//! Why declarations could not be read, compared or applied.

use millstream_pipeline::lane::batch::topics::ShardError;
use rdkafka::error::KafkaError;

/// Why an installation could not be read or changed. Applying again goes on where it stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there.
    #[error("{name} does not answer at {address}; start it, or name another address")]
    Unreachable {
        /// What was called.
        name: &'static str,
        /// Where.
        address: String,
        /// What the client said.
        source: reqwest::Error,
    },
    /// It answered with an error.
    #[error("{name} refused {request} with status {status}: {message}")]
    Refused {
        /// What was called.
        name: &'static str,
        /// Method and URL.
        request: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It answered in an unknown shape.
    #[error(
        "{name} answered {request} in a form that is not understood ({source}); check that the address belongs to {name} and that its version is supported"
    )]
    Shape {
        /// What was called.
        name: &'static str,
        /// Method and URL.
        request: String,
        /// Where the answer differs.
        source: serde_json::Error,
    },
    /// Kafka failed.
    #[error(
        "Kafka at {bootstrap} failed to {what}; check that the brokers run and that the address is right"
    )]
    Kafka {
        /// Bootstrap servers.
        bootstrap: String,
        /// What was asked of it.
        what: String,
        /// What the client said.
        source: Box<KafkaError>,
    },
    /// Kafka does not talk to this client.
    #[error("Kafka at {bootstrap} refuses this client: {reason}")]
    KafkaRefusesClient {
        /// Bootstrap servers.
        bootstrap: String,
        /// What was heard, and what to do.
        reason: String,
    },
    /// Kafka refused one change.
    #[error("Kafka refused to {what}: {message}")]
    KafkaRefused {
        /// What was asked of it.
        what: String,
        /// What the broker said.
        message: String,
    },
    /// A change did not show in time.
    #[error("{what} did not happen within {seconds} s; look at the broker's log and apply again")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// The plan holds refusals, so nothing was changed.
    #[error("nothing was changed, because the plan is refused:\n{}", .0.join("\n"))]
    PlanRefused(Vec<String>),
    /// A partition of a service in the batch lane could not be rewound.
    #[error(
        "a partition was not rewound; those before it were, and the service is paused. Run the same command \
         again, or `subscriptions resume`: {0}"
    )]
    NotRewound(#[from] ShardError),
    /// A background task ended without its result.
    #[error("an internal task ended early ({0}); run the command again")]
    Task(#[from] tokio::task::JoinError),
}
