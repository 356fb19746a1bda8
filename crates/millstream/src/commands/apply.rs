//! `apply`: does what `plan` shows.

use std::process::ExitCode;

use millstream_control::{apply, plan};

use super::declared::PlanArgs;
use super::plan::{paint, problem};
use crate::application::About;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.plan.installation.endpoints.resolve()?;
    let plan = plan(about.topics, &endpoints, &arguments.plan.settings()).await?;
    if plan.refusals().next().is_some() {
        if arguments.json {
            output::json(&plan)?;
        }
        plan.problems.iter().for_each(problem);
        output::say("nothing was changed");
        return Ok(ExitCode::FAILURE);
    }
    plan.problems.iter().for_each(problem);
    let mut done = 0_usize;
    apply(&plan, &endpoints, |change| {
        done += 1;
        if !arguments.json {
            output::line(paint(&change.to_string()));
        }
    })
    .await
    .inspect_err(|_| {
        output::say(format!(
            "stopped after {done} of {} changes",
            plan.changes.len()
        ))
    })?;
    if arguments.json {
        output::json(&plan)?;
    }
    output::say(match done {
        0 => "nothing to change".to_owned(),
        1 => "1 change applied".to_owned(),
        count => format!("{count} changes applied"),
    });
    Ok(ExitCode::SUCCESS)
}
