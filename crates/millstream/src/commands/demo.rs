//! `demo`: starts everything, plays every pattern's scenario as events, checks it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use console::Style;
use millstream_devstack::DevStack;
use millstream_pipeline::config::Endpoints;

use crate::application::About;
use crate::scenario::{Outcome, Scenario};
use crate::settings::Passed;
use crate::stack::{self, StackArgs};
use crate::{identity, output, shutdown};

/// The flag that names a scenario.
const ONLY: &str = "only";

#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments<S: Args> {
    /// Play only this scenario; may be repeated
    #[arg(id = ONLY, long, value_name = "NAME")]
    only: Vec<String>,
    /// Leave the stack running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Print one JSON object per scenario
    #[arg(long)]
    json: bool,
    /// Private key, one that the handlers trust, that proves who sends the events of users: where the
    /// handlers ask for it
    #[arg(long, env = "MILLSTREAM_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
    #[command(flatten)]
    stack: StackArgs,
    #[command(flatten)]
    settings: Passed<S>,
}

pub async fn run<S: Args>(arguments: Arguments<S>, about: &About) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !about.scenarios.is_empty(),
        "this application has no scenarios to play (Application::scenarios)"
    );
    let stop = shutdown::on_signal()?;
    // A stack that runs already is used and left alone.
    let running = Endpoints::read(&arguments.stack.folder)?;
    let started = match &running {
        Some(_) => None,
        None => {
            let (stack, settings) = (&arguments.stack, &arguments.settings);
            match stack::start(about, stack, None, settings, &stop).await? {
                Some(stack) => Some(stack),
                None => return Ok(ExitCode::FAILURE),
            }
        }
    };
    let endpoints = running
        .or_else(|| started.as_ref().map(DevStack::endpoints))
        .context("no stack is running")?;
    let played = stop
        .run_until_cancelled(play(&arguments, about, &endpoints))
        .await;
    if let Some(stack) = started {
        if arguments.keep {
            if let Some(console) = &endpoints.console {
                output::say(format!("see it: {console}"));
            }
            output::say("the stack stays up; Ctrl-C stops it");
            stop.cancelled().await;
        }
        stack.stop().await;
    }
    match played {
        Some(Ok(true)) => Ok(ExitCode::SUCCESS),
        Some(Err(error)) => Err(error),
        _ => Ok(ExitCode::FAILURE),
    }
}

async fn play<S: Args>(
    arguments: &Arguments<S>,
    about: &About,
    endpoints: &Endpoints,
) -> anyhow::Result<bool> {
    let wanted = |scenario: &&Scenario| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == scenario.name)
    };
    let signer = identity::signer(arguments.signing_key.as_deref())?.map(Arc::new);
    let mut outcomes = Vec::new();
    for scenario in about.scenarios.iter().filter(wanted) {
        let outcome = scenario.run(endpoints, about.topics, signer.clone()).await;
        if arguments.json {
            output::json_line(&outcome)?;
        } else {
            output::say(format!(
                "{} {}: {}",
                if outcome.ok { "ok  " } else { "FAIL" },
                scenario.name,
                scenario.summary
            ));
        }
        outcomes.push(outcome);
    }
    if !arguments.json {
        print(&outcomes);
    }
    Ok(outcomes.iter().all(|outcome| outcome.ok))
}

fn print(outcomes: &[Outcome]) {
    output::line("");
    let rows = outcomes
        .iter()
        .map(|outcome| {
            vec![
                outcome.scenario.to_owned(),
                if outcome.ok {
                    "ok".into()
                } else {
                    "FAILED".into()
                },
                outcome
                    .topics
                    .iter()
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("\n"),
                outcome.events_in.to_string(),
                outcome.results_out.to_string(),
                format!("{:.2} s", outcome.seconds),
            ]
        })
        .collect();
    let header = ["pattern", "", "topics", "events in", "results out", "time"];
    output::table("Scenarios", &header, &[3, 4, 5], rows);
    for outcome in outcomes {
        for failure in &outcome.failures {
            let mark = output::paint(Style::new().red().bold(), "FAILED");
            output::line(format!("{mark} {}: {failure}", outcome.scenario));
        }
    }
}

/// The verb, which takes the names of these scenarios.
pub fn of_application(demo: clap::Command, scenarios: &'static [Scenario]) -> clap::Command {
    let known = move |name: &str| match scenarios.iter().any(|scenario| scenario.name == name) {
        true => Ok(name.to_owned()),
        false => {
            let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name).collect();
            Err(format!("no such scenario; there are: {}", names.join(", ")))
        }
    };
    demo.mut_arg(ONLY, |only| only.value_parser(known))
}
