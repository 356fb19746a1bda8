//! Whether a service is called the same wherever its name stands: in the topic files, by
//! `Pipeline::service`, and by the struct with the handlers.

use std::collections::{BTreeMap, BTreeSet};

use millstream_events::{Declaration, Lane, is_system_service};
use serde_json::Value;

use crate::service::Pipeline;

/// Names of one pipeline's services.
#[derive(Debug)]
pub(super) struct Names {
    /// That `Pipeline::service` was called with.
    named: BTreeSet<&'static str>,
    topics: Vec<&'static Declaration>,
    /// What is wrong with deciders, in sentences.
    refused: Vec<String>,
}

impl Names {
    pub fn of(pipeline: &Pipeline) -> Self {
        let mut named = pipeline.named();
        named.retain(|name| !is_system_service(name));
        Self {
            named,
            topics: pipeline.topics(),
            refused: pipeline.shared.served.refused(),
        }
    }

    /// A name that only `Pipeline::service` has and one that only topic files have, if there are both.
    /// Either alone is no mistake: a project may serve its handlers by several processes, and some
    /// without topics.
    pub fn differing(&self) -> Option<String> {
        if !self.refused.is_empty() {
            return Some(self.refused.join("; "));
        }
        let subscriptions = self.topics.iter().flat_map(|topic| topic.subscriptions);
        let subscribed: BTreeSet<&str> = subscriptions
            .map(|wanted| wanted.service)
            .filter(|name| !is_system_service(name))
            .collect();
        let without_topic = list(self.named.difference(&subscribed))?;
        let without_handlers = list(subscribed.difference(&self.named))?;
        Some(format!(
            "no topic is subscribed by {without_topic}, and no service is called {without_handlers}: let \
             Pipeline::service and `subscriptions` in the topic files name a service alike"
        ))
    }

    /// What a discovery offers under other names, in sentences.
    pub fn problems(&self, discovery: &Value) -> Vec<String> {
        let offered = offered(discovery);
        let bound: BTreeSet<&str> = offered.keys().copied().collect();
        let mut problems = Vec::new();
        if let Some(unbound) = list(self.named.difference(&bound))
            && let Some(unnamed) = list(bound.difference(&self.named))
        {
            problems.push(format!(
                "Pipeline::service was called with {unbound}, and what is bound is called {unnamed}: give \
                 the struct with the handlers, or `name` above it, the same name"
            ));
        }
        // Topics of the batch lane are read by whoever has the lease.
        let topics = self.topics.iter().filter(|it| it.lane == Lane::Event);
        let wanted = topics.flat_map(|topic| topic.subscriptions.iter().map(move |it| (topic, it)));
        for (topic, wanted) in wanted {
            let service = wanted.service;
            if let Some(handlers) = offered.get(service)
                && !handlers.contains(wanted.handler)
            {
                problems.push(format!(
                    "{} is subscribed by {service}/{}, and {service} has no such handler, but {}: correct \
                     topics/{}.toml, or `name` above the handler",
                    topic.name,
                    wanted.handler,
                    list(handlers.iter()).unwrap_or_else(|| "none".to_owned()),
                    topic.file()
                ));
            }
        }
        problems
    }
}

/// The handlers of each service.
fn offered(discovery: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    fn named(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|it| Some((it["name"].as_str()?, it)))
    }
    named(&discovery["services"])
        .map(|(name, service)| {
            (
                name,
                named(&service["handlers"]).map(|(it, _)| it).collect(),
            )
        })
        .collect()
}

/// `None`: there are none.
fn list<'a>(names: impl Iterator<Item = &'a &'a str>) -> Option<String> {
    let names: Vec<&str> = names.copied().collect();
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use millstream_events::{SYSTEM_TOPICS, Topic};
    use millstream_topics::ProductReservations;
    use serde_json::json;

    use super::*;

    fn names(named: &'static str) -> Names {
        Names {
            named: [named].into(),
            topics: [SYSTEM_TOPICS, &[ProductReservations::DECLARATION]].concat(),
            refused: Vec::new(),
        }
    }

    fn bound(service: &str, handler: &str) -> Value {
        json!({ "services": [{ "name": service, "handlers": [{ "name": handler }] }] })
    }

    #[test]
    fn a_service_is_called_alike_everywhere() {
        let right = names("ProductReservations");
        assert_eq!(right.differing(), None);
        let offered = bound("ProductReservations", "onEvent");
        assert_eq!(right.problems(&offered), Vec::<String>::new());

        let told = names("Reservations").differing().unwrap();
        assert!(
            told.contains(
                "subscribed by Reservations, and no service is called ProductReservations"
            ),
            "{told}"
        );

        let told = right.problems(&bound("Reservations", "onEvent")).concat();
        assert!(
            told.contains(
                "called with ProductReservations, and what is bound is called Reservations"
            ),
            "{told}"
        );

        let told = right
            .problems(&bound("ProductReservations", "on_event"))
            .concat();
        assert!(
            told.contains("ProductReservations has no such handler, but on_event"),
            "{told}"
        );
    }

    #[test]
    fn what_others_serve_and_what_has_no_topic_is_no_mistake() {
        let none = Names {
            named: BTreeSet::new(),
            ..names("")
        };
        assert_eq!(none.differing(), None);
        assert_eq!(
            none.problems(&bound("Plain", "anything")),
            Vec::<String>::new()
        );
        let without_topics = Names {
            topics: SYSTEM_TOPICS.to_vec(),
            ..names("Plain")
        };
        assert_eq!(without_topics.differing(), None);
    }
}
