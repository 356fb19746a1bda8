//! Which invocation is that of which event.

use std::collections::{HashMap, HashSet};

use super::rows::{Command, Invocation};
use crate::found::Place;
use crate::journey::{Journey, Kind};
use crate::tree::Roles;

/// Puts invocations to the events that they are of. One that has begun names its record. One that waits
/// for its turn does not: it is that of the first event behind which it was made. `open`: commands that
/// are not answered.
pub fn assign(
    journey: &mut Journey,
    open: &[usize],
    roles: &Roles,
    mut invocations: Vec<Invocation>,
    commands: &[Command],
) {
    invocations.sort_by(|a, b| a.created().cmp(&b.created()).then_with(|| a.id.cmp(&b.id)));
    let mut journals: HashMap<&str, Vec<&Command>> = HashMap::new();
    for command in commands {
        journals
            .entry(command.id.as_str())
            .or_default()
            .push(command);
    }
    let journal = |invocation: &Invocation| {
        journals
            .get(invocation.id.as_str())
            .cloned()
            .unwrap_or_default()
    };
    let mut taken: HashSet<usize> = HashSet::new();
    let mut places: HashMap<Place, usize> = HashMap::new();
    for (at, node) in journey.nodes.iter().enumerate() {
        if let (Some(topic), Some(partition), Some(offset)) =
            (&node.topic, node.partition, node.offset)
            && node.kind != Kind::DeadLetter
        {
            let topic = topic.clone();
            places.insert(
                Place {
                    topic,
                    partition,
                    offset,
                },
                at,
            );
        }
    }
    for (number, invocation) in invocations.iter().enumerate() {
        let commands = journal(invocation);
        let Some(place) = commands.first().and_then(|input| input.place()) else {
            continue;
        };
        taken.insert(number);
        if let Some(at) = places.get(&place) {
            journey.nodes[*at].waits.push(invocation.wait(&commands));
        }
    }
    for at in waiting(journey, open) {
        let node = &journey.nodes[at];
        let declaration = node
            .topic
            .as_deref()
            .and_then(|topic| roles.declaration(topic));
        let (Some(declaration), Some(time), Some(key)) = (declaration, node.time, node.key.clone())
        else {
            continue;
        };
        for subscription in declaration.subscriptions {
            let is_of_key = |it: &Invocation| {
                it.service == subscription.service && it.key.as_ref() == Some(&key)
            };
            let mine = invocations.iter().enumerate().find(|(number, it)| {
                !taken.contains(number)
                    && !it.has_begun()
                    && it.handler == subscription.handler
                    && is_of_key(it)
                    && it.created() >= time
            });
            let Some((number, invocation)) = mine else {
                continue;
            };
            taken.insert(number);
            let mut wait = invocation.wait(&[]);
            let before = invocations[..number].iter().filter(|it| is_of_key(it));
            wait.ahead = u64::try_from(before.clone().count()).ok();
            let holder = before.clone().find(|it| it.has_begun());
            wait.behind = holder.map(|it| Box::new(it.wait(&journal(it))));
            journey.nodes[at].waits.push(wait);
        }
    }
}

/// Events for which an invocation may wait for its turn, by time: commands without an answer, and
/// events of which nothing has come.
fn waiting(journey: &Journey, open: &[usize]) -> Vec<usize> {
    let nodes = &journey.nodes;
    let mut has_children = vec![false; nodes.len()];
    nodes
        .iter()
        .filter_map(|node| node.parent)
        .for_each(|parent| has_children[parent] = true);
    let facts = (0..nodes.len()).filter(|at| nodes[*at].kind == Kind::Event && !has_children[*at]);
    let mut waiting: Vec<usize> = facts.chain(open.iter().copied()).collect();
    waiting.retain(|at| nodes[*at].waits.is_empty());
    waiting.sort_by_key(|at| (nodes[*at].time, *at));
    waiting
}
