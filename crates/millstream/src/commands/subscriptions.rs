//! `subscriptions`: stop delivering a topic's events, go on, or go back in time.

use std::process::ExitCode;

use clap::Subcommand;
use millstream_control::{Control, control};
use millstream_pipeline::events::Declaration;

use super::declared::InstallationArgs;
use super::declared_topic;
use crate::application::About;
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
        /// Restate does not run: it delivers from there when it is started, and nothing before that
        #[arg(long)]
        restate_is_stopped: bool,
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

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let (which, what, past) = match arguments.verb {
        Verb::Pause(which) => (which, Control::Pause, "paused"),
        Verb::Resume(which) => (which, Control::Resume, "resumed"),
        Verb::Rewind {
            which,
            to: to_ms,
            restate_is_stopped,
        } => match restate_is_stopped {
            true => (which, Control::RewindStopped { to_ms }, "rewound"),
            false => (which, Control::Rewind { to_ms }, "rewound"),
        },
    };
    let chosen = choose(&which, about)?;
    let endpoints = which.installation.endpoints.resolve()?;
    let settings = which.installation.settings();
    let mut count = 0_usize;
    let done = |subscription: &str| {
        count += 1;
        output::line(format!("{past} {subscription}"));
    };
    control(&chosen, &endpoints, &settings, what, done).await?;
    anyhow::ensure!(
        count > 0,
        "nothing was {past}: no handler of {} is subscribed to {}",
        settings.prefix,
        match &which.topics[..] {
            [] => "any topic".to_owned(),
            topics => topics.join(", "),
        }
    );
    Ok(ExitCode::SUCCESS)
}

fn choose(which: &Which, about: &About) -> anyhow::Result<Vec<&'static Declaration>> {
    if which.all {
        return Ok(about.topics.to_vec());
    }
    let names = which.topics.iter();
    names.map(|name| declared_topic(name, about)).collect()
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
