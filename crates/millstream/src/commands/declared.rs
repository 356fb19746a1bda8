//! What `plan`, `apply`, `status` and `doctor` have in common.

use std::collections::BTreeMap;

use clap::Args;
use millstream_control::Settings;
use millstream_pipeline::program;

use millstream_control::EndpointArgs;

/// Which installation, and under which names its declarations are there.
#[derive(Debug, Args)]
pub struct InstallationArgs {
    #[command(flatten)]
    pub endpoints: EndpointArgs,
    /// Prefix of the consumer groups
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    pub prefix: String,
    /// Name under which Restate knows the Kafka cluster
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    pub cluster: String,
    /// Kafka's bootstrap servers as Restate sees them, where they differ
    #[arg(
        long,
        env = "MILLSTREAM_KAFKA_FOR_RESTATE",
        value_name = "HOST:PORT",
        hide_env_values = true
    )]
    pub kafka_for_restate: Option<String>,
    /// A consumer setting of Restate's Kafka cluster; may be repeated
    #[arg(long = "kafka-option", value_name = "NAME=VALUE", value_parser = key_value)]
    pub kafka_options: Vec<(String, String)>,
}

/// What a plan may do.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub installation: InstallationArgs,
    /// Where Restate reaches the handlers; without it the deployment is left as it is
    #[arg(
        long,
        env = "MILLSTREAM_HANDLERS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub handlers: Option<String>,
    /// Replace the deployment registered under the same URL; can break its running invocations
    #[arg(long)]
    pub force: bool,
    /// Take services from the project that serves them: the library's own, Replies and Timers, from
    /// one that is gone, or all from one that had another prefix
    #[arg(long, requires = "handlers")]
    pub take_over: bool,
    /// Remove subscriptions of this prefix that are no longer declared
    #[arg(long)]
    pub prune: bool,
    /// Also delete the topics of removed subscriptions, with all their records
    #[arg(long, requires = "prune")]
    pub prune_topics: bool,
}

impl InstallationArgs {
    /// The settings that only look.
    pub fn settings(&self) -> Settings {
        Settings {
            prefix: self.prefix.clone(),
            cluster: self.cluster.clone(),
            kafka_for_restate: self.kafka_for_restate.clone(),
            kafka_options: self
                .kafka_options
                .iter()
                .cloned()
                .collect::<BTreeMap<_, _>>(),
            ..Settings::default()
        }
    }
}

impl PlanArgs {
    /// The settings of a plan.
    pub fn settings(&self) -> Settings {
        Settings {
            handlers: self.handlers.clone(),
            force: self.force,
            take_over: self.take_over,
            prune: self.prune,
            prune_topics: self.prune_topics,
            ..self.installation.settings()
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}
