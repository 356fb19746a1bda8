//! The tables of `status`.

use millstream_control::Unmarked;
use millstream_control::{
    DeploymentStatus, GuardStatus, InvocationStatus, LaneStatus, Misplaced, Status,
    SubscriptionStatus, TopicStatus,
};

use crate::output::table_within;

/// Columns that a table has where there is no terminal to tell.
const WIDTH: u16 = 100;

/// A table that is no wider than people can read, also where it is piped.
fn fitting(title: &str, header: &[&str], numbers: &[usize], rows: Vec<Vec<String>>) -> String {
    table_within(Some(WIDTH), title, header, numbers, rows)
}

/// All of them, and what to look at.
pub fn all(status: &Status) -> String {
    let warnings = status.misplaced.iter().map(Misplaced::warning);
    [
        topics(&status.topics),
        subscriptions(&status.guards, &status.lanes, &status.subscriptions),
        invocations(&status.invocations),
        deployments(&status.deployments),
    ]
    .into_iter()
    .chain(warnings.map(|warning| format!("Warning: {warning}\n")))
    .collect::<Vec<_>>()
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
    fitting("Topics", &header, &[1, 2, 3, 4, 5], rows.collect())
}

/// Lag of guards, of the batch lane, and of subscriptions. All fall behind alike.
pub fn subscriptions(
    guards: &[GuardStatus],
    lanes: &[LaneStatus],
    subscriptions: &[SubscriptionStatus],
) -> String {
    let guards = guards.iter().map(|guard| {
        let (lag, state) = (number(guard.lag), offsets(guard.broken).to_owned());
        vec![guard.topic.clone(), "(guard)".to_owned(), lag, state]
    });
    let lanes = lanes.iter().map(|lane| {
        let state = match lane.standing_seconds {
            Some(_) if !lane.broken => "stands still",
            _ => offsets(lane.broken),
        };
        let (lag, state) = (number(lane.lag), state.to_owned());
        vec![lane.topic.clone(), lane.handler.clone(), lag, state]
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
    let rows = guards.chain(lanes).chain(subscriptions).collect();
    fitting("Subscriptions", &header, &[2], rows)
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
        "oldest",
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
        let oldest = service.oldest_waiting_seconds;
        row.push(oldest.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds} s")));
        row
    });
    let title = "Unfinished invocations";
    fitting(title, &header, &[1, 2, 3, 4, 5, 6], rows.collect())
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
    // A deployment may have dozens of services.
    fitting("Deployments", &header, &[1], rows.collect())
}

/// How a subscription is.
pub fn state(subscription: &SubscriptionStatus) -> &'static str {
    match (&subscription.id, subscription.standing_seconds) {
        (None, _) => "paused or missing",
        (_, Some(_)) => "stands still",
        _ => offsets(subscription.broken),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_fit_a_terminal_of_a_hundred_columns() {
        let service = |number: usize| format!("AServiceWithALongName{number}");
        let deployment = DeploymentStatus {
            id: "dp_17nPVuqTPgvEMZDmZCtqzQF".into(),
            uri: Some("http://handlers.internal.example:9080/system/".into()),
            created_at: String::new(),
            services: (0..40).map(service).collect(),
            pinned: 12_345,
        };
        let topic = TopicStatus {
            topic: "package-location-updates-of-somebody".into(),
            partitions: Some(64),
            records: Some(12_345_678_901),
            results: Some(12_345_678_901),
            dead_letters: Some(1_234_567),
            unmarked: None,
        };
        let subscription = SubscriptionStatus {
            topic: topic.topic.clone(),
            handler: format!("{}/onLocationUpdate", service(1)),
            group: "shop.of.somebody".into(),
            id: None,
            lag: Some(1_234_567),
            broken: false,
            standing_seconds: None,
        };
        let shown = all(&Status {
            topics: vec![topic],
            subscriptions: vec![subscription],
            guards: Vec::new(),
            lanes: Vec::new(),
            invocations: Vec::new(),
            deployments: vec![deployment],
            misplaced: Vec::new(),
        });
        for line in shown.lines() {
            assert!(line.chars().count() <= usize::from(WIDTH), "{line}");
        }
        for name in (0..40).map(service) {
            assert!(shown.contains(&name), "{name}: {shown}");
        }
    }
}
