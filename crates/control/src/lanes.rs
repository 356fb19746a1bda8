//! Which lane a service has its states in: they do not move to the other.

use std::collections::BTreeSet;

use millstream_events::{Declaration, Lane};

use super::plan::Problem;
use super::restate::ActualSubscription;
use super::subscriptions::{DeclaredSubscription, declared_topic, is_ours};

/// The handler of a service in the batch lane.
const WORK: &str = "work";

/// Refuses to change the lane of a service that Restate feeds in the other one.
pub(crate) fn problems(
    declarations: &[&Declaration],
    declared: &[DeclaredSubscription],
    actual: &[ActualSubscription],
    prefix: &str,
) -> Vec<Problem> {
    let ours: Vec<_> = actual.iter().filter(|it| is_ours(it, prefix)).collect();
    let services = |lane: Lane| -> BTreeSet<&str> {
        let topics = declarations.iter().filter(|it| it.lane == lane);
        let to = topics.flat_map(|topic| topic.subscriptions);
        to.map(|to| to.service).collect()
    };
    let leased = services(Lane::Batch);
    let to_batch = ours.iter().filter(|it| {
        let (service, handler) = sink(it);
        leased.contains(service) && handler != WORK
    });
    let to_event = ours.iter().filter(|it| {
        let (service, handler) = sink(it);
        let is_fed = declared.iter().any(|wanted| wanted.is_same_route(it));
        let is_work = handler == WORK && source(it).ends_with("-work");
        is_work && !is_fed && services(Lane::Event).contains(service)
    });
    let to_batch = to_batch.map(|it| (sink(it).0, it, "event", "Restate", "lane = \"batch\""));
    let to_event = to_event.map(|it| {
        let service = sink(it).0;
        (
            service,
            it,
            "batch",
            "a topic",
            "no lane, which is that of events",
        )
    });
    let mut told = BTreeSet::new();
    let changed = to_batch.chain(to_event).filter(|it| told.insert(it.0));
    let refusal = |(service, it, lane, states, said): (&str, &&ActualSubscription, _, _, _)| {
        Problem::refusal(format!(
            "{service} works in the {lane} lane ({id} delivers {topic} to it), and its topic files say {said}: \
             its states are in {states} and do not move, and its topics would be handled again from where \
             they begin. Leave the lane as it is, or make a service of another name with topics of its own. If \
             what it has done and kept may be forgotten, delete its subscriptions at Restate (DELETE \
             /subscriptions/{id}) and apply again",
            id = it.id,
            topic = source(it),
        ))
    };
    changed.map(refusal).collect()
}

fn source(it: &ActualSubscription) -> &str {
    declared_topic(&it.source).unwrap_or(&it.source)
}

/// Service and handler.
fn sink(it: &ActualSubscription) -> (&str, &str) {
    let sink = it.sink.strip_prefix("service://").unwrap_or(&it.sink);
    sink.split_once('/').unwrap_or((sink, ""))
}

#[cfg(test)]
mod tests {
    use millstream_topics::TOPICS;

    use super::super::subscriptions::declared;
    use super::*;

    /// The catalogue with these services in the batch lane, and no other.
    fn catalogue(leased: &[&str]) -> Vec<&'static Declaration> {
        let topics = TOPICS.iter().map(|topic| {
            let mut topic = (*topic).clone();
            let mut to = topic.subscriptions.iter();
            let is_leased = to.any(|to| leased.contains(&to.service) && to.handler != WORK);
            topic.lane = match is_leased {
                true => Lane::Batch,
                false => Lane::Event,
            };
            &*Box::leak(Box::new(topic))
        });
        let without_work = |topic: &&Declaration| {
            let mut to = topic.subscriptions.iter();
            !to.any(|to| to.handler == WORK && !leased.contains(&to.service))
        };
        topics.filter(without_work).collect()
    }

    /// What Restate has once they were applied.
    fn applied(topics: &[&Declaration]) -> Vec<ActualSubscription> {
        let wanted = declared(topics, "p", "c").into_iter();
        wanted
            .map(|it| ActualSubscription {
                id: format!("sub_{}", it.topic),
                source: it.source,
                sink: it.sink,
                options: it.options,
            })
            .collect()
    }

    fn told(before: &[&str], after: &[&str]) -> Vec<String> {
        let actual = applied(&catalogue(before));
        let topics = catalogue(after);
        let declared = declared(&topics, "p", "c");
        let problems = problems(&topics, &declared, &actual, "p");
        problems.into_iter().map(|it| it.message).collect()
    }

    #[test]
    fn a_lane_stays_as_it_is() {
        for lanes in [&["UsageMeter"][..], &[]] {
            assert_eq!(told(lanes, lanes), Vec::<String>::new());
        }
        let [to_batch] = &told(&["UsageMeter"], &["UsageMeter", "PackageTracker"])[..] else {
            panic!("one sentence for a service");
        };
        assert!(
            to_batch.starts_with("PackageTracker works in the event lane"),
            "{to_batch}"
        );
        let [to_event] = &told(&["UsageMeter"], &[])[..] else {
            panic!("one sentence for a service");
        };
        assert!(
            to_event.starts_with("UsageMeter works in the batch lane"),
            "{to_event}"
        );
        assert!(to_event.contains("sub_usage-meter-work"), "{to_event}");
    }

    #[test]
    fn another_projects_lanes_are_its_own() {
        let topics = catalogue(&["PackageTracker"]);
        let declared = declared(&topics, "q", "c");
        let actual = applied(&catalogue(&[]));
        assert!(problems(&topics, &declared, &actual, "q").is_empty());
    }
}
