//! `plan`: what would `apply` do?

use std::process::ExitCode;

use console::Style;
use millstream_control::{Plan, Problem, plan};

use super::declared::PlanArgs;
use crate::application::About;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.plan.installation.endpoints.resolve()?;
    let plan = plan(about.topics, &endpoints, &arguments.plan.settings()).await?;
    if arguments.json {
        output::json(&plan)?;
    } else {
        changes(&plan);
        plan.problems.iter().for_each(problem);
    }
    Ok(if plan.refusals().next().is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn changes(plan: &Plan) {
    for change in &plan.changes {
        output::line(paint(&change.to_string()));
    }
    output::say(match plan.changes.len() {
        0 => "nothing to change".to_owned(),
        1 => "1 change to apply".to_owned(),
        count => format!("{count} changes to apply"),
    });
}

/// A change in the colour of its sign.
pub fn paint(change: &str) -> String {
    let style = match change.as_bytes().first() {
        Some(b'+') => Style::new().green(),
        Some(b'-') => Style::new().red(),
        _ => Style::new().yellow(),
    };
    output::paint(style, change)
}

/// Prints a problem where it does not disturb the data.
pub fn problem(problem: &Problem) {
    let (mark, style) = match problem.refused {
        true => ("refused", Style::new().red().bold()),
        false => ("note", Style::new().cyan()),
    };
    output::say(format!(
        "{}: {}",
        output::paint_err(style, mark),
        problem.message
    ));
}
