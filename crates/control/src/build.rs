//! Compares what is declared with what is: pure, and in the order in which changes are applied.

use std::collections::BTreeMap;

use millstream_events::Declaration;

use super::plan::{Change, Plan, Problem};
use super::schemas::{LEVEL, Misfit};
use super::state::{Actual, topics_of};
use super::subscriptions::{self, DeclaredSubscription};
use super::{Settings, cluster, deployment, lanes, owners, topics};

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
    let mut deployed = Plan::default();
    let services = deployment::step(&mut deployed, settings, actual);
    let declared = owners::of_project(declarations, settings, &services, &actual.subscriptions);
    let (removals, changes, problems) =
        subscriptions::compare(&declared, &actual.subscriptions, settings);
    // A deployment that replaces another may lack the service of a subscription that goes.
    plan.changes.extend(removals);
    plan.changes.extend(deployed.changes);
    plan.problems.extend(deployed.problems);
    plan.problems.extend(lanes::problems(
        declarations,
        &declared,
        &actual.subscriptions,
        &settings.prefix,
    ));
    for wanted in &declared {
        plan.problems
            .extend(subscriptions::check_sink(wanted, &services));
        plan.problems
            .extend(owners::check(wanted, settings, actual, &services));
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
    // The level comes first, or somebody else could register in between what it keeps out.
    for (declared, state) in &actual.subjects {
        match &state.level {
            Ok(from) if state.is_open() => plan.changes.push(Change::SetCompatibility {
                subject: declared.subject.clone(),
                from: from.clone(),
                to: LEVEL,
            }),
            _ => {}
        }
    }
    for (declared, state) in &actual.subjects {
        let subject = &declared.subject;
        let told = |misfit: &Misfit| {
            let (what, remedy) = (misfit.describe(subject), misfit.remedy(subject));
            format!("{what}. {remedy}")
        };
        if state.registered {
            let notes = state.misfits.iter().map(|it| Problem::note(told(it)));
            plan.problems.extend(notes);
        } else if state.misfits.is_empty() {
            plan.changes.push(Change::RegisterSchema {
                subject: subject.clone(),
                first: state.first,
                schema: declared.schema.json,
            });
        } else {
            let misfits: Vec<String> = state.misfits.iter().map(told).collect();
            plan.problems.push(Problem::refusal(format!(
                "the schema of {subject} is not compatible with what is registered: {}. If the version \
                 is one of yours, give new fields defaults and keep the old ones, or declare a new event",
                misfits.join("; ")
            )));
        }
    }
    let hidden: Vec<_> = actual
        .subjects
        .iter()
        .filter_map(|(declared, state)| Some((declared, state.level.as_ref().err()?)))
        .collect();
    if let Some((declared, reason)) = hidden.first() {
        plan.problems.push(Problem::note(format!(
            "the compatibility level of {} of the declared subjects, such as {}, is not known, so it stays \
             as it is ({reason}); see to it that it is {LEVEL}",
            hidden.len(),
            declared.subject
        )));
    }
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
