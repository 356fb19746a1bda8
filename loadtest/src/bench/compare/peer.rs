//! Who does the keyed count.

use millstream_pipeline::events::Topic as _;
use serde::Serialize;

use crate::bench::noop;
use crate::chaos::ledger::catalogue::{Counts, CountsBatch};

/// One system that does the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// This project's pipeline: state, idempotency keys, input rule, result, metrics
    Millstream,
    /// The same in its batch lane
    MillstreamBatch,
    /// A virtual object in Rust that does nothing, behind the same subscription
    Noop,
    /// Restate's TypeScript SDK and kafkajs, the result in ctx.run
    TsRestate,
    /// Restate's Java SDK and Kafka's Java client, the result in ctx.run
    JavaRestate,
    /// Kafka Streams with exactly_once_v2
    KafkaStreams,
    /// Plain Rust: librdkafka, a map in memory, transactions
    Plain,
}

/// How a peer gets its commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// By a subscription of Restate's to this sink.
    BySubscription(&'static str),
    /// It consumes by itself.
    ByItself,
}

impl Peer {
    /// All of them; this project's own comes first.
    pub const ALL: [Self; 7] = [
        Self::Millstream,
        Self::MillstreamBatch,
        Self::Noop,
        Self::TsRestate,
        Self::JavaRestate,
        Self::KafkaStreams,
        Self::Plain,
    ];

    /// As arguments and files name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Millstream => "millstream",
            Self::MillstreamBatch => "millstream-batch",
            Self::Noop => "noop",
            Self::TsRestate => "ts-restate",
            Self::JavaRestate => "java-restate",
            Self::KafkaStreams => "kafka-streams",
            Self::Plain => "plain",
        }
    }

    /// As tables name it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Millstream => "Millstream",
            Self::MillstreamBatch => "Millstream, batch lane",
            Self::Noop => "no-op virtual object",
            Self::TsRestate => "Restate, TypeScript SDK",
            Self::JavaRestate => "Restate, Java SDK",
            Self::KafkaStreams => "Kafka Streams",
            Self::Plain => "plain Rust",
        }
    }

    /// How it gets its commands.
    pub fn fed(self) -> Fed {
        match self {
            Self::Millstream => Fed::BySubscription("service://Counter/onEvent"),
            Self::MillstreamBatch => Fed::BySubscription("service://BatchCounter/work"),
            Self::Noop => Fed::BySubscription(noop::SINK),
            Self::TsRestate => Fed::BySubscription("service://TsCounter/onEvent"),
            Self::JavaRestate => Fed::BySubscription("service://JavaCounter/onEvent"),
            Self::KafkaStreams | Self::Plain => Fed::ByItself,
        }
    }

    /// Its commands. Each has a topic of its own, with the same records.
    pub fn topic(self) -> String {
        match self {
            Self::Millstream => Counts::DECLARATION.name.to_owned(),
            Self::MillstreamBatch => CountsBatch::DECLARATION.name.to_owned(),
            _ => format!("counts-{}", self.name()),
        }
    }

    /// What its subscription reads: its commands, or work orders.
    pub fn subscribed(self) -> String {
        match self {
            Self::MillstreamBatch => "batch-counter-work".to_owned(),
            _ => self.topic(),
        }
    }

    /// Its results; the object that does nothing has none.
    pub fn results(self) -> Option<String> {
        match self {
            Self::Noop => None,
            _ => Some(format!("{}-results", self.topic())),
        }
    }

    /// Whether it takes many events at a time.
    pub fn batches(self) -> bool {
        self == Self::MillstreamBatch || self.fed() == Fed::ByItself
    }

    /// How many times as many events it gets in a round, or the fast ones would be done before
    /// they are measured.
    pub fn scale(self) -> usize {
        if self.batches() { 10 } else { 1 }
    }
}
