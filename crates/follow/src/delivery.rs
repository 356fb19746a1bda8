//! Records that nobody has taken from Kafka yet.

use millstream_pipeline::events::{Declaration, Lane};
use millstream_pipeline::kafka::Asker;
use millstream_pipeline::kafka::group;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset};

use crate::journey::{Journey, Kind, Wait};
use crate::tree::{Roles, unanswered};

/// So many consumer groups are asked.
const MAX_GROUPS: usize = 30;
/// A younger record may be taken although its group has not said so: offsets are committed now and then.
const COMMITTED_MS: i64 = 3_000;
/// What stands for the state of a record that its handler was not given.
const NOT_DELIVERED: &str = "not-delivered";

/// Whether a group has taken a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    node: usize,
    group: String,
    topic: String,
    partition: i32,
    offset: i64,
    target: String,
}

/// The records of a journey that may not be taken yet: commands without an answer that no invocation
/// has, and events of which nothing has come.
pub fn questions(journey: &Journey, roles: &Roles, prefix: &str, now: i64) -> Vec<Question> {
    let nodes = &journey.nodes;
    let mut has_children = vec![false; nodes.len()];
    nodes
        .iter()
        .filter_map(|node| node.parent)
        .for_each(|parent| has_children[parent] = true);
    let facts = (0..nodes.len()).filter(|at| nodes[*at].kind == Kind::Event && !has_children[*at]);
    let is_old = |at: &usize| {
        let age = nodes[*at].time.map(|time| now.saturating_sub(time));
        age.is_some_and(|age| age > COMMITTED_MS) && nodes[*at].waits.is_empty()
    };
    let open = unanswered(journey).chain(facts).filter(is_old);
    let mut questions = Vec::new();
    for node in open {
        let it = &nodes[node];
        let (Some(topic), Some(partition), Some(offset)) = (&it.topic, it.partition, it.offset)
        else {
            continue;
        };
        let Some(declaration) = roles.declaration(topic) else {
            continue;
        };
        for (group, target) in groups(declaration, topic, prefix, it.key.as_deref()) {
            questions.push(Question {
                node,
                group,
                topic: topic.clone(),
                partition,
                offset,
                target,
            });
        }
    }
    questions
}

/// The consumer groups that take the records of a topic, and for whom.
fn groups(
    declaration: &Declaration,
    topic: &str,
    prefix: &str,
    key: Option<&str>,
) -> Vec<(String, String)> {
    if declaration.guard && topic == declaration.name {
        return vec![(
            group::of_guard(prefix, declaration.name),
            "guard".to_owned(),
        )];
    }
    let each = declaration.subscriptions.iter().map(|subscription| {
        let handler = format!("{}/{}", subscription.service, subscription.handler);
        let group = match declaration.lane {
            Lane::Event => group::of_handler(prefix, declaration.name, &handler),
            Lane::Batch => group::of_lane(prefix, subscription.service),
        };
        let target = match key {
            Some(key) => format!("{}/{key}/{}", subscription.service, subscription.handler),
            // There is none, or it is nobody's to know.
            None => handler,
        };
        (group, target)
    });
    each.collect()
}

/// Which of these records are not taken: with how many before them. Blocks.
pub fn ask(
    config: &ClientConfig,
    questions: Vec<Question>,
) -> Result<Vec<(Question, u64)>, KafkaError> {
    let mut open = Vec::new();
    let mut groups: Vec<&str> = questions.iter().map(|it| it.group.as_str()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups.into_iter().take(MAX_GROUPS) {
        let mut config = config.clone();
        config.set("group.id", group);
        let mut asker = Asker::new(&config);
        let of_group: Vec<&Question> = questions.iter().filter(|it| it.group == group).collect();
        let mut topics: Vec<&str> = of_group.iter().map(|it| it.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let committed = asker.committed(topic)?;
            for question in of_group.iter().filter(|it| it.topic == topic) {
                let found = committed.find_partition(topic, question.partition);
                let taken = match found.map(|it| it.offset()) {
                    Some(Offset::Offset(offset)) => offset,
                    // It has taken nothing of this partition.
                    _ => 0,
                };
                if taken <= question.offset {
                    let before = u64::try_from(question.offset - taken).unwrap_or(0);
                    open.push(((*question).clone(), before));
                }
            }
        }
    }
    Ok(open)
}

/// Says so at their nodes.
pub fn tell(journey: &mut Journey, answers: Vec<(Question, u64)>) {
    for (question, before) in answers {
        if let Some(node) = journey.nodes.get_mut(question.node) {
            node.waits.push(Wait {
                target: question.target,
                status: NOT_DELIVERED.into(),
                since: node.time,
                ahead: Some(before),
                ..Wait::default()
            });
        }
    }
}
