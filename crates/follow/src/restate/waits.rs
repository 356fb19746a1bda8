//! Which invocation is that of which event.

use std::collections::HashMap;

use super::rows::{Command, Count, Invocation};
use crate::found::Place;
use crate::journey::{Journey, Kind, Wait};
use crate::tree::Roles;

/// What Restate has of the keys of a journey, and is not done with.
#[derive(Debug, Default)]
pub struct Held {
    /// In the order in which they were made.
    invocations: Vec<Invocation>,
    /// The journals of those that have begun.
    journals: HashMap<String, Vec<Command>>,
    /// Which of them wait for each other.
    queues: HashMap<Queue, Vec<usize>>,
    /// How many there are in each queue, where [`Self::invocations`] are not all.
    counts: Option<HashMap<Queue, usize>>,
}

/// The invocations of a key that wait for each other, of the records of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    service: String,
    /// Its key, which is that of the records.
    pub key: String,
    handler: String,
    topic: String,
}

/// An event that may wait for its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Which node of the journey.
    pub node: usize,
    /// Where its record stands.
    pub place: Place,
    /// Who handles it, `Service/handler`.
    pub handler: String,
    /// Where it would wait.
    pub queue: Queue,
}

impl Held {
    /// Of these rows.
    pub fn new(mut invocations: Vec<Invocation>, commands: Vec<Command>) -> Self {
        invocations.sort_by(|a, b| a.created().cmp(&b.created()).then_with(|| a.id.cmp(&b.id)));
        let mut journals: HashMap<String, Vec<Command>> = HashMap::new();
        for command in commands {
            let journal = journals.entry(command.id.clone()).or_default();
            journal.push(command);
        }
        Self {
            invocations,
            journals,
            ..Self::default()
        }
    }

    /// Whether some of them wait for their turn.
    pub fn has_queued(&self) -> bool {
        self.invocations.iter().any(Invocation::is_queued)
    }

    /// Adds which topics the subscriptions deliver; and `counts`, where not all invocations are known.
    pub fn queued(mut self, topics: &HashMap<String, String>, counts: Option<Vec<Count>>) -> Self {
        let queue = |service: &str, key: &Option<String>, handler: &str, of: &Option<String>| {
            Some(Queue {
                service: service.to_owned(),
                key: key.clone()?,
                handler: handler.to_owned(),
                // `None`: it is nobody's delivery.
                topic: topics.get(of.as_ref()?)?.clone(),
            })
        };
        for (number, it) in self.invocations.iter().enumerate() {
            if let Some(queue) = queue(&it.service, &it.key, &it.handler, &it.subscription) {
                self.queues.entry(queue).or_default().push(number);
            }
        }
        self.counts = counts.map(|rows| {
            let each = rows.iter().filter_map(|it| {
                let queue = queue(&it.service, &it.key, &it.handler, &it.subscription)?;
                Some((queue, it.count))
            });
            each.collect()
        });
        self
    }

    /// How many there are in the queue of a turn.
    pub fn length(&self, turn: &Turn) -> usize {
        match &self.counts {
            Some(counts) => counts.get(&turn.queue).copied().unwrap_or(0),
            None => self.queues.get(&turn.queue).map_or(0, Vec::len),
        }
    }

    fn journal(&self, invocation: &Invocation) -> Vec<&Command> {
        let journal = self.journals.get(&invocation.id);
        journal.into_iter().flatten().collect()
    }
}

/// Puts invocations that have begun to the events that they are of: their journals name the records.
pub fn begun(journey: &mut Journey, held: &Held) {
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
    for invocation in &held.invocations {
        let commands = held.journal(invocation);
        let place = commands.first().and_then(|input| input.place());
        if let Some(at) = place.and_then(|place| places.get(&place)) {
            journey.nodes[*at].waits.push(invocation.wait(&commands));
        }
    }
}

/// The events that may wait for their turn: commands without an answer (`open`), and events of which
/// nothing has come. An invocation that has not begun does not say whose it is.
pub fn turns(journey: &Journey, open: &[usize], roles: &Roles, held: &Held) -> Vec<Turn> {
    let nodes = &journey.nodes;
    let mut has_children = vec![false; nodes.len()];
    nodes
        .iter()
        .filter_map(|node| node.parent)
        .for_each(|parent| has_children[parent] = true);
    let facts = (0..nodes.len()).filter(|at| nodes[*at].kind == Kind::Event && !has_children[*at]);
    let has_queued = |queue: &Queue| {
        let numbers = held.queues.get(queue).into_iter().flatten();
        numbers.clone().any(|it| held.invocations[*it].is_queued())
    };
    let mut turns = Vec::new();
    for at in facts.chain(open.iter().copied()) {
        let node = &nodes[at];
        let (Some(topic), Some(partition), Some(offset), Some(key)) =
            (&node.topic, node.partition, node.offset, &node.key)
        else {
            continue;
        };
        let declaration = roles.declaration(topic).filter(|_| node.waits.is_empty());
        for subscription in declaration.into_iter().flat_map(|it| it.subscriptions) {
            let queue = Queue {
                service: subscription.service.to_owned(),
                key: key.clone(),
                handler: subscription.handler.to_owned(),
                topic: topic.clone(),
            };
            if has_queued(&queue) {
                turns.push(Turn {
                    node: at,
                    place: Place {
                        topic: topic.clone(),
                        partition,
                        offset,
                    },
                    handler: format!("{}/{}", subscription.service, subscription.handler),
                    queue,
                });
            }
        }
    }
    turns
}

/// Puts its invocation to an event, if it waits. A queue holds the last records of its key, so an event
/// with as many records `behind` it was handled.
pub fn tell(journey: &mut Journey, held: &Held, turn: &Turn, behind: usize) {
    let Some(at) = held.length(turn).checked_sub(behind + 1) else {
        return;
    };
    let Queue { service, key, .. } = &turn.queue;
    let numbers = held.queues.get(&turn.queue);
    let number = numbers.and_then(|numbers| numbers.get(at)).copied();
    let mut wait = match number.map(|number| &held.invocations[number]) {
        Some(invocation) if invocation.is_queued() => invocation.wait(&[]),
        // It names its record, which is another one.
        Some(_) => return,
        // So many are before it that it is not among those that are known.
        None => Wait {
            target: turn.handler.replacen('/', &format!("/{key}/"), 1),
            status: Invocation::QUEUED.into(),
            ..Wait::default()
        },
    };
    let before = &held.invocations[..number.unwrap_or(held.invocations.len())];
    let mut before = before
        .iter()
        .filter(|it| it.service == *service && it.key.as_ref() == Some(key));
    wait.ahead = u64::try_from(before.clone().count().max(at)).ok();
    let holder = before.find(|it| it.has_begun());
    wait.behind = holder.map(|it| Box::new(it.wait(&held.journal(it))));
    journey.nodes[turn.node].waits.push(wait);
}
