//! Compares what is declared with what is: pure, and in the order in which changes are applied.

use std::collections::BTreeMap;

use millstream_topics::Declaration;

use super::plan::{Change, Plan, Problem};
use super::restate::Service;
use super::schemas::SubjectState;
use super::state::{Actual, Deployment, topics_of};
use super::subscriptions::{self, DeclaredSubscription};
use super::{Settings, cluster, deployment, topics};

/// The plan that makes `actual` what is declared.
pub(crate) fn build(
    declarations: &[&Declaration],
    cluster_properties: &BTreeMap<String, String>,
    settings: &Settings,
    actual: &Actual,
) -> Plan {
    let mut plan = Plan::default();
    let declared = subscriptions::declared(declarations, &settings.prefix, &settings.cluster);
    topic_step(&mut plan, declarations, &declared, actual);
    schema_step(&mut plan, actual);
    let (change, problem) =
        cluster::compare(&settings.cluster, cluster_properties, &actual.clusters);
    plan.changes.extend(change);
    plan.problems.extend(problem);
    let (removals, changes, problems) = subscriptions::compare(
        &declared,
        &actual.subscriptions,
        &settings.prefix,
        settings.prune,
    );
    // A deployment that replaces another may lack the service of a subscription that goes.
    plan.changes.extend(removals);
    let services = deployment_step(&mut plan, settings, actual);
    for wanted in &declared {
        plan.problems
            .extend(subscriptions::check_sink(wanted, &services));
    }
    plan.changes.extend(changes);
    plan.problems.extend(problems);
    if settings.prune && settings.prune_topics {
        prune_topics(&mut plan, declarations, settings, actual);
    }
    plan
}

fn topic_step(
    plan: &mut Plan,
    declarations: &[&Declaration],
    declared: &[DeclaredSubscription],
    actual: &Actual,
) {
    for topic in topics::declared(declarations) {
        let found = actual.topics.get(&topic.name);
        let (change, problems) = topics::compare(&topic, found, actual.default_replication);
        plan.changes.extend(change);
        plan.problems.extend(problems);
        let foreign = found.is_some_and(|found| topic.is_foreign(found));
        for wanted in declared.iter().filter(|wanted| wanted.topic == topic.name) {
            plan.problems
                .extend(generation_problem(wanted, found.is_some(), foreign, actual));
        }
    }
}

/// Offsets that start again would be taken for old events, by Restate and by the handlers: such a
/// topic is refused until its file says a higher generation.
pub(crate) fn generation_problem(
    wanted: &DeclaredSubscription,
    exists: bool,
    foreign: bool,
    actual: &Actual,
) -> Option<Problem> {
    let subscription = actual
        .subscriptions
        .iter()
        .find(|actual| wanted.is(actual))?;
    let made_for = subscriptions::generation(subscription)?;
    let (topic, generation) = (&wanted.topic, wanted.generation);
    if generation < made_for {
        return Some(Problem::refusal(format!(
            "{topic} is in generation {made_for} and topics/{}.toml says {generation}: a generation never goes \
             down; set generation = {made_for}",
            wanted.of
        )));
    }
    if generation > made_for {
        return None;
    }
    let broken = actual
        .offsets
        .get(&wanted.group)
        .into_iter()
        .flatten()
        .find(|offsets| offsets.is_broken());
    let what = match broken {
        Some(offsets) => format!(
            "{topic} ends at offset {} in partition {}, and {} has committed {}",
            offsets.end,
            offsets.partition,
            wanted.group,
            offsets.committed.unwrap_or_default()
        ),
        None if !exists => format!("{topic} is gone and is still subscribed"),
        None if foreign => {
            format!("{topic} was made anew by somebody else, for none of its settings is ours")
        }
        None => return None,
    };
    Some(Problem::refusal(format!(
        "{what}: its offsets start again, and new events would be taken for old ones and dropped. If that is as \
         it should be, set generation = {} in topics/{}.toml, build the handlers with it and apply again",
        generation + 1,
        wanted.of
    )))
}

fn schema_step(plan: &mut Plan, actual: &Actual) {
    for (declared, state) in &actual.subjects {
        match state {
            SubjectState::Registered => {}
            SubjectState::Missing { first } => plan.changes.push(Change::RegisterSchema {
                subject: declared.subject.clone(),
                first: *first,
                schema: declared.schema.json,
            }),
            SubjectState::Incompatible { reasons } => plan.problems.push(Problem::refusal(format!(
                "the schema of {} is not compatible with the registered version: {}. Give new fields defaults \
                 and keep the old ones, or declare a new event",
                declared.subject,
                reasons.join("; ")
            ))),
        }
    }
}

/// Answers the services that there will be.
fn deployment_step(plan: &mut Plan, settings: &Settings, actual: &Actual) -> Vec<Service> {
    let mut services = actual.services.clone();
    let (uri, discovered, registered) = match &actual.deployment {
        Deployment::NotAsked => return services,
        Deployment::Unreachable { uri, reason } => {
            plan.problems.push(Problem::refusal(format!(
                "Restate cannot discover the handlers at {uri}: {reason}. Start them, or give the address that \
                 Restate can reach"
            )));
            return services;
        }
        Deployment::Found {
            uri,
            discovered,
            registered,
        } => (uri, discovered, registered),
    };
    let replaces = registered.is_some();
    let mut offers: Vec<String> = match registered {
        None => discovered
            .iter()
            .map(|service| service.name.clone())
            .collect(),
        Some(registered) => deployment::differences(&registered.services, discovered),
    };
    offers.sort();
    if replaces && offers.is_empty() {
        return services;
    }
    if replaces && !settings.force {
        plan.problems.push(Problem::refusal(format!(
            "the handlers at {uri} differ from those registered under this address ({}): running invocations \
             would go on in code that they did not start in. Serve the new version at a new address and apply \
             with that, or use --force where no invocation must survive, as in development",
            offers.join(", ")
        )));
    } else {
        plan.changes.push(Change::RegisterDeployment {
            uri: uri.clone(),
            replaces,
            force: settings.force,
            offers,
        });
    }
    let replaced = registered.as_ref().map(|registered| registered.id.as_str());
    services.retain(|known| {
        Some(known.deployment_id.as_str()) != replaced
            && !discovered.iter().any(|new| new.name == known.name)
    });
    services.extend(discovered.clone());
    services
}

fn prune_topics(
    plan: &mut Plan,
    declarations: &[&Declaration],
    settings: &Settings,
    actual: &Actual,
) {
    let declared: Vec<String> = topics::declared(declarations)
        .into_iter()
        .map(|topic| topic.name)
        .collect();
    let mut names: Vec<String> = actual
        .subscriptions
        .iter()
        .flat_map(|actual| topics_of(actual, settings))
        .filter(|name| actual.topics.contains_key(name) && !declared.contains(name))
        .collect();
    names.sort();
    names.dedup();
    plan.changes
        .extend(names.into_iter().map(|topic| Change::DeleteTopic { topic }));
}
