//! The batch lane: what the topics of a service have in common there, and the topics that come with it.

use std::collections::BTreeMap;

use super::{Access, EventEntry, ResultsEntry, Topic, once};
use crate::{names, problem::Collector, schema::WORK_DUE};

/// A work order that nobody has taken for a day is replaced by others.
const ORDERS_KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const FOREVER: i64 = -1;

/// Services of the batch lane, with the topics that say so.
fn services(topics: &[Topic]) -> BTreeMap<&str, Vec<&Topic>> {
    let mut services: BTreeMap<&str, Vec<&Topic>> = BTreeMap::new();
    for topic in topics.iter().filter(|topic| topic.batch) {
        for (service, _) in &topic.subscriptions {
            services.entry(service).or_default().push(topic);
        }
    }
    services
}

pub fn check(topics: &[Topic], problems: &Collector) {
    for topic in topics.iter().filter(|topic| topic.batch) {
        let Topic { file, .. } = topic;
        if topic.subscriptions.is_empty() {
            problems.add(
                file,
                "is in the batch lane, and nobody handles it: add `subscriptions`, or remove `lane`.",
            );
        }
        if topic.compact {
            problems.add(
                file,
                "is in the batch lane and compacted, which may take a record away before it is handled: remove `cleanup`.",
            );
        }
        if topic.replies {
            problems.add(
                file,
                "takes replies, which the batch lane does not handle: remove `lane`.",
            );
        }
    }
    let services = services(topics);
    for topic in topics {
        alike(topic, &services, problems);
    }
    for (service, own) in &services {
        let [first, ..] = &own[..] else { continue };
        for name in derived_names(service) {
            if !names::is_kebab_case(&name) {
                problems.add(
                    &first.file,
                    format!("the service {service} would have the topic `{name}`, which is no name of one: write it in PascalCase, such as UsageMeter."),
                );
            } else if let Some(other) = topics.iter().find(|topic| topic.name == name) {
                problems.add(
                    &other.file,
                    format!("{service}, which is in the batch lane, has a topic `{name}` for itself: rename the file."),
                );
            }
        }
    }
}

/// All topics of a service are in one lane, and have as many partitions and the same generation.
fn alike(topic: &Topic, services: &BTreeMap<&str, Vec<&Topic>>, problems: &Collector) {
    let Topic { file, .. } = topic;
    for (service, _) in &topic.results.subscriptions {
        if services.contains_key(&service[..]) {
            problems.add(
                file,
                format!("its results are handled by {service}, which is in the batch lane, where results are not: give them to another service."),
            );
        }
    }
    for (service, _) in &topic.subscriptions {
        let Some([first, ..]) = services.get(&service[..]).map(Vec::as_slice) else {
            continue;
        };
        if !topic.batch {
            problems.add(
                file,
                format!("{service} handles `{}` in the batch lane, and a service is in one lane: add lane = \"batch\" here, or remove it there.", first.name),
            );
        } else if topic.partitions != first.partitions {
            problems.add(
                file,
                format!("has {} partitions, and `{}`, which {service} handles too, has {}: in the batch lane all have as many.", topic.partitions, first.name, first.partitions),
            );
        } else if topic.generation != first.generation {
            problems.add(
                file,
                format!("is in generation {}, and `{}`, which {service} handles too, in {}: in the batch lane all are decided anew, or none.", topic.generation, first.name, first.generation),
            );
        }
    }
}

/// Names of the topics that a service of the batch lane has for itself.
pub(super) fn derived_names(service: &str) -> [String; 2] {
    let service = names::kebab_case(service);
    [format!("{service}-work"), format!("{service}-state")]
}

/// The topics that services of the batch lane have for themselves: of work orders, and of states.
pub fn of_services(topics: &[Topic]) -> Vec<Topic> {
    let mut out = Vec::new();
    for (service, own) in services(topics) {
        let [first, ..] = &own[..] else { continue };
        out.extend(of_service(service, first));
    }
    for topic in topics {
        out.extend(once::of_service(topic).into_iter().flatten());
    }
    out
}

/// Those of a service, with the partitions and the generation of one that it reads.
pub(super) fn of_service(service: &str, read: &Topic) -> [Topic; 2] {
    let [work, state] = derived_names(service);
    let plain = Topic {
        one_subject: true,
        skip_tombstones: true,
        subscriptions: Vec::new(),
        events: Vec::new(),
        results: ResultsEntry::default(),
        dead_letters: false,
        access: Access::Library,
        guard: false,
        guard_key_field: None,
        identity_required: false,
        http: Vec::new(),
        batch: false,
        ..read.clone()
    };
    let work = Topic {
        name: work,
        description: format!("Work orders of {service}: where records wait."),
        key: "partition".into(),
        retention_ms: ORDERS_KEPT_MS,
        compact: false,
        subscriptions: vec![(service.to_owned(), "work".into())],
        events: vec![EventEntry {
            name: WORK_DUE.into(),
            results: Vec::new(),
        }],
        ..plain.clone()
    };
    let state = Topic {
        name: state,
        description: format!("States of {service}, and up to where its topics are decided."),
        retention_ms: FOREVER,
        compact: true,
        one_subject: false,
        ..plain
    };
    [work, state]
}
