//! One file per verb; a new one is added to [`Command`] and to [`Command::run`].

mod acls;
mod apply;
mod balance;
mod check;
mod console;
mod declared;
mod demo;
mod dev;
mod dlq;
mod doctor;
mod exporter;
mod follow;
mod gateway;
mod guard;
mod healthcheck;
mod identity;
mod keys;
mod new;
mod plan;
mod produce;
mod registry;
mod release;
mod serve;
mod stand_ins;
mod state;
mod status;
mod subscriptions;
mod tail;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use millstream_pipeline::events::Declaration;

use crate::application::{About, Handlers};
use crate::logging;

/// A result with, where it failed, why the brokers refuse this process, if they do.
async fn explained<T, E>(result: Result<T, E>, bootstrap: &str) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let error = match result {
        Ok(value) => return Ok(value),
        Err(error) => anyhow::Error::new(error),
    };
    let bootstrap = bootstrap.to_owned();
    let (error, reason) = tokio::task::spawn_blocking(move || {
        let kafka = error.chain().find_map(|cause| cause.downcast_ref());
        let reason = kafka.and_then(|kafka| millstream_pipeline::kafka::refusal(&bootstrap, kafka));
        (error, reason)
    })
    .await?;
    Err(match reason {
        Some(reason) => error.context(format!("Kafka refuses this client: {reason}")),
        None => error,
    })
}

/// The declaration of a topic. A program knows nothing of the topics of others, and says so.
fn declared_topic(name: &str, about: &About) -> anyhow::Result<&'static Declaration> {
    let found = about.topics.iter().find(|topic| topic.name == name);
    found.copied().ok_or_else(|| {
        anyhow::anyhow!(
            "topic {name} is not declared in {program}, which knows nothing of it; `{program} status` lists \
             the topics that are. If it is another project's, ask that project's program",
            program = about.name
        )
    })
}

/// What the command can do.
#[derive(Subcommand)]
pub enum Command<S: Args> {
    /// Make a project of your own, with a topic, a handler and tests, that works at once
    #[command(disable_version_flag = true)]
    New(new::Arguments),
    /// Check schemas and topics, and that every schema is released and reads what was released before
    Check(check::Arguments),
    /// Add new and changed schemas to the history of those that were released
    Release(check::Arguments),
    /// Start everything on this machine, play every pattern as events, and check it
    Demo(demo::Arguments<S>),
    /// Start everything on this machine and keep it up
    Dev(dev::Arguments<S>),
    /// Serve the handlers, for a real deployment
    Serve(serve::Arguments<S>),
    /// Serve HTTP: requests become events, and their results the responses
    Gateway(gateway::Arguments),
    /// Serve a page that shows the installation: flow, topics, dead letters, objects, timers
    Console(console::Arguments),
    /// Print the public key of a private one, or make one
    Identity(identity::Arguments),
    /// Make, list and revoke the API keys that the gateway takes
    Keys(keys::Arguments),
    /// Relay guarded topics: check what foreign producers send before handlers see it
    Guard(guard::Arguments),
    /// Show lag, paused invocations, dead letters and what does not answer, for Prometheus
    Exporter(exporter::Arguments),
    /// Serve the built-in schema registry
    Registry(registry::Arguments),
    /// Serve stand-ins for systems outside, for the dev stack and tests
    #[command(hide = true)]
    StandIns(stand_ins::Arguments),
    /// Spread connections over the replicas of the handlers, for the dev stack's cluster
    #[command(hide = true)]
    Balance(balance::Arguments),
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
    /// Show the journey of a request over all topics: what came of it, and where it waits
    Follow(follow::Arguments),
    /// Print what objects keep, in either lane
    State(state::Arguments),
    /// Pause, resume or rewind subscriptions
    Subscriptions(subscriptions::Arguments),
    /// List, show, replay and discard dead letters
    Dlq(dlq::Arguments),
    /// Check whether the installation is healthy, and say what to do where it is not
    Doctor(doctor::Arguments),
    /// Ask a part of Millstream on this machine whether it is healthy, for containers
    Healthcheck(healthcheck::Arguments),
}

impl<S: Args> Command<S> {
    /// Runs it; an error is printed by the caller.
    pub async fn run(
        self,
        about: &About,
        handlers: Option<Handlers<S>>,
    ) -> anyhow::Result<ExitCode> {
        match self {
            Self::New(arguments) => new::run(&arguments),
            Self::Check(arguments) => check::run(&arguments, about),
            Self::Release(arguments) => release::run(&arguments, about),
            Self::Demo(arguments) => demo::run(arguments, about).await,
            Self::Dev(arguments) => dev::run(arguments, about).await,
            Self::Serve(arguments) => serve::run(arguments, about, handlers).await,
            Self::Gateway(arguments) => gateway::run(arguments, about).await,
            Self::Console(arguments) => console::run(arguments, about).await,
            Self::Identity(arguments) => identity::run(arguments, about).await,
            Self::Keys(arguments) => keys::run(arguments),
            Self::Guard(arguments) => guard::run(arguments, about).await,
            Self::Exporter(arguments) => exporter::run(arguments, about).await,
            Self::Registry(arguments) => registry::run(arguments).await,
            Self::StandIns(arguments) => stand_ins::run(arguments, about).await,
            Self::Balance(arguments) => balance::run(arguments).await,
            Self::Produce(arguments) => produce::run(arguments, about).await,
            Self::Tail(arguments) => tail::run(arguments, about).await,
            Self::Follow(arguments) => follow::run(arguments, about).await,
            Self::State(arguments) => state::run(arguments, about).await,
            Self::Subscriptions(arguments) => subscriptions::run(arguments, about).await,
            Self::Plan(arguments) => plan::run(arguments, about).await,
            Self::Apply(arguments) => apply::run(arguments, about).await,
            Self::Acls(arguments) => acls::run(arguments, about).await,
            Self::Status(arguments) => status::run(arguments, about).await,
            Self::Dlq(arguments) => dlq::run(arguments, about).await,
            Self::Doctor(arguments) => doctor::run(arguments, about).await,
            Self::Healthcheck(arguments) => healthcheck::run(arguments).await,
        }
    }

    /// Which part of an installation its spans are of; `None`: it handles no events.
    pub fn traced_part(&self) -> Option<&'static str> {
        match self {
            Self::Serve(_) => Some("handlers"),
            Self::Gateway(_) => Some("gateway"),
            _ => None,
        }
    }

    /// What it logs unless `RUST_LOG` says otherwise.
    pub fn log_filter(&self) -> &'static str {
        match self {
            Self::Serve(_)
            | Self::Gateway(_)
            | Self::Guard(_)
            | Self::Exporter(_)
            | Self::Registry(_)
            | Self::Balance(_)
            | Self::StandIns(_) => logging::SERVING,
            Self::Console(_) => logging::SHOWING,
            _ => logging::QUIET,
        }
    }
}

/// The verbs as far as they depend on what the application has.
pub fn of_application(command: clap::Command, about: &About) -> clap::Command {
    command.mut_subcommand("demo", |demo| demo::of_application(demo, about.scenarios))
}
