//! One file per verb; a new one is added to [`Command`] and to [`Command::run`].

mod apply;
mod declared;
mod doctor;
mod plan;
mod status;

use std::process::ExitCode;

use clap::Subcommand;

use crate::logging;

/// What the command can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what differs between the installation and the declarations
    Plan(plan::Arguments),
    /// Bring topics, schemas, the deployment and subscriptions to what is declared
    Apply(apply::Arguments),
    /// Show topics, subscriptions, lag, dead letters, invocations and deployments
    Status(status::Arguments),
    /// Check whether the installation is healthy, and say what to do where it is not
    Doctor(doctor::Arguments),
}

impl Command {
    /// Runs it; an error is printed by the caller.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(arguments) => plan::run(arguments).await,
            Self::Apply(arguments) => apply::run(arguments).await,
            Self::Status(arguments) => status::run(arguments).await,
            Self::Doctor(arguments) => doctor::run(arguments).await,
        }
    }

    /// What it logs unless `RUST_LOG` says otherwise.
    pub fn log_filter(&self) -> &'static str {
        match self {
            Self::Plan(_) | Self::Apply(_) | Self::Status(_) | Self::Doctor(_) => logging::QUIET,
        }
    }
}
