//! One file per verb; a new one is added to [`Command`] and to [`Command::run`].

mod acls;
mod apply;
mod declared;
mod demo;
mod dev;
mod dlq;
mod doctor;
mod gateway;
mod guard;
mod healthcheck;
mod identity;
mod keys;
mod plan;
mod produce;
mod registry;
mod serve;
mod stand_ins;
mod status;
mod subscriptions;
mod tail;

use std::process::ExitCode;

use clap::Subcommand;

use crate::logging;

/// What the command can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything on this machine, play every pattern as events, and check it
    Demo(demo::Arguments),
    /// Start everything on this machine and keep it up
    Dev(dev::Arguments),
    /// Serve the handlers, for a real deployment
    Serve(serve::Arguments),
    /// Serve HTTP: requests become events, and their results the responses
    Gateway(gateway::Arguments),
    /// Print the public key of a private one, or make one
    Identity(identity::Arguments),
    /// Make, list and revoke the API keys that the gateway takes
    Keys(keys::Arguments),
    /// Relay guarded topics: check what foreign producers send before handlers see it
    Guard(guard::Arguments),
    /// Serve the built-in schema registry
    Registry(registry::Arguments),
    /// Serve stand-ins for systems outside, for the dev stack and tests
    #[command(hide = true)]
    StandIns(stand_ins::Arguments),
    /// Show what differs between the installation and the declarations
    Plan(plan::Arguments),
    /// Bring topics, schemas, the deployment and subscriptions to what is declared
    Apply(apply::Arguments),
    /// Print the rights on Kafka that each part needs, as commands
    Acls(acls::Arguments),
    /// Show topics, subscriptions, lag, dead letters, invocations and deployments
    Status(status::Arguments),
    /// Produce events, one JSON object a line from standard input
    Produce(produce::Arguments),
    /// Print the events of topics, one JSON object a line
    Tail(tail::Arguments),
    /// Pause, resume or rewind subscriptions
    Subscriptions(subscriptions::Arguments),
    /// List, show, replay and discard dead letters
    Dlq(dlq::Arguments),
    /// Check whether the installation is healthy, and say what to do where it is not
    Doctor(doctor::Arguments),
    /// Ask a part of Millstream on this machine whether it is healthy, for containers
    Healthcheck(healthcheck::Arguments),
}

impl Command {
    /// Runs it; an error is printed by the caller.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(arguments) => demo::run(arguments).await,
            Self::Dev(arguments) => dev::run(arguments).await,
            Self::Serve(arguments) => serve::run(arguments).await,
            Self::Gateway(arguments) => gateway::run(arguments).await,
            Self::Identity(arguments) => identity::run(arguments).await,
            Self::Keys(arguments) => keys::run(arguments),
            Self::Guard(arguments) => guard::run(arguments).await,
            Self::Registry(arguments) => registry::run(arguments).await,
            Self::StandIns(arguments) => stand_ins::run(arguments).await,
            Self::Produce(arguments) => produce::run(arguments).await,
            Self::Tail(arguments) => tail::run(arguments).await,
            Self::Subscriptions(arguments) => subscriptions::run(arguments).await,
            Self::Plan(arguments) => plan::run(arguments).await,
            Self::Apply(arguments) => apply::run(arguments).await,
            Self::Acls(arguments) => acls::run(arguments).await,
            Self::Status(arguments) => status::run(arguments).await,
            Self::Dlq(arguments) => dlq::run(arguments).await,
            Self::Doctor(arguments) => doctor::run(arguments).await,
            Self::Healthcheck(arguments) => healthcheck::run(arguments).await,
        }
    }

    /// What it logs unless `RUST_LOG` says otherwise.
    pub fn log_filter(&self) -> &'static str {
        match self {
            Self::Serve(_)
            | Self::Gateway(_)
            | Self::Guard(_)
            | Self::Registry(_)
            | Self::StandIns(_) => logging::SERVING,
            _ => logging::QUIET,
        }
    }
}
