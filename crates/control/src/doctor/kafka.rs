//! Topics, dead letters and offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_events::Declaration;

use super::Check;
use crate::Unmarked;
use crate::kafka::{ActualTopic, Kafka, PartitionOffsets};
use crate::restate::{ActualSubscription, Service};
use crate::state::{self, Actual};
use crate::{Error, Settings, build, owners, standing, status, topics};
use millstream_pipeline::config::Endpoints;

/// How long Kafka may take to answer at all.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

pub(super) async fn check_topics(
    kafka: &Kafka,
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    checks: &mut Vec<Check>,
) -> Option<BTreeMap<String, ActualTopic>> {
    let declared = topics::declared(declarations);
    let names: BTreeSet<String> = declared.iter().map(|topic| topic.name.clone()).collect();
    // What is asked afterwards waits for longer.
    let found = match kafka.answers(ANSWER_LIMIT).await {
        Ok(()) => kafka.topics(&names).await,
        Err(error) => Err(error),
    };
    let (actual, default_replication) = match found {
        Ok(found) => found,
        Err(error) => {
            checks.push(Check::error("kafka", &error));
            return None;
        }
    };
    checks.push(Check::ok("kafka", "answers"));
    let before = checks.len();
    for topic in &declared {
        let (change, problems) =
            topics::compare(topic, actual.get(&topic.name), default_replication);
        checks.extend(change.map(|_| match actual.contains_key(&topic.name) {
            true => Check::warn(
                "topics",
                format!(
                    "{} has other settings; run `{program} apply`",
                    topic.name,
                    program = millstream_pipeline::program::name()
                ),
            ),
            false => Check::fail(
                "topics",
                format!(
                    "{} is missing; run `{program} apply`",
                    topic.name,
                    program = millstream_pipeline::program::name()
                ),
            ),
        }));
        checks.extend(
            problems
                .into_iter()
                .map(|problem| Check::problem("topics", problem)),
        );
    }
    if checks.len() == before {
        checks.push(Check::ok(
            "topics",
            format!(
                "all {} that {} declares are as declared; others are not looked at",
                declared.len(),
                millstream_pipeline::program::name()
            ),
        ));
    }
    let dead = dead_letters(kafka, declarations, endpoints, &actual).await;
    checks.push(dead.unwrap_or_else(|error| Check::error("dead letters", &error)));
    Some(actual)
}

async fn dead_letters(
    kafka: &Kafka,
    declarations: &[&Declaration],
    endpoints: &Endpoints,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Check, Error> {
    let names: BTreeSet<String> = declarations
        .iter()
        .filter(|d| d.dead_letters)
        .map(|d| d.dead_letter_topic())
        .collect();
    let kept = topics
        .iter()
        .filter(|(name, _)| names.contains(*name))
        .map(|(n, t)| (n.clone(), t.clone()))
        .collect();
    let records = status::records(kafka, &kept).await?;
    let unmarked = status::unmarked(declarations, endpoints, &records).await;
    let kept: i64 = records.values().sum();
    let found: Vec<String> = records
        .into_iter()
        .filter_map(|(name, kept)| match unmarked.get(&name) {
            Some(Unmarked { count: 0, .. }) => None,
            Some(Unmarked { count, at_least }) => {
                let more = if *at_least { " or more" } else { "" };
                Some(format!("{count}{more} on {name}"))
            }
            None => Some(format!("{kept} on {name}, perhaps dealt with")),
        })
        .collect();
    Ok(match found.is_empty() {
        true if kept == 0 => Check::ok("dead letters", "none of the declared topics"),
        true => Check::ok("dead letters", "somebody has dealt with each"),
        false => {
            let found = found.join(", ");
            Check::warn(
                "dead letters",
                format!(
                    "{found}; `{program} dlq list` shows them, `replay` and `discard` deal with them",
                    program = millstream_pipeline::program::name()
                ),
            )
        }
    })
}

pub(super) async fn check_offsets(
    kafka: &Kafka,
    declarations: &[&Declaration],
    settings: &Settings,
    topics: BTreeMap<String, ActualTopic>,
    services: &[Service],
    subscriptions: Vec<ActualSubscription>,
) -> Result<Vec<Check>, Error> {
    let declared = owners::of_project(declarations, settings, services, &subscriptions);
    let offsets = state::offsets(kafka, &declared, &topics).await?;
    let lag: i64 = offsets.values().flatten().map(PartitionOffsets::lag).sum();
    let named = topics::declared(declarations);
    let actual = Actual {
        topics,
        subscriptions,
        offsets,
        ..Actual::default()
    };
    let mut checks: Vec<Check> = Vec::new();
    for wanted in &declared {
        let found = actual.topics.get(&wanted.topic);
        let topic = named.iter().find(|topic| topic.name == wanted.topic);
        let foreign = found
            .zip(topic)
            .is_some_and(|(found, topic)| topic.is_foreign(found));
        let problem = build::generation_problem(wanted, found.is_some(), foreign, &actual);
        checks.extend(problem.map(|problem| Check::problem("offsets", problem)));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            "offsets",
            format!("no group is beyond the end of its topic; lag {lag}"),
        ));
    }
    // Of those that are there: a paused one stands still because somebody wants it to.
    let active = declared.into_iter().filter(|wanted| {
        let mut actual = actual.subscriptions.iter();
        actual.any(|actual| wanted.is(actual))
    });
    let active: Vec<_> = active.collect();
    let standing = standing::standing(kafka, &active, &actual.offsets).await?;
    checks.extend(active.iter().filter_map(|wanted| {
        let at = standing.get(&wanted.group)?;
        Some(Check::fail(
            "subscriptions",
            format!(
                "{topic} to {}/{} stands still: at offset {} of partition {} a record has waited for {} s, and \
                 Restate takes none. Restart Restate, or run `{program} subscriptions pause {topic}` and \
                 then `resume`",
                wanted.to.service,
                wanted.to.handler,
                at.offset,
                at.partition,
                at.seconds,
                topic = wanted.of, program = millstream_pipeline::program::name()
            ),
        ))
    }));
    Ok(checks)
}
