//! `subscriptions`: stop delivering a topic's events, go on, or go back in time.

use std::process::ExitCode;

use clap::Subcommand;
use millstream_control::{Control, DecidedAnew, control, decide_anew, leased, with_orders_of};
use millstream_pipeline::events::{Declaration, Lane};
use millstream_pipeline::lane::batch::topics::Rewound;

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
    /// Deliver again what was recorded since a time; what was handled is not handled twice. In the batch
    /// lane it is: all of it is decided once more, with no states
    Rewind {
        #[command(flatten)]
        which: Which,
        /// Time such as 2026-11-21T10:00:00Z, or `beginning`
        #[arg(long, value_name = "TIME", value_parser = time)]
        to: i64,
        /// Restate does not run: it delivers from there when it is started, and nothing before that
        #[arg(long)]
        restate_is_stopped: bool,
        /// This service of the batch lane forgets its states and publishes all its results again; may be
        /// repeated
        #[arg(long, value_name = "SERVICE", conflicts_with_all = ["restate_is_stopped", "all"])]
        decide_anew: Vec<String>,
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
            decide_anew,
        } => {
            // What is in the batch lane is so by its name alone: a Restate that was lost took nothing of it.
            if !which.all && !restate_is_stopped {
                rewind_leased(&which, about, to_ms, &decide_anew).await?;
            }
            match restate_is_stopped {
                true => (which, Control::RewindStopped { to_ms }, "rewound"),
                false => (which, Control::Rewind { to_ms }, "rewound"),
            }
        }
    };
    let mut chosen = choose(&which, about)?;
    match what {
        Control::Pause | Control::Resume => chosen = with_orders_of(about.topics, &chosen),
        Control::Rewind { .. } if chosen.iter().all(|it| it.lane == Lane::Batch) => {
            return Ok(ExitCode::SUCCESS);
        }
        Control::Rewind { .. } | Control::RewindStopped { .. } => {}
    }
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

/// Rewinds the services that handle any of these topics in the batch lane, if each was named once more.
async fn rewind_leased(
    which: &Which,
    about: &About,
    to_ms: i64,
    named: &[String],
) -> anyhow::Result<()> {
    let services = leased(about.topics, &choose(which, about)?);
    for name in named {
        let is_meant = services.iter().any(|it| it.service == name);
        let once = about.topics.iter().find(|it| {
            let results = it.results.as_ref();
            results
                .and_then(|results| results.once)
                .is_some_and(|once| once.service == name)
        });
        if let Some(topic) = once {
            anyhow::bail!(
                "{name} publishes results once and decides nothing: raise once-generation under [results] in \
                 topics/{}.toml, build the handlers with it and apply; nothing was rewound",
                topic.file()
            );
        }
        anyhow::ensure!(
            is_meant,
            "{name} handles none of these topics in the batch lane, so it is not decided anew; nothing was rewound"
        );
    }
    let unnamed = services
        .iter()
        .find(|it| !named.iter().any(|name| name == it.service));
    if let Some(DecidedAnew { service, topics }) = unnamed {
        anyhow::bail!(
            "{service} works in the batch lane, where nothing is passed over that was handled before: rewinding \
             takes all its states away, decides {topics} once more from then on, and publishes all results and \
             events again, under other epochs. Whoever has acted on the results acts again. If that is as it should \
             be, say --decide-anew {service} as well; nothing was rewound",
            topics = topics.join(", ")
        );
    }
    let endpoints = which.installation.endpoints.resolve()?;
    let settings = which.installation.settings();
    for DecidedAnew { service, .. } in services {
        let done = |partition: i32, rewound: &Rewound| {
            output::line(format!(
                "rewound partition {partition} of {service}: {} states forgotten, epoch {}",
                rewound.keys, rewound.epoch
            ));
        };
        decide_anew(about.topics, &endpoints, &settings, service, to_ms, done).await?;
    }
    Ok(())
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
