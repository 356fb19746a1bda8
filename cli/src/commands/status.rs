//! `millstream status`: what does the installation do at this moment?

use std::process::ExitCode;

use millstream_pipeline::dead_letters::Unmarked;
use millstream_pipeline::declarations::{Status, status};

use super::declared::{InstallationArgs, declarations};
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    installation: InstallationArgs,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.installation.endpoints.resolve()?;
    let status = status(
        declarations(),
        &endpoints,
        &arguments.installation.settings(),
    )
    .await?;
    if arguments.json {
        output::json(&status)?;
    } else {
        tables(status);
    }
    Ok(ExitCode::SUCCESS)
}

fn tables(status: Status) {
    let topics = status.topics.into_iter().map(|topic| {
        let partitions = topic
            .partitions
            .map_or_else(|| "missing".to_owned(), |count| count.to_string());
        vec![
            topic.topic,
            partitions,
            number(topic.records),
            number(topic.results),
            number(topic.dead_letters),
            unmarked(topic.unmarked),
        ]
    });
    let header = [
        "topic",
        "partitions",
        "events",
        "results",
        "dead letters",
        "unmarked",
    ];
    output::table("Topics", &header, &[1, 2, 3, 4, 5], topics.collect());

    let subscriptions = status.subscriptions.into_iter().map(|subscription| {
        let state = match (&subscription.id, subscription.broken) {
            (None, _) => "paused or missing",
            (_, broken) => offsets(broken),
        };
        let lag = number(subscription.lag);
        vec![subscription.topic, subscription.handler, lag, state.into()]
    });
    // They stand before subscriptions and fall behind as these do.
    let guards = status.guards.into_iter().map(|guard| {
        let (lag, state) = (number(guard.lag), offsets(guard.broken).to_owned());
        vec![guard.topic, "(guard)".to_owned(), lag, state]
    });
    // Ids are long and only scripts need them: they are in the JSON.
    let header = ["topic", "handler", "lag", "state"];
    output::table(
        "Subscriptions",
        &header,
        &[2],
        guards.chain(subscriptions).collect(),
    );

    let invocations = status.invocations.into_iter().map(|service| {
        let counts = [
            service.paused,
            service.backing_off,
            service.running,
            service.suspended,
            service.waiting,
        ];
        let mut row = vec![service.service];
        row.extend(counts.iter().map(ToString::to_string));
        row
    });
    let header = [
        "service",
        "paused",
        "backing off",
        "running",
        "suspended",
        "waiting",
    ];
    output::table(
        "Unfinished invocations",
        &header,
        &[1, 2, 3, 4, 5],
        invocations.collect(),
    );

    let deployments = status.deployments.into_iter().map(|deployment| {
        let uri = deployment.uri.unwrap_or_else(|| "?".to_owned());
        vec![
            uri,
            deployment.pinned.to_string(),
            deployment.services.join(", "),
            deployment.id,
        ]
    });
    output::table(
        "Deployments",
        &["address", "pinned", "services", "id"],
        &[1],
        deployments.collect(),
    );
}

fn offsets(broken: bool) -> &'static str {
    if broken { "beyond the end" } else { "ok" }
}

fn unmarked(unmarked: Option<Unmarked>) -> String {
    match unmarked {
        None => "-".to_owned(),
        Some(Unmarked { count, at_least }) => format!("{count}{}", if at_least { "+" } else { "" }),
    }
}

fn number(count: Option<i64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}
