//! How a request stands, by what its tree has and lacks.

use crate::journey::{Journey, Kind, Node, State, Wait};

/// Restate tries it again, or waits for somebody.
const STUCK: [&str; 2] = ["backing-off", "paused"];

/// Which commands have neither an answer nor a dead letter. One that the guard let through is answered
/// below its copy.
pub fn unanswered(journey: &Journey) -> impl Iterator<Item = usize> {
    let nodes = &journey.nodes;
    let mut has_end = vec![false; nodes.len()];
    for node in nodes {
        let ends = matches!(node.kind, Kind::Result | Kind::Reply | Kind::DeadLetter)
            || node.relayed_from.is_some();
        if let Some(parent) = node.parent.filter(|_| ends) {
            has_end[parent] = true;
        }
    }
    let open = (0..nodes.len()).filter(move |at| !has_end[*at]);
    open.filter(|at| nodes[*at].kind == Kind::Command)
        .collect::<Vec<_>>()
        .into_iter()
}

/// Whether nothing more is to come, as far as is known.
pub fn is_settled(journey: &Journey) -> bool {
    !journey.nodes.is_empty()
        && unanswered(journey).next().is_none()
        && journey
            .nodes
            .iter()
            .all(|node| node.waits.is_empty() && !is_pending(node))
}

/// Says how the request stands.
pub fn judge(journey: &mut Journey) {
    journey.state = state(journey);
}

fn state(journey: &Journey) -> State {
    let nodes = &journey.nodes;
    let mut waits = nodes.iter().flat_map(|node| &node.waits);
    if nodes.is_empty() {
        State::NotFound
    } else if waits.clone().any(is_stuck) {
        State::Stuck
    } else if waits.any(|wait| wait.status != "scheduled") || unanswered(journey).next().is_some() {
        State::Running
    } else if nodes.iter().any(is_pending) {
        State::Waiting
    } else if nodes.iter().any(|node| has_failed(node, nodes)) {
        State::Failed
    } else {
        State::Done
    }
}

fn is_stuck(wait: &Wait) -> bool {
    let is = |wait: &Wait| {
        // One that is being tried again is as stuck as one that waits for that.
        let is_tried_again =
            matches!(wait.status.as_str(), "running" | "ready") && wait.failure.is_some();
        is_tried_again || STUCK.contains(&wait.status.as_str())
    };
    is(wait) || wait.behind.as_deref().is_some_and(is)
}

/// An event that is to come.
fn is_pending(node: &Node) -> bool {
    node.kind == Kind::Timer && node.partition.is_none()
}

/// The answer to a step belongs to whoever asked for the step; that of the first command counts.
fn has_failed(node: &Node, nodes: &[Node]) -> bool {
    match node.kind {
        Kind::DeadLetter => node.marked.is_none(),
        Kind::Result | Kind::Reply => {
            let above = node
                .parent
                .map(|parent| before_guard(&nodes[parent], nodes));
            let is_first =
                above.is_none_or(|above| above.parent.is_none() || above.replay_of.is_some());
            node.code.is_some() && is_first
        }
        _ => false,
    }
}

/// The record that the guard let through as this one.
fn before_guard<'n>(mut node: &'n Node, nodes: &'n [Node]) -> &'n Node {
    while let (Some(_), Some(parent)) = (&node.relayed_from, node.parent) {
        node = &nodes[parent];
    }
    node
}
