//! `millstream subscriptions`: stop delivering a topic's events, go on, or go back in time.

use std::process::ExitCode;

use clap::Subcommand;
use millstream_pipeline::declarations::{Control, control};
use millstream_topics::Declaration;

use super::declared::{InstallationArgs, declarations};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Deliver nothing more; events wait in Kafka until `resume` or `apply`
    Pause(Which),
    /// Deliver again, from where it was
    Resume(Which),
    /// Deliver again what was recorded since a time; what was handled is not handled twice
    Rewind {
        #[command(flatten)]
        which: Which,
        /// Time such as 2026-11-21T10:00:00Z, or `beginning`
        #[arg(long, value_name = "TIME", value_parser = time)]
        to: i64,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Topics whose subscriptions are meant
    #[arg(required_unless_present = "all")]
    topics: Vec<String>,
    /// All declared topics
    #[arg(long, conflicts_with = "topics")]
    all: bool,
    #[command(flatten)]
    installation: InstallationArgs,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let (which, what, past) = match arguments.verb {
        Verb::Pause(which) => (which, Control::Pause, "paused"),
        Verb::Resume(which) => (which, Control::Resume, "resumed"),
        Verb::Rewind { which, to } => (which, Control::Rewind { to_ms: to }, "rewound"),
    };
    let chosen = choose(&which)?;
    let endpoints = which.installation.endpoints.resolve()?;
    let settings = which.installation.settings();
    let done = |subscription: &str| output::line(format!("{past} {subscription}"));
    control(&chosen, &endpoints, &settings, what, done).await?;
    Ok(ExitCode::SUCCESS)
}

fn choose(which: &Which) -> anyhow::Result<Vec<&'static Declaration>> {
    if which.all {
        return Ok(declarations().to_vec());
    }
    let declared = |name: &String| {
        let found = declarations().iter().find(|topic| topic.name == name);
        found.copied().ok_or_else(|| {
            anyhow::anyhow!(
                "topic {name} is not declared; `millstream status` lists those that are"
            )
        })
    };
    which.topics.iter().map(declared).collect()
}

fn time(text: &str) -> Result<i64, String> {
    match text {
        "beginning" => Ok(0),
        time => time
            .parse::<jiff::Timestamp>()
            .map(jiff::Timestamp::as_millisecond)
            .map_err(|error| format!("{error}; write a time such as 2026-11-21T10:00:00Z")),
    }
}
