//! Services in the batch lane: their ways, and that their states do not move to the other lane.

use std::collections::{BTreeMap, BTreeSet};

use millstream_events::{Declaration, Event as _, Lane, Subscription, WorkDue};
use millstream_pipeline::kafka::group;

use super::kafka::{ActualTopic, Kafka, PartitionOffsets};
use super::plan::Problem;
use super::restate::ActualSubscription;
use super::subscriptions::{DeclaredSubscription, declared_topic, is_ours};
use super::{Error, Settings};

/// The handler of a service in the batch lane.
pub(crate) const WORK: &str = "work";

/// A service of the batch lane on one of its topics.
pub(crate) struct Way<'d> {
    pub declaration: &'d Declaration,
    pub to: Subscription,
    pub topic: String,
    /// Its offsets tell how far the topic is decided.
    pub group: String,
    /// `None`: there is no such topic.
    pub offsets: Option<Vec<PartitionOffsets>>,
}

impl Way<'_> {
    /// Whether it has results that are published once: their topic is declared by that of the commands.
    fn is_of_results(&self) -> bool {
        let results = self.declaration.results.as_ref();
        results
            .and_then(|it| it.once)
            .is_some_and(|once| once.service == self.to.service)
    }

    /// How long its topic keeps records, in milliseconds; -1: for ever.
    pub fn retention_ms(&self) -> i64 {
        let results = self
            .declaration
            .results
            .as_ref()
            .filter(|_| self.is_of_results());
        results.map_or(self.declaration.retention_ms, |it| it.retention_ms)
    }

    /// Where a setting of its topic stands, such as `retention`.
    pub fn setting(&self, name: &str) -> String {
        let of = self.declaration.file();
        match (self.is_of_results(), name) {
            (true, "generation") => format!("once-generation under [results] in topics/{of}.toml"),
            (true, _) => format!("{name} under [results] in topics/{of}.toml"),
            (false, "generation") => format!(
                "generation in topics/{of}.toml and in the files of the other topics of {}",
                self.to.service
            ),
            (false, _) => format!("{name} in topics/{of}.toml"),
        }
    }
}

/// All of them, as far as they are decided.
pub(crate) async fn ways<'d>(
    declarations: &[&'d Declaration],
    kafka: &Kafka,
    settings: &Settings,
    topics: &BTreeMap<String, ActualTopic>,
) -> Result<Vec<Way<'d>>, Error> {
    let leased = |it: &&'d Declaration| {
        let declaration = *it;
        let ways = declaration.leased().into_iter();
        ways.map(move |(topic, to)| (declaration, topic, to))
    };
    let mut ways: Vec<Way<'d>> = (declarations.iter().flat_map(leased))
        .map(|(declaration, topic, to)| Way {
            group: group::of_lane(&settings.prefix, to.service),
            declaration,
            to,
            topic,
            offsets: None,
        })
        .collect();
    let existing = ways.iter().filter_map(|way| {
        let partitions = topics.get(&way.topic)?.partitions;
        Some(((way.topic.clone(), way.group.clone()), partitions))
    });
    let mut offsets = kafka.offsets(existing).await?;
    for way in &mut ways {
        way.offsets = offsets.remove(&(way.topic.clone(), way.group.clone()));
    }
    Ok(ways)
}

/// The topics that a service has for itself, of work orders and of states.
pub(crate) fn own_topics<'d>(
    declarations: &[&'d Declaration],
    service: &str,
) -> Vec<&'d Declaration> {
    let is_of_orders = |topic: &&Declaration| {
        let mut to = topic.subscriptions.iter();
        topic.lane == Lane::Event && to.any(|to| (to.service, to.handler) == (service, WORK))
    };
    let orders = declarations.iter().copied().find(is_of_orders);
    let states = orders.and_then(|orders| {
        let name = orders.name.strip_suffix("-work")?;
        let is_of_states = |topic: &&Declaration| topic.name.strip_suffix("-state") == Some(name);
        declarations.iter().copied().find(is_of_states)
    });
    orders.into_iter().chain(states).collect()
}

/// Whether a topic is one of work orders.
pub(crate) fn is_of_orders(declarations: &[&Declaration], topic: &str) -> bool {
    let mut declared = declarations.iter().filter(|it| it.name == topic);
    declared.any(|it| {
        let mut events = it.events.iter();
        events.any(|event| event.full_name == WorkDue::FULL_NAME)
    })
}

/// These topics, and those of the work orders of services that handle any of them in the batch lane. It is
/// they that are paused and resumed.
pub fn with_orders_of<'d>(
    all: &[&'d Declaration],
    chosen: &[&'d Declaration],
) -> Vec<&'d Declaration> {
    let is_chosen = |name: &str| chosen.iter().any(|it| it.name == name);
    let services: BTreeSet<&str> = all
        .iter()
        .flat_map(|it| it.leased().into_iter().map(move |way| (it, way)))
        .filter(|(it, (topic, _))| is_chosen(topic) || it.lane == Lane::Batch && is_chosen(it.name))
        .map(|(_, (_, to))| to.service)
        .collect();
    let orders = services
        .into_iter()
        .filter_map(|service| own_topics(all, service).into_iter().next())
        .filter(|topic| !is_chosen(topic.name));
    chosen.iter().copied().chain(orders).collect()
}

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
