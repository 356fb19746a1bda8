//! Timers: those with a name lie in the state of the object `Timers`, those without in the invocation
//! that is to produce their event.

use std::collections::{BTreeSet, HashMap};

use millstream_pipeline::record::cloudevents;
use millstream_pipeline::record::digest::derived_id;
use serde::Deserialize;

use super::{is_safe, quoted, rows};
use crate::journey::{Journey, Kind};
use crate::tree::{PendingTimer, Roles};

/// So many conditions one query has.
const MAX_CONDITIONS: usize = 100;
/// So many outputs of one handling are thought of: an event's id is made of its number.
const OUTPUTS: u32 = 64;
/// So many events are thought of as having set timers.
const MAX_EVENTS: usize = 500;

/// The state of `Timers` for one timer.
#[derive(Debug, Deserialize)]
pub struct State {
    key: String,
    state: String,
}

#[derive(Deserialize)]
struct Pending {
    timer: Option<Timer>,
}

#[derive(Deserialize)]
struct Timer {
    token: String,
    due: i64,
    topic: String,
    key: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
}

/// What the states of these requests' timers contain. Letters that JSON escapes are in no id of ours.
pub fn conditions(journey: &Journey) -> Vec<String> {
    let plain = |id: &&String| is_safe(id) && !id.contains(['"', '\\', '%']);
    let of_requests = journey.correlation_ids.iter().filter(plain);
    let of_requests =
        of_requests.map(|id| format!("[\"{}\",\"{id}\"]", cloudevents::CORRELATION_ID));
    let set = journey
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::Timer && node.partition.is_some());
    let set = set
        .map(|node| &node.id)
        .filter(plain)
        .map(|id| format!("\"token\":\"{id}\""));
    let each = of_requests.chain(set).take(MAX_CONDITIONS);
    each.map(|text| format!("value_utf8 LIKE {}", quoted(&format!("%{text}%"))))
        .collect()
}

impl State {
    /// The timer, if it is of the journey. An underscore in an id stands for any letter in the query.
    pub fn timer(&self, journey: &Journey) -> Option<PendingTimer> {
        let timer = serde_json::from_str::<Pending>(&self.state).ok()?.timer?;
        let header = |name: &str| {
            let found = timer.headers.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        let correlation_id = header(cloudevents::CORRELATION_ID);
        let is_of_request = correlation_id
            .as_ref()
            .is_some_and(|id| journey.correlation_ids.contains(id));
        let setter = journey
            .nodes
            .iter()
            .find(|node| node.kind == Kind::Timer && node.id == timer.token);
        if !is_of_request && setter.is_none() {
            return None;
        }
        // A service's: `<service>/<key>/<name>`. Another one's is called by its whole key.
        let source = header(cloudevents::SOURCE);
        let name = source
            .as_ref()
            .and_then(|source| self.key.strip_prefix(source.as_str())?.strip_prefix('/'));
        Some(PendingTimer {
            topic: Some(timer.topic),
            key: Some(timer.key),
            id: header(cloudevents::ID).unwrap_or_else(|| timer.token.clone()),
            full_name: header(cloudevents::TYPE),
            causation_id: header(cloudevents::CAUSATION_ID)
                .or_else(|| setter.map(|node| node.id.clone())),
            correlation_id: correlation_id.or_else(|| setter?.correlation_id.clone()),
            name: Some(name.unwrap_or(&self.key).to_owned()),
            source,
            due: timer.due / 1000,
        })
    }
}

/// A timer without a name: `<service>/<key>/<id of its event>`.
#[derive(Debug, Deserialize)]
pub struct Once {
    key: String,
    #[serde(default)]
    due: Option<String>,
}

/// Ids that the events of a journey's timers can have.
#[derive(Debug, Default)]
pub struct Expected {
    /// By id: source, correlation id and id of the event that set it.
    ids: HashMap<String, (String, Option<String>, String)>,
    sources: BTreeSet<String>,
}

impl Expected {
    /// What the handlers of a journey's events could have set.
    pub fn of(journey: &Journey, roles: &Roles) -> Self {
        let mut expected = Self::default();
        let is_handled = |kind| matches!(kind, Kind::Command | Kind::Event | Kind::Result);
        let nodes = journey
            .nodes
            .iter()
            .rev()
            .filter(|node| is_handled(node.kind));
        for node in nodes.take(MAX_EVENTS) {
            let declaration = node
                .topic
                .as_deref()
                .and_then(|topic| roles.declaration(topic));
            let (Some(declaration), Some(key)) = (declaration, &node.key) else {
                continue;
            };
            for subscription in declaration.subscriptions {
                let source = format!("{}/{key}", subscription.service);
                if !is_safe(&source) || source.contains(['%', '\\']) {
                    continue;
                }
                let handler = format!("{}/{}", subscription.service, subscription.handler);
                for output in 0..OUTPUTS {
                    let id = derived_id(&node.id, &handler, output);
                    let set_by = (source.clone(), node.correlation_id.clone(), node.id.clone());
                    expected.ids.insert(id, set_by);
                }
                if expected.sources.len() < MAX_CONDITIONS {
                    expected.sources.insert(source);
                }
            }
        }
        expected
    }

    /// As a condition in SQL; `None`: nothing can have been set.
    pub fn condition(&self) -> Option<String> {
        let each = self.sources.iter().map(|source| {
            let pattern = quoted(&format!("{source}/%"));
            format!("target_service_key LIKE {pattern}")
        });
        let each: Vec<String> = each.collect();
        (!each.is_empty()).then(|| each.join(" OR "))
    }

    /// The timer, if one of the journey's events set it.
    pub fn timer(&self, once: &Once) -> Option<PendingTimer> {
        let (source, id) = once.key.rsplit_once('/')?;
        let (expected, correlation_id, set_by) = self.ids.get(id)?;
        (expected == source).then(|| PendingTimer {
            id: id.to_owned(),
            correlation_id: correlation_id.clone(),
            causation_id: Some(set_by.clone()),
            source: Some(source.to_owned()),
            due: once.due.as_deref().and_then(rows::millis).unwrap_or(0),
            ..PendingTimer::default()
        })
    }
}
