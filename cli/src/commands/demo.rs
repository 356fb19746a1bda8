//! `millstream demo`: starts everything, plays every pattern's scenario as events, checks it.

use std::process::ExitCode;

use anyhow::Context;
use console::Style;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::dev_stack::DevStack;

use crate::demo::{Outcome, SCENARIOS, Scenario};
use crate::stack::{self, StackArgs};
use crate::{output, shutdown};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Play only this scenario; may be repeated
    #[arg(long, value_name = "NAME", value_parser = scenario)]
    only: Vec<String>,
    /// Leave the stack running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Print one JSON object per scenario
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    stack: StackArgs,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    // A stack that runs already is used and left alone.
    let running = Endpoints::read(&arguments.stack.folder)?;
    let started = match &running {
        Some(_) => None,
        None => match stack::start(&arguments.stack, None, &stop).await? {
            Some(stack) => Some(stack),
            None => return Ok(ExitCode::FAILURE),
        },
    };
    let endpoints = running
        .or_else(|| started.as_ref().map(DevStack::endpoints))
        .context("no stack is running")?;
    let played = stop.run_until_cancelled(play(&arguments, &endpoints)).await;
    if let Some(stack) = started {
        if arguments.keep {
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

async fn play(arguments: &Arguments, endpoints: &Endpoints) -> anyhow::Result<bool> {
    let wanted = |scenario: &&Scenario| {
        arguments.only.is_empty() || arguments.only.iter().any(|name| name == scenario.name)
    };
    let mut outcomes = Vec::new();
    for scenario in SCENARIOS.iter().filter(wanted) {
        let outcome = scenario.play(endpoints).await;
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

fn scenario(name: &str) -> Result<String, String> {
    match SCENARIOS.iter().any(|scenario| scenario.name == name) {
        true => Ok(name.to_owned()),
        false => {
            let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            Err(format!("no such scenario; there are: {}", names.join(", ")))
        }
    }
}
