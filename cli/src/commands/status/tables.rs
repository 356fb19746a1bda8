//! The tables of `status`.

use millstream_pipeline::dead_letters::Unmarked;
use millstream_pipeline::declarations::{
    DeploymentStatus, GuardStatus, InvocationStatus, Status, SubscriptionStatus, TopicStatus,
};

use crate::output::table_text;

/// All of them.
pub fn all(status: &Status) -> String {
    [
        topics(&status.topics),
        subscriptions(&status.guards, &status.subscriptions),
        invocations(&status.invocations),
        deployments(&status.deployments),
    ]
    .join("\n")
}

/// Records of each topic.
pub fn topics(topics: &[TopicStatus]) -> String {
    let header = [
        "topic",
        "partitions",
        "events",
        "results",
        "dead letters",
        "unmarked",
    ];
    let rows = topics.iter().map(|topic| {
        let partitions = topic
            .partitions
            .map_or_else(|| "missing".to_owned(), |count| count.to_string());
        vec![
            topic.topic.clone(),
            partitions,
            number(topic.records),
            number(topic.results),
            number(topic.dead_letters),
            unmarked(topic.unmarked),
        ]
    });
    table_text("Topics", &header, &[1, 2, 3, 4, 5], rows.collect())
}

/// Lag of guards and subscriptions. Guards stand before subscriptions and fall behind as these do.
pub fn subscriptions(guards: &[GuardStatus], subscriptions: &[SubscriptionStatus]) -> String {
    let guards = guards.iter().map(|guard| {
        let (lag, state) = (number(guard.lag), offsets(guard.broken).to_owned());
        vec![guard.topic.clone(), "(guard)".to_owned(), lag, state]
    });
    let subscriptions = subscriptions.iter().map(|subscription| {
        vec![
            subscription.topic.clone(),
            subscription.handler.clone(),
            number(subscription.lag),
            state(subscription).to_owned(),
        ]
    });
    // Ids are long and only scripts need them: they are in the JSON.
    let header = ["topic", "handler", "lag", "state"];
    let rows = guards.chain(subscriptions).collect();
    table_text("Subscriptions", &header, &[2], rows)
}

/// Unfinished invocations of each service.
pub fn invocations(invocations: &[InvocationStatus]) -> String {
    let header = [
        "service",
        "paused",
        "backing off",
        "running",
        "suspended",
        "waiting",
    ];
    let rows = invocations.iter().map(|service| {
        let counts = [
            service.paused,
            service.backing_off,
            service.running,
            service.suspended,
            service.waiting,
        ];
        let mut row = vec![service.service.clone()];
        row.extend(counts.iter().map(ToString::to_string));
        row
    });
    let title = "Unfinished invocations";
    table_text(title, &header, &[1, 2, 3, 4, 5], rows.collect())
}

/// Deployments and what is pinned to them.
pub fn deployments(deployments: &[DeploymentStatus]) -> String {
    let header = ["address", "pinned", "services", "id"];
    let rows = deployments.iter().map(|deployment| {
        vec![
            deployment.uri.clone().unwrap_or_else(|| "?".to_owned()),
            deployment.pinned.to_string(),
            deployment.services.join(", "),
            deployment.id.clone(),
        ]
    });
    table_text("Deployments", &header, &[1], rows.collect())
}

/// How a subscription is.
pub fn state(subscription: &SubscriptionStatus) -> &'static str {
    match (&subscription.id, subscription.broken) {
        (None, _) => "paused or missing",
        (_, broken) => offsets(broken),
    }
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
