//! Results that are published once more, each exactly once: what a topic must be for that, and the topics
//! and the service that come with it.

use super::{Topic, lane};
use crate::{names, problem::Collector};

/// The service that makes the topic, and the topic.
pub fn names(topic: &Topic) -> (String, String) {
    let service = format!("{}ResultsOnce", names::pascal_case(&topic.name));
    (service, format!("{}-results-once", topic.name))
}

pub fn check(topics: &[Topic], problems: &Collector) {
    for topic in topics.iter().filter(|topic| topic.results.once.is_some()) {
        let Topic { file, .. } = topic;
        if topic.batch {
            problems.add(
                file,
                "is in the batch lane, whose results each come once already: remove `exactly-once`.",
            );
        }
        if topic.subscriptions.is_empty() {
            problems.add(
                file,
                "publishes results once and has nobody who makes them: add `subscriptions`, or remove `exactly-once`.",
            );
        }
        let (service, _) = names(topic);
        for other in topics {
            let handled = other
                .subscriptions
                .iter()
                .chain(&other.results.subscriptions);
            if handled.clone().any(|(name, _)| *name == service) {
                problems.add(
                    &other.file,
                    format!("names the service {service}, which publishes the results of `{}`: rename it.", topic.name),
                );
            }
            if lane::derived_names(&service).contains(&other.name) {
                problems.add(
                    &other.file,
                    format!("{service}, which publishes the results of `{}`, has a topic `{}` for itself: rename the file.", topic.name, other.name),
                );
            }
        }
    }
}

/// The topics that the service has for itself: of work orders, and of what it knows of keys.
pub fn of_service(topic: &Topic) -> Option<[Topic; 2]> {
    let once = topic.results.once.as_ref()?;
    let (service, _) = names(topic);
    let read = Topic {
        partitions: topic.results.partitions,
        generation: once.generation,
        ..topic.clone()
    };
    Some(lane::of_service(&service, &read))
}
