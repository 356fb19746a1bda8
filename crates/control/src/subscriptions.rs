//! The subscription step: which handlers are fed from which topics.

use std::collections::BTreeMap;

use millstream_events::{Declaration, Lane, Subscription, is_system_service};

use super::Settings;
use super::plan::{Change, Problem};
use super::restate::{ActualSubscription, Service};
use millstream_pipeline::kafka::group;
use millstream_pipeline::serve::SYSTEM;

/// What the server shows in place of a secret.
const REDACTED: &str = "***";

/// A subscription as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredSubscription {
    pub topic: String,
    pub partitions: i32,
    pub generation: u32,
    /// The topic file that it comes from.
    pub of: &'static str,
    pub to: Subscription,
    pub source: String,
    pub sink: String,
    pub group: String,
    pub options: BTreeMap<String, String>,
}

/// The declared subscriptions, to topics and to result topics.
pub(crate) fn declared(
    declarations: &[&Declaration],
    prefix: &str,
    cluster: &str,
) -> Vec<DeclaredSubscription> {
    let mut subscriptions = Vec::new();
    // What is in the batch lane is read by whoever has the lease.
    let delivered = declarations.iter().filter(|it| it.lane == Lane::Event);
    for declaration in delivered {
        for to in declaration.subscriptions {
            let topic = declaration.subscribed_topic();
            let handler = format!("{}/{}", to.service, to.handler);
            // The group has the declared name, also where the guard stands in between.
            let group = group::of_handler(prefix, declaration.name, &handler);
            let options = BTreeMap::from([
                ("group.id".to_owned(), group.clone()),
                ("auto.offset.reset".to_owned(), "earliest".to_owned()),
                // The generation is kept here because nothing else of a subscription is free.
                (
                    "client.id".to_owned(),
                    client_id(prefix, &topic, declaration.generation),
                ),
            ]);
            subscriptions.push(DeclaredSubscription {
                source: source(cluster, &topic),
                topic,
                partitions: declaration.partitions,
                generation: declaration.generation,
                of: declaration.file(),
                to: *to,
                sink: format!("service://{}/{}", to.service, to.handler),
                group,
                options,
            });
        }
    }
    subscriptions
}

fn source(cluster: &str, topic: &str) -> String {
    format!("kafka://{cluster}/{topic}")
}

/// The declared name of the topic that a subscription reads, also where the guard stands in between.
pub(crate) fn declared_topic(source: &str) -> Option<&str> {
    let (_, topic) = source.strip_prefix("kafka://")?.split_once('/')?;
    Some(topic.strip_suffix("-guarded").unwrap_or(topic))
}

fn client_id(prefix: &str, topic: &str, generation: u32) -> String {
    format!("{prefix}.{topic}.generation-{generation}")
}

/// The generation that a subscription was made for, if it says so.
pub(crate) fn generation(actual: &ActualSubscription) -> Option<u32> {
    actual
        .options
        .get("client.id")?
        .rsplit_once(".generation-")?
        .1
        .parse()
        .ok()
}

impl DeclaredSubscription {
    /// Whether `actual` feeds the same handler from the same topic.
    pub fn is_same_route(&self, actual: &ActualSubscription) -> bool {
        actual.source == self.source && actual.sink == self.sink
    }

    /// Whether `actual` is this subscription, maybe with other options.
    pub fn is(&self, actual: &ActualSubscription) -> bool {
        self.is_same_route(actual) && actual.options.get("group.id") == Some(&self.group)
    }

    /// The options in which `actual` differs. What the server adds is declared or comes with a
    /// value that it redacts, which cannot be compared and is taken as equal.
    pub fn differing(&self, actual: &ActualSubscription) -> Vec<String> {
        let mut differing: Vec<String> = Vec::new();
        for (key, value) in &self.options {
            if actual
                .options
                .get(key)
                .is_none_or(|actual| actual != REDACTED && actual != value)
            {
                differing.push(key.clone());
            }
        }
        for (key, value) in &actual.options {
            if !self.options.contains_key(key) && value != REDACTED {
                differing.push(key.clone());
            }
        }
        differing
    }

    /// Whether the declaration's generation is newer than the one `actual` was made for.
    pub fn is_newer_than(&self, actual: &ActualSubscription) -> bool {
        generation(actual).is_some_and(|made_for| self.generation > made_for)
    }
}

/// How the actual subscriptions must change.
pub(crate) fn compare(
    declared: &[DeclaredSubscription],
    actual: &[ActualSubscription],
    settings: &Settings,
) -> (Vec<Change>, Vec<Change>, Vec<Problem>) {
    let (prefix, prune) = (&settings.prefix[..], settings.prune);
    let (mut removals, mut changes, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for wanted in declared {
        let (same, others): (Vec<_>, Vec<_>) = actual
            .iter()
            .filter(|actual| wanted.is_same_route(actual))
            .partition(|actual| wanted.is(actual));
        let is_taken = settings.take_over && is_system_service(wanted.to.service);
        let theirs = |other: &&ActualSubscription| !is_ours(other, prefix);
        if is_taken {
            // That of the project which had the service, by whatever name of the Kafka cluster.
            let same_sink = actual.iter().filter(|other| other.sink == wanted.sink);
            let reason = || format!("{prefix} takes the service over");
            removals.extend(
                same_sink
                    .filter(theirs)
                    .map(|other| delete(other, reason())),
            );
        }
        for other in others.iter().copied().filter(theirs).filter(|_| !is_taken) {
            problems.push(Problem::note(format!(
                "{} delivers {} to {} once more, under the group {}; delete it unless that is wanted",
                other.id,
                wanted.topic,
                wanted.sink,
                other.options.get("group.id").map_or("?", String::as_str)
            )));
        }
        let kept = same
            .iter()
            .find(|actual| wanted.differing(actual).is_empty());
        for surplus in same
            .iter()
            .filter(|actual| kept.is_none_or(|kept| kept.id != actual.id))
        {
            let reason = match kept {
                Some(kept) => format!("the same as {}", kept.id),
                None => format!("other {}", wanted.differing(surplus).join(", ")),
            };
            changes.push(delete(surplus, reason));
        }
        if kept.is_none() {
            if same.iter().any(|actual| wanted.is_newer_than(actual)) {
                changes.push(Change::DeleteGroup {
                    group: wanted.group.clone(),
                });
            }
            changes.push(Change::CreateSubscription {
                source: wanted.source.clone(),
                sink: wanted.sink.clone(),
                options: wanted.options.clone(),
            });
        }
    }
    let with_prefix: Vec<_> = actual.iter().filter(|it| is_ours(it, prefix)).collect();
    let is_declared = |it: &ActualSubscription| declared.iter().any(|wanted| wanted.is(it));
    let undeclared = with_prefix.iter().filter(|it| !is_declared(it));
    // Another project's program with this one's prefix, or this one's with another's.
    if !with_prefix.is_empty() && undeclared.clone().count() == with_prefix.len() {
        let message = format!(
            "the prefix {prefix} has {} subscriptions, such as {} to {}, and none of them is declared here: \
             it is probably the prefix of another project",
            with_prefix.len(),
            with_prefix[0].source,
            with_prefix[0].sink
        );
        problems.push(match prune {
            true => Problem::refusal(format!(
                "{message}; run --prune by its program. If all of yours are to go, delete them at Restate"
            )),
            false => Problem::note(message),
        });
        return (removals, changes, problems);
    }
    for surplus in undeclared {
        if prune {
            removals.push(delete(surplus, "not declared".into()));
        } else {
            problems.push(Problem::note(format!(
                "{} ({} to {}) is not declared; --prune removes it",
                surplus.id, surplus.source, surplus.sink
            )));
        }
    }
    (removals, changes, problems)
}

fn delete(actual: &ActualSubscription, reason: String) -> Change {
    Change::DeleteSubscription {
        id: actual.id.clone(),
        source: actual.source.clone(),
        sink: actual.sink.clone(),
        reason,
    }
}

/// Whether a subscription was made from declarations with this prefix.
pub(crate) fn is_ours(actual: &ActualSubscription, prefix: &str) -> bool {
    actual
        .options
        .get("group.id")
        .and_then(|group| group.strip_prefix(prefix))
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Whether the sink exists, and what its kind of handler does not guarantee.
pub(crate) fn check_sink(wanted: &DeclaredSubscription, services: &[Service]) -> Option<Problem> {
    let Subscription { service, handler } = wanted.to;
    let found = services.iter().find(|known| known.name == service);
    let Some(kind) = found.and_then(|found| {
        let known = found.handlers.iter().find(|known| known.name == handler)?;
        Some((found.ty.as_str(), known.ty.as_deref()))
    }) else {
        return Some(Problem::refusal(format!(
            "{} is subscribed by {service}/{handler}, which no deployment offers: {}",
            wanted.topic,
            match is_system_service(service) {
                true => format!(
                    "it is the library's own, which every process that serves handlers offers below their \
                     address at {SYSTEM}; start handlers of this version and name their address"
                ),
                false => format!(
                    "start the handlers and name their address, or correct subscriptions in topics/{}.toml",
                    wanted.of
                ),
            }
        )));
    };
    let kind = match kind {
        (_, Some("Exclusive")) => return None,
        (_, Some("Shared")) => "a shared handler",
        ("Workflow", _) => {
            return Some(Problem::note(format!(
                "{service}/{handler} is a workflow's run: a second event of the same key on {} is ignored \
                 without a result; subscribe a shared handler that sends run and attaches to it",
                wanted.topic
            )));
        }
        _ => "a plain service's handler",
    };
    Some(Problem::note(format!(
        "{service}/{handler} is {kind}: events of {} may reach it twice and out of order, so repeating it must \
         be harmless",
        wanted.topic
    )))
}

#[cfg(test)]
mod tests {
    use millstream_events::Topic;
    use millstream_topics::{PaymentWebhooks, PaymentWebhooksResults, ProductReservations};

    use super::*;

    #[test]
    fn what_is_leased_is_delivered_by_nobody() {
        let mut leased = ProductReservations::DECLARATION.clone();
        leased.lane = Lane::Batch;
        assert!(declared(&[&leased], "p", "c").is_empty());
    }

    #[test]
    fn a_guarded_topic_is_subscribed_behind_the_guard() {
        let guarded: &'static Declaration = Box::leak(Box::new(Declaration {
            guard: true,
            results: None,
            ..*ProductReservations::DECLARATION
        }));
        let subscription = declared(&[guarded], "p", "c").remove(0);
        assert_eq!(
            (subscription.source.as_str(), subscription.group.as_str()),
            (
                "kafka://c/product-reservations-guarded",
                "p.product-reservations.ProductReservations.onEvent"
            )
        );
        let topics: Vec<_> = super::super::topics::declared(&[guarded])
            .into_iter()
            .map(|topic| (topic.name, topic.partitions))
            .collect();
        let name = |suffix: &str| format!("product-reservations{suffix}");
        let (all, one) = (guarded.partitions, 1);
        assert_eq!(
            topics,
            [
                (name(""), all),
                (name("-guarded"), all),
                (name("-dlq"), one)
            ]
        );
    }

    #[test]
    fn a_result_topic_that_somebody_handles_is_one_topic_with_dead_letters() {
        let both = [
            PaymentWebhooks::DECLARATION,
            PaymentWebhooksResults::DECLARATION,
        ];
        let topics = super::super::topics::declared(&both);
        let names: Vec<_> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let expected = ["", "-results", "-dlq", "-results-dlq"];
        assert_eq!(
            names,
            expected.map(|suffix| format!("payment-webhooks{suffix}"))
        );
        let subscribed: Vec<_> = declared(&both, "p", "c")
            .into_iter()
            .map(|it| (it.of, it.group))
            .collect();
        let expected = [
            "p.payment-webhooks.PaymentWebhooks.onEvent",
            "p.payment-webhooks-results.PaymentIntents.onWebhook",
        ];
        assert_eq!(
            subscribed,
            expected.map(|group| ("payment-webhooks", group.to_owned()))
        );
        let subjects = super::super::schemas::declared(&both);
        let of_results = subjects
            .iter()
            .filter(|it| it.subject.contains("-results-"));
        assert_eq!(of_results.count(), 2, "each once");
    }
}
