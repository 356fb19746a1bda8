//! `doctor`: is the installation healthy, and what is to be done where it is not?

use std::process::ExitCode;

use console::Style;
use millstream_control::{Check, Outcome, Scan, doctor, scan};
use serde::Serialize;

use super::declared::InstallationArgs;
use crate::application::About;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    installation: InstallationArgs,
    /// Read this topic to its end and count the keys that no handler can take, and those that are not
    /// where Java's client puts them; may be repeated
    #[arg(long, value_name = "TOPIC")]
    scan: Vec<String>,
    /// Print the checks as JSON
    #[arg(long)]
    json: bool,
}

/// The checks and what the scans found.
#[derive(Debug, Serialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
    scans: Vec<(String, Scan)>,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.installation.endpoints.resolve()?;
    let mut checks = doctor(about.topics, &endpoints, &arguments.installation.settings()).await;
    let mut scans = Vec::new();
    for topic in arguments.scan {
        let found = scan(&endpoints, &topic).await?;
        checks.push(found.check(&topic));
        scans.push((topic, found));
    }
    let healthy = checks.iter().all(|check| check.outcome != Outcome::Fail);
    if arguments.json {
        output::json(&Report {
            healthy,
            checks,
            scans,
        })?;
    } else {
        checks.iter().for_each(show);
    }
    Ok(if healthy {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(check: &Check) {
    let (mark, style) = match check.outcome {
        Outcome::Ok => ("ok  ", Style::new().green()),
        Outcome::Warn => ("warn", Style::new().yellow()),
        Outcome::Fail => ("fail", Style::new().red().bold()),
    };
    output::line(format!(
        "{} {:<14} {}",
        output::paint(style, mark),
        check.check,
        check.message
    ));
}
