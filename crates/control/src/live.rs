//! The figures of an installation that move, for somebody who watches: what [`crate::status`] shows,
//! cheap enough to be looked at every few seconds.
//!
//! A look asks for the ends of all topics at once. What a group has committed is asked for where that
//! may have changed, and dead letters are read again where there are more of them. A part that does not
//! answer is named, and the others are shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_events::{Declaration, DlqStatus, Lane, Topic};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::kafka::{Ends, group};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;

use crate::kafka::{Bounds, Kafka, PartitionOffsets, Way, bounds};
use crate::registry::Registry;
use crate::restate::Restate;
use crate::status::{by_service, unmarked};
use crate::{Error, InvocationStatus, Settings, Unmarked, subscriptions, topics};

/// How long a part may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How long Kafka may: it is told of by its own error, which says more.
const OF_KAFKA: Duration = Duration::from_secs(4);
/// Rates are those of so many seconds.
const WINDOW: Duration = Duration::from_secs(10);

/// What moves, at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The parts that were asked.
    pub parts: Vec<PartFigures>,
    /// Topics that are there, result topics and dead letter topics among them.
    pub topics: BTreeMap<String, TopicFigures>,
    /// The ways from a topic to a handler.
    pub routes: Vec<RouteFigures>,
    /// Unfinished invocations by service; `None`: Restate does not answer.
    pub services: Option<Vec<InvocationStatus>>,
}

/// Whether a part answers.
#[derive(Debug, Clone, Serialize)]
pub struct PartFigures {
    /// `kafka`, `restate` or `registry`.
    pub part: &'static str,
    /// What is wrong and what to do; `None`: it answers.
    pub error: Option<String>,
}

/// A topic.
#[derive(Debug, Clone, Serialize)]
pub struct TopicFigures {
    /// Partitions.
    pub partitions: i32,
    /// Records that are on it now.
    pub records: i64,
    /// Records a second that came lately; `None`: it was not watched before.
    pub rate: Option<f64>,
    /// Of a topic with dead letters: those that nobody has dealt with. `None`: not known.
    pub unmarked: Option<Unmarked>,
}

/// The way from a topic to a handler.
#[derive(Debug, Clone, Serialize)]
pub struct RouteFigures {
    /// Declared name of the topic.
    pub topic: String,
    /// Service.
    pub service: String,
    /// Handler.
    pub handler: String,
    /// Records that are not taken yet; `None`: the topic is not there.
    pub lag: Option<i64>,
    /// Records a second that were taken lately.
    pub rate: Option<f64>,
    /// Whether Restate has the subscription; `None`: it needs none, or Restate does not answer.
    pub subscribed: Option<bool>,
}

/// Who is asked how far a route has come.
struct Route {
    topic: String,
    subscribed_topic: String,
    service: String,
    handler: String,
    group: String,
    /// Whether Restate delivers it.
    is_delivered: bool,
}

impl Route {
    fn way(&self) -> Way {
        (self.subscribed_topic.clone(), self.group.clone())
    }
}

/// Looks at an installation again and again.
pub struct Live {
    declarations: Vec<&'static Declaration>,
    endpoints: Endpoints,
    settings: Settings,
    kafka: Kafka,
    restate: Restate,
    registry: Registry,
    names: BTreeSet<String>,
    routes: Vec<Route>,
    /// `None`: the next look makes it.
    reader: Option<Arc<BaseConsumer<Ends>>>,
    committed: BTreeMap<Way, Committed>,
    letters: BTreeMap<String, i64>,
    unmarked: BTreeMap<String, Unmarked>,
    past: VecDeque<Past>,
}

/// What a group had committed of a topic, and where that ended then.
struct Committed {
    end: i64,
    taken: i64,
    lag: i64,
}

/// What was seen before, for rates.
struct Past {
    at: Instant,
    ends: BTreeMap<String, i64>,
    taken: BTreeMap<Way, i64>,
}

impl Live {
    /// Looks at the topics and services of `declarations`.
    pub fn new(
        declarations: &[&'static Declaration],
        endpoints: &Endpoints,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let declared = topics::declared(declarations);
        Ok(Self {
            declarations: declarations.to_vec(),
            kafka: Kafka::new(&endpoints.kafka),
            restate: Restate::new(&endpoints.restate_admin)?,
            registry: Registry::new(&endpoints.schema_registry)?,
            names: declared.into_iter().map(|topic| topic.name).collect(),
            routes: routes(declarations, settings),
            endpoints: endpoints.clone(),
            settings: settings.clone(),
            reader: None,
            committed: BTreeMap::new(),
            letters: BTreeMap::new(),
            unmarked: BTreeMap::new(),
            past: VecDeque::new(),
        })
    }

    /// Looks once. What could not be found out is left out, and the part named that did not answer.
    pub async fn look(&mut self) -> Figures {
        let (restate, registry) = (self.restate.clone(), self.registry.clone());
        let of_restate = async move {
            let looked =
                async { tokio::try_join!(restate.subscriptions(), restate.invocation_counts()) };
            within("an answer of Restate", looked).await
        };
        let of_registry = within("an answer of the registry", registry.subject_count());
        let of_kafka = async {
            let bounds = within("an answer of Kafka", self.bounds()).await;
            match bounds {
                Ok(bounds) => self.offsets(&bounds).await.map(|()| bounds),
                Err(error) => Err(error),
            }
        };
        let (kafka, restate, registry) = tokio::join!(of_kafka, of_restate, of_registry);
        let mut figures = Figures {
            time: jiff::Timestamp::now().as_millisecond(),
            parts: vec![
                part("kafka", &kafka),
                part("restate", &restate),
                part("registry", &registry),
            ],
            ..Figures::default()
        };
        match &kafka {
            Ok(bounds) => self.fill(&mut figures, bounds),
            // Another client next time: this one may have lost its brokers for good.
            Err(_) => self.reader = None,
        }
        if let Ok((subscriptions, counts)) = restate {
            let prefix = &self.settings.prefix;
            let declared =
                subscriptions::declared(&self.declarations, prefix, &self.settings.cluster);
            for route in &mut figures.routes {
                let wanted = declared.iter().find(|it| {
                    it.to.service == route.service
                        && it.to.handler == route.handler
                        && it.topic.strip_suffix("-guarded").unwrap_or(&it.topic) == route.topic
                });
                route.subscribed = wanted.map(|wanted| {
                    subscriptions
                        .iter()
                        .any(|actual| wanted.is_same_route(actual))
                });
            }
            figures.services = Some(by_service(counts));
        }
        figures
    }

    /// Where the partitions of all topics that are there begin and end.
    async fn bounds(&mut self) -> Result<Bounds, Error> {
        let reader = match &self.reader {
            Some(reader) => Arc::clone(reader),
            None => Arc::new(self.kafka.reader("millstream-console")?),
        };
        self.reader = Some(Arc::clone(&reader));
        let names = self.names.clone();
        let ask = move || {
            let metadata = reader.fetch_metadata(None, OF_KAFKA)?;
            let mut list = TopicPartitionList::new();
            for topic in metadata.topics() {
                if names.contains(topic.name()) && topic.error().is_none() {
                    for partition in topic.partitions() {
                        list.add_partition(topic.name(), partition.id());
                    }
                }
            }
            bounds(&reader, &list, OF_KAFKA)
        };
        self.kafka.blocking("read the ends of topics", ask).await
    }

    /// Asks what groups have committed where that may have changed, and for dead letters where there
    /// are others than before.
    async fn offsets(&mut self, bounds: &Bounds) -> Result<(), Error> {
        let stale: BTreeMap<Way, (i32, i64)> = self
            .routes
            .iter()
            .filter_map(|route| {
                let found = bounds.get(&route.subscribed_topic)?;
                let end = end(found);
                let known = self.committed.get(&route.way());
                let is_known = known.is_some_and(|it| it.end == end && it.lag == 0);
                let partitions = i32::try_from(found.len()).ok()?;
                (!is_known).then(|| (route.way(), (partitions, end)))
            })
            .collect();
        let ways = stale
            .iter()
            .map(|(way, (partitions, _))| (way.clone(), *partitions));
        let asked = within("the committed offsets", self.kafka.offsets(ways)).await?;
        let asked = asked.into_iter().filter_map(|(way, offsets)| {
            let (_, end) = *stale.get(&way)?;
            let lag = offsets.iter().map(PartitionOffsets::lag).sum();
            let taken = offsets.iter().map(PartitionOffsets::next).sum();
            Some((way, Committed { end, taken, lag }))
        });
        self.committed.extend(asked);
        let marks = DlqStatus::DECLARATION.name;
        let kept = |name: &str| name == marks || name.ends_with("-dlq");
        let letters = bounds.iter().filter(|(name, _)| kept(name));
        let ends: BTreeMap<String, i64> = letters
            .map(|(name, bounds)| (name.clone(), end(bounds)))
            .collect();
        if ends != self.letters {
            let records: BTreeMap<String, i64> = bounds
                .iter()
                .map(|(name, bounds)| (name.clone(), records(bounds)))
                .collect();
            let found = unmarked(&self.declarations, &self.endpoints, &records).await;
            let wanted = self.declarations.iter().filter(|it| it.dead_letters);
            let is_whole = wanted
                .map(|it| it.dead_letter_topic())
                .all(|topic| !records.contains_key(&topic) || found.contains_key(&topic));
            // What could not be told in time is asked for again.
            if is_whole {
                self.letters = ends;
            }
            self.unmarked = found;
        }
        Ok(())
    }

    fn fill(&mut self, figures: &mut Figures, bounds: &Bounds) {
        let now = Past {
            at: Instant::now(),
            ends: bounds
                .iter()
                .map(|(name, bounds)| (name.clone(), end(bounds)))
                .collect(),
            taken: self
                .committed
                .iter()
                .map(|(way, committed)| (way.clone(), committed.taken))
                .collect(),
        };
        // The youngest that is as old as the window stays.
        while self.past.get(1).is_some_and(|it| it.at.elapsed() >= WINDOW) {
            self.past.pop_front();
        }
        let past = self.past.front();
        figures.topics = bounds
            .iter()
            .map(|(name, bounds)| {
                let figures = TopicFigures {
                    partitions: i32::try_from(bounds.len()).unwrap_or(i32::MAX),
                    records: records(bounds),
                    rate: rate(past, &now, |past| past.ends.get(name).copied()),
                    unmarked: self.unmarked.get(&format!("{name}-dlq")).copied(),
                };
                (name.clone(), figures)
            })
            .collect();
        figures.routes = self
            .routes
            .iter()
            .map(|route| {
                let is_there = bounds.contains_key(&route.subscribed_topic);
                let way = route.way();
                let committed = self.committed.get(&way).filter(|_| is_there);
                RouteFigures {
                    topic: route.topic.clone(),
                    service: route.service.clone(),
                    handler: route.handler.clone(),
                    lag: committed.map(|it| it.lag),
                    rate: rate(past, &now, |past| past.taken.get(&way).copied()),
                    subscribed: (!route.is_delivered).then_some(true),
                }
            })
            .collect();
        self.past.push_back(now);
    }
}

/// How much came a second, of what is counted.
fn rate(past: Option<&Past>, now: &Past, count: impl Fn(&Past) -> Option<i64>) -> Option<f64> {
    let past = past?;
    let seconds = now.at.duration_since(past.at).as_secs_f64();
    let came = count(now)? - count(past)?;
    (seconds > 0.5).then(|| came.max(0) as f64 / seconds)
}

/// Every way from a topic to a handler, in both lanes, and to the services that publish results once.
fn routes(declarations: &[&'static Declaration], settings: &Settings) -> Vec<Route> {
    let prefix = &settings.prefix;
    let of_topic = |declaration: &&'static Declaration| {
        let declaration = *declaration;
        declaration.subscriptions.iter().map(move |to| {
            let handler = format!("{}/{}", to.service, to.handler);
            let is_delivered = declaration.lane == Lane::Event;
            Route {
                topic: declaration.name.to_owned(),
                subscribed_topic: declaration.subscribed_topic(),
                service: to.service.to_owned(),
                handler: to.handler.to_owned(),
                group: match is_delivered {
                    true => group::of_handler(prefix, declaration.name, &handler),
                    false => group::of_lane(prefix, to.service),
                },
                is_delivered,
            }
        })
    };
    let once = declarations.iter().filter_map(|declaration| {
        let results = declaration.results.as_ref()?;
        let to = results.once?.subscription();
        Some(Route {
            topic: results.name.to_owned(),
            subscribed_topic: results.name.to_owned(),
            service: to.service.to_owned(),
            handler: to.handler.to_owned(),
            group: group::of_lane(prefix, to.service),
            is_delivered: false,
        })
    });
    declarations.iter().flat_map(of_topic).chain(once).collect()
}

fn end(bounds: &[(i32, i64, i64)]) -> i64 {
    bounds.iter().map(|(_, _, end)| end).sum()
}

pub(crate) fn records(bounds: &[(i32, i64, i64)]) -> i64 {
    bounds.iter().map(|(_, begin, end)| end - begin).sum()
}

fn part<T>(part: &'static str, looked: &Result<T, Error>) -> PartFigures {
    let error = looked.as_ref().err().map(whole);
    PartFigures { part, error }
}

/// An error with its causes.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

async fn within<T>(
    what: &str,
    looking: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let looked = tokio::time::timeout(LIMIT, looking).await;
    looked.unwrap_or_else(|_| {
        Err(Error::TimedOut {
            what: what.to_owned(),
            seconds: LIMIT.as_secs(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_publishes_results_once_has_a_way_like_others_of_its_lane() {
        let settings = Settings {
            prefix: "p".into(),
            ..Settings::default()
        };
        let routes = routes(millstream_topics::TOPICS, &settings);
        let of = |service: &str| -> Vec<_> {
            let ways = routes.iter().filter(|it| it.service == service);
            let ways = ways.map(|it| (it.topic.clone(), it.way(), it.is_delivered));
            ways.collect()
        };
        let way = |topic: &str, group: &str, is_delivered| {
            let way = (topic.to_owned(), group.to_owned());
            (topic.to_owned(), way, is_delivered)
        };
        let [work, results] = &of("AccountsResultsOnce")[..] else {
            panic!("{:?}", of("AccountsResultsOnce"));
        };
        assert_eq!(
            (work.0.as_str(), work.2),
            ("accounts-results-once-work", true)
        );
        assert_eq!(
            *results,
            way("accounts-results", "p.AccountsResultsOnce", false)
        );
        let metered = of("UsageMeter");
        assert!(
            metered.contains(&way("usage-records", "p.UsageMeter", false)),
            "{metered:?}"
        );
    }

    #[test]
    fn the_topics_of_one_group_are_told_apart() {
        let route = |topic: &str| Route {
            topic: topic.into(),
            subscribed_topic: topic.into(),
            service: "Prices".into(),
            handler: "onPrices".into(),
            group: "millstream.Prices".into(),
            is_delivered: false,
        };
        let (busy, idle) = (route("prices").way(), route("rates").way());
        let at = Instant::now();
        let seen = |at, taken| Past {
            at,
            ends: BTreeMap::new(),
            taken: BTreeMap::from([(busy.clone(), taken), (idle.clone(), 7)]),
        };
        let (past, now) = (seen(at, 100), seen(at + Duration::from_secs(2), 300));
        let of = |way: &Way| rate(Some(&past), &now, |it| it.taken.get(way).copied());
        assert_eq!(of(&busy), Some(100.0));
        assert_eq!(of(&idle), Some(0.0));
    }
}
