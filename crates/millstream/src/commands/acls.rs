//! `acls`: the rights on Kafka that each part needs.

use std::process::ExitCode;

use millstream_control::acls::{commands, rights};
use millstream_pipeline::program;
use millstream_registry::DEFAULT_TOPIC;

use crate::application::About;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Prefix of the consumer groups, as in `apply`, and of the users
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    prefix: String,
    /// Topic of the built-in schema registry
    #[arg(long, default_value = DEFAULT_TOPIC, value_name = "NAME")]
    registry_topic: String,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let rights = rights(about.topics, &arguments.prefix, &arguments.registry_topic);
    for command in commands(&rights) {
        output::line(command);
    }
    Ok(ExitCode::SUCCESS)
}
