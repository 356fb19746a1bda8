//! From records to a tree, as a pure function: the order in which they were found does not matter,
//! and whatever ids they claim, there is a tree.

mod kind;
mod standing;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

pub use kind::Roles;
pub use standing::{is_settled, judge, unanswered};

use crate::found::Found;
use crate::journey::{Journey, Kind, Node};

/// So many nodes are shown; the first ones.
pub const MAX_NODES: usize = 10_000;
/// So many problems of one kind are named.
const NAMED: usize = 5;

/// An event that lies in Restate until it is due.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PendingTimer {
    /// Where the event goes.
    pub topic: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// Its id.
    pub id: String,
    /// Its full name.
    pub full_name: Option<String>,
    /// The request that it belongs to.
    pub correlation_id: Option<String>,
    /// The event that set it.
    pub causation_id: Option<String>,
    /// Who set it.
    pub source: Option<String>,
    /// By which it can be replaced and cancelled.
    pub name: Option<String>,
    /// In milliseconds since 1970-01-01 UTC.
    pub due: i64,
}

/// A node on its way into the tree.
struct Draft {
    node: Node,
    /// What siblings are ordered by, first; then by [`Node::topic`] and so on.
    order: i64,
    cause: Cause,
}

/// Who is above a node.
enum Cause {
    None,
    Node(usize),
    /// Somebody who was not found, by this name.
    Missing(String),
}

/// The tree of these records, timers and marks (what somebody did with a dead letter, by its name).
pub fn build(
    asked: &str,
    found: Vec<Found>,
    timers: Vec<PendingTimer>,
    marks: &BTreeMap<String, String>,
    roles: &Roles,
) -> Journey {
    let mut journey = Journey {
        asked: asked.to_owned(),
        ..Journey::default()
    };
    let mut correlation_ids: Vec<String> = found.iter().map(Found::correlation_id).collect();
    correlation_ids.sort();
    correlation_ids.dedup();
    journey.correlation_ids = correlation_ids;

    let (records, left_out) = distinct(found);
    journey.left_out = left_out;
    let places = Places::of(&records);
    let mut drafts: Vec<Draft> = Vec::with_capacity(records.len() + timers.len());
    for (at, record) in records.iter().enumerate() {
        drafts.push(Draft {
            node: Node {
                relayed_from: places
                    .relayed(at, &records)
                    .and(record.first.relayed_from.clone()),
                ..node_of(record, marks, roles)
            },
            order: record.first.time,
            cause: places.cause(at, &records),
        });
    }
    for timer in timers {
        let by = timer.causation_id.as_deref();
        let cause = match by {
            None => Cause::None,
            Some(id) => match places.emitter(id, i64::MAX, &records) {
                Some(at) => Cause::Node(at),
                None => Cause::Missing(id.to_owned()),
            },
        };
        drafts.push(Draft {
            order: timer.due,
            node: node_of_timer(timer, roles),
            cause,
        });
    }
    add_missing(&mut drafts);
    let cut = break_circles(&mut drafts);
    journey.problems.extend(circles(&cut, &drafts));
    journey.nodes = in_order(drafts);
    journey.began = journey
        .nodes
        .iter()
        .filter(|it| it.partition.is_some())
        .filter_map(|it| it.time)
        .min();
    for node in &mut journey.nodes {
        let time = node.time.or(node.due);
        node.after_ms = time
            .zip(journey.began)
            .map(|(time, began)| time.saturating_sub(began));
    }
    journey
}

/// A record and how many copies of it there are.
struct Distinct {
    first: Found,
    /// Where they all stand.
    places: Vec<String>,
}

/// By what the copies of a record are known: topic, key, id, and what it is the dead letter or the replay of.
type Name = (
    String,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
);

/// Each event of a topic once, by time, as many as can be shown; and how many are left out.
fn distinct(mut found: Vec<Found>) -> (Vec<Distinct>, usize) {
    found.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.place.cmp(&b.place)));
    let mut known: HashMap<Name, usize> = HashMap::new();
    let mut distinct: Vec<Distinct> = Vec::new();
    let mut left_out = 0;
    for record in found {
        let original = record.letter.as_ref().map(|letter| letter.original.clone());
        let name = (
            record.place.topic.clone(),
            record.key.clone(),
            record.id(),
            original,
            record.replay_of.clone(),
        );
        let place = record.place.to_string();
        match known.get(&name) {
            Some(at) => {
                let copies: &mut Distinct = &mut distinct[*at];
                // The same record, found twice, is no copy.
                if !copies.places.contains(&place) && copies.places.len() < MAX_NODES {
                    copies.places.push(place);
                }
            }
            None if distinct.len() < MAX_NODES => {
                known.insert(name, distinct.len());
                distinct.push(Distinct {
                    first: record,
                    places: vec![place],
                });
            }
            None => left_out += 1,
        }
    }
    (distinct, left_out)
}

/// Who is where.
struct Places {
    of_place: HashMap<String, usize>,
    of_letter: HashMap<String, usize>,
    /// Those that are no dead letters, by time.
    of_id: HashMap<String, Vec<usize>>,
}

impl Places {
    fn of(records: &[Distinct]) -> Self {
        let mut places = Self {
            of_place: HashMap::new(),
            of_letter: HashMap::new(),
            of_id: HashMap::new(),
        };
        for (at, record) in records.iter().enumerate() {
            for place in &record.places {
                places.of_place.entry(place.clone()).or_insert(at);
            }
            match &record.first.letter {
                Some(letter) => {
                    places
                        .of_letter
                        .entry(letter.original.clone())
                        .or_insert(at);
                }
                None => places.of_id.entry(record.first.id()).or_default().push(at),
            }
        }
        places
    }

    /// The record with this id that something at `time` came of: the last one before, which is the
    /// replay if it was replayed.
    fn emitter(&self, id: &str, time: i64, records: &[Distinct]) -> Option<usize> {
        let all = self.of_id.get(id)?;
        let before = all.iter().rev().find(|at| records[**at].first.time <= time);
        before.or(all.first()).copied()
    }

    /// The record that the guard let through as this one, if it was found.
    fn relayed(&self, at: usize, records: &[Distinct]) -> Option<usize> {
        let record = &records[at].first;
        let from = record
            .relayed_from
            .as_ref()
            .filter(|_| record.letter.is_none())?;
        self.of_place.get(from).copied().filter(|it| *it != at)
    }

    fn cause(&self, at: usize, records: &[Distinct]) -> Cause {
        if let Some(from) = self.relayed(at, records) {
            return Cause::Node(from);
        }
        let record = &records[at].first;
        let (node, name) = if let Some(letter) = &record.letter {
            let original = self.of_place.get(&letter.original).copied();
            let original = original.filter(|it| *it != at);
            let by_id = || self.emitter(record.id.as_deref()?, record.time, records);
            (original.or_else(by_id), &letter.original)
        } else if let Some(letter) = &record.replay_of {
            let kept = self
                .of_letter
                .get(letter)
                .or_else(|| self.of_place.get(letter));
            (kept.copied(), letter)
        } else if let Some(id) = &record.causation_id {
            (self.emitter(id, record.time, records), id)
        } else {
            return Cause::None;
        };
        match node {
            Some(node) if node == at => Cause::None,
            Some(node) => Cause::Node(node),
            None => Cause::Missing(name.clone()),
        }
    }
}

fn node_of(record: &Distinct, marks: &BTreeMap<String, String>, roles: &Roles) -> Node {
    let found = &record.first;
    let letter = found.letter.as_ref();
    let failure = match letter {
        Some(letter) => Some((letter.code.clone(), letter.message.clone())),
        None => found.failure.clone(),
    };
    let (code, message) = failure.unzip();
    let kind = roles.kind(found);
    let hides = |place: &str| {
        let topic = place.rsplitn(3, '/').nth(2);
        topic.is_some_and(|topic| roles.hides_keys(topic))
    };
    let is_key_hidden = kind == Kind::Reply
        || roles.hides_keys(&found.place.topic)
        || letter.is_some_and(|letter| hides(&letter.original));
    Node {
        kind,
        topic: Some(found.place.topic.clone()),
        partition: Some(found.place.partition),
        offset: Some(found.place.offset),
        key: found.key.clone().filter(|_| !is_key_hidden),
        full_name: found.full_name.clone(),
        id: found.id(),
        correlation_id: Some(found.correlation_id()),
        causation_id: found.causation_id.clone(),
        source: found.source.clone(),
        time: Some(found.time),
        code,
        message,
        handler: letter.map(|letter| letter.handler.clone()),
        marked: letter.and_then(|letter| marks.get(&letter.original).cloned()),
        dead_letter: letter.map(|letter| letter.original.clone()),
        replay_of: found.replay_of.clone(),
        due: found.due,
        copies: record.places.len(),
        trace_id: found.trace_id.clone(),
        content: found.content.clone(),
        ..Node::new(Kind::Event)
    }
}

fn node_of_timer(timer: PendingTimer, roles: &Roles) -> Node {
    let topic = timer.topic.as_deref();
    let is_key_hidden = topic.is_some_and(|topic| roles.hides_keys(topic));
    Node {
        key: timer.key.filter(|_| !is_key_hidden),
        topic: timer.topic,
        full_name: timer.full_name,
        id: timer.id,
        correlation_id: timer.correlation_id,
        causation_id: timer.causation_id,
        source: timer.source,
        due: Some(timer.due),
        timer: timer.name,
        ..Node::new(Kind::Timer)
    }
}

impl Node {
    /// A node of which nothing is known.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            parent: None,
            depth: 0,
            topic: None,
            partition: None,
            offset: None,
            key: None,
            full_name: None,
            id: String::new(),
            correlation_id: None,
            causation_id: None,
            source: None,
            time: None,
            after_ms: None,
            code: None,
            message: None,
            handler: None,
            marked: None,
            dead_letter: None,
            replay_of: None,
            relayed_from: None,
            due: None,
            timer: None,
            copies: 1,
            trace_id: None,
            waits: Vec::new(),
            content: None,
        }
    }
}

/// One node for each cause that is named and not there, however many name it.
fn add_missing(drafts: &mut Vec<Draft>) {
    let mut missing: BTreeMap<String, (i64, Vec<usize>)> = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        if let Cause::Missing(name) = &draft.cause {
            let (first, below) = missing
                .entry(name.clone())
                .or_insert((i64::MAX, Vec::new()));
            *first = draft.order.min(*first);
            below.push(at);
        }
    }
    for (id, (order, below)) in missing {
        let at = drafts.len();
        below
            .into_iter()
            .for_each(|it| drafts[it].cause = Cause::Node(at));
        drafts.push(Draft {
            node: Node {
                id,
                copies: 0,
                ..Node::new(Kind::Missing)
            },
            order,
            cause: Cause::None,
        });
    }
}

/// Makes the first node of each circle a root; which ones.
fn break_circles(drafts: &mut [Draft]) -> Vec<usize> {
    // The walk in which a node was met; 0: in none yet.
    let mut met = vec![0_usize; drafts.len()];
    let mut cut = Vec::new();
    for begin in 0..drafts.len() {
        let walk = begin + 1;
        let mut at = begin;
        loop {
            if met[at] != 0 {
                break;
            }
            met[at] = walk;
            match drafts[at].cause {
                Cause::Node(above) if met[above] == walk => {
                    // All nodes from here up to here are a circle: the first one in time loses its cause.
                    let first = first_of_circle(above, drafts);
                    drafts[first].cause = Cause::None;
                    cut.push(first);
                    break;
                }
                Cause::Node(above) => at = above,
                Cause::None | Cause::Missing(_) => break,
            }
        }
    }
    cut
}

fn first_of_circle(begin: usize, drafts: &[Draft]) -> usize {
    let (mut first, mut at) = (begin, begin);
    while let Cause::Node(above) = drafts[at].cause {
        if above == begin {
            break;
        }
        if compare(&drafts[above], &drafts[first]).is_lt() {
            first = above;
        }
        at = above;
    }
    first
}

fn circles(cut: &[usize], drafts: &[Draft]) -> Option<String> {
    let mut named: Vec<&str> = cut.iter().map(|at| drafts[*at].node.id.as_str()).collect();
    named.sort_unstable();
    let more = match named.len() > NAMED {
        true => format!(" and {} more", named.len() - NAMED),
        false => String::new(),
    };
    let named = named.get(..NAMED.min(named.len()))?.join(", ");
    (!cut.is_empty()).then(|| {
        format!(
            "the causes of some events go in a circle, so one of them says what is not true; shown as the beginning: {named}{more}"
        )
    })
}

/// The order of siblings: by time, and by place among those of one time.
fn compare(a: &Draft, b: &Draft) -> Ordering {
    let place = |it: &Draft| {
        let node = &it.node;
        (
            node.topic.clone(),
            node.partition,
            node.offset,
            node.id.clone(),
            node.timer.clone(),
        )
    };
    a.order.cmp(&b.order).then_with(|| place(a).cmp(&place(b)))
}

/// Each node behind its parent, with what is below it before the next one.
fn in_order(drafts: Vec<Draft>) -> Vec<Node> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    let mut roots = Vec::new();
    for (at, draft) in drafts.iter().enumerate() {
        match draft.cause {
            Cause::Node(above) => below[above].push(at),
            Cause::None | Cause::Missing(_) => roots.push(at),
        }
    }
    // The last one first: that is how a stack gives them back.
    let order = |a: &usize, b: &usize| compare(&drafts[*b], &drafts[*a]);
    roots.sort_by(order);
    below.iter_mut().for_each(|nodes| nodes.sort_by(order));
    let mut stack: Vec<(usize, Option<usize>, usize)> =
        roots.into_iter().map(|at| (at, None, 0)).collect();
    let mut places: Vec<(usize, Option<usize>, usize)> = Vec::with_capacity(drafts.len());
    while let Some((at, parent, depth)) = stack.pop() {
        let shown = places.len();
        places.push((at, parent, depth));
        stack.extend(
            below[at]
                .iter()
                .map(|child| (*child, Some(shown), depth + 1)),
        );
    }
    let mut nodes: Vec<Option<Node>> = drafts.into_iter().map(|draft| Some(draft.node)).collect();
    places
        .into_iter()
        .filter_map(|(at, parent, depth)| {
            let node = nodes[at].take()?;
            Some(Node {
                parent,
                depth,
                ..node
            })
        })
        .collect()
}
