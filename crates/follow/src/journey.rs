//! What is known of a request, as data: for people in a terminal, for programs in JSON, for a page.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// All that was found of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Journey {
    /// What was asked for, as it was asked.
    pub asked: String,
    /// How it stands.
    pub state: State,
    /// The correlation ids that its events have; more than one where a handler began another request.
    pub correlation_ids: Vec<String>,
    /// When the first record that was found was recorded, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<i64>,
    /// The tree, in the order in which it is shown: each node after its parent, and before the next
    /// node of its parent.
    pub nodes: Vec<Node>,
    /// Records that were found and are not among [`Self::nodes`], because there are too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
    /// Where nothing was found: topics on which it is the key of records, the first one in time first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_on: Vec<String>,
    /// Where it was looked for.
    pub searched: Searched,
    /// What could not be asked or is wrong with what was found, and what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// How a request stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing was found.
    #[default]
    NotFound,
    /// A command has no result yet, and nothing is known to be wrong.
    Running,
    /// All that is left is not due yet.
    Waiting,
    /// An invocation fails and is tried again, is paused, or waits behind one that is.
    Stuck,
    /// The first command was answered `RequestFailed`, or a record is a dead letter with which nobody has dealt.
    Failed,
    /// Nothing is left to be done.
    Done,
}

/// One thing that happened, or is to happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Index of its cause among the journey's nodes; `None`: it has none, or none was named.
    pub parent: Option<usize>,
    /// How many causes are above it.
    pub depth: usize,
    /// Topic; of a pending timer the one that its event will stand on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Partition; `None`: it stands on no topic (yet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Key, with U+FFFD for what is not UTF-8; `None`: null, or that of a reply, which nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The event's full name; `None`: neither headers nor value say it.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The event's id; where it has no `meta`: `topic/partition/offset`.
    pub id: String,
    /// The request that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Id of the event that caused it, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Who emitted it: `<Service>/<object key>`, or the producer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it was recorded, in milliseconds since 1970-01-01 UTC. Of a pending timer: when it was set,
    /// as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// The same from [`Journey::began`] on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<i64>,
    /// Why it was not carried out: of a dead letter, or of `RequestFailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who could not handle it: of a dead letter, `Service/handler` or `guard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Of a dead letter: what somebody did with it, `REPLAYED` or `DISCARDED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked: Option<String>,
    /// Of a dead letter: the name of its original, by which `dlq` knows it (`topic/partition/offset`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// The dead letter that this record is a replay of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// The record of a guarded topic that the guard let through as this one; its parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed_from: Option<String>,
    /// Of a pending timer: when it is due, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<i64>,
    /// Of a pending timer: its name, by which it can be replaced or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer: Option<String>,
    /// Records on this topic with this id. More than one: somebody produced it again, and readers that
    /// keep the reader rule see it once.
    pub copies: usize,
    /// Trace id, where the event carries one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Where it is waiting now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
    /// The rest of the record; only where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An event that asks.
    Command,
    /// An event that only tells.
    Event,
    /// An answer to whoever waits in a handler.
    Reply,
    /// The answer to a command.
    Result,
    /// An event that is to come, or one that sets or cancels a timer.
    Timer,
    /// A record that could not be handled, kept as it came.
    DeadLetter,
    /// A cause that others name, and that was not found where it was looked for.
    Missing,
}

/// The body of an event and all around it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The event's fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// `meta` without what proves who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
    /// Headers that are text, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Why the value could not be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecodable: Option<String>,
}

/// Where an event is waiting now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// What is to handle it, `Service/key/handler`.
    pub target: String,
    /// What it is doing: one of Restate's `pending`, `scheduled`, `ready`, `running`, `suspended`, `backing-off`,
    /// `paused`; or `not-delivered`: Restate has not taken the record yet.
    pub status: String,
    /// The invocation in Restate; `None`: there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// Since when, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// How often it was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// Restate's code of its last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its last failure in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it is tried next, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<i64>,
    /// What it waits for, such as `sleep until ...` or the name of the step that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// How many invocations of the same key come before it, or records of the same partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    /// The invocation that it waits behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Box<Wait>>,
}

/// How much was looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// Topics.
    pub topics: usize,
    /// Partitions.
    pub partitions: usize,
    /// Records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// From when, in milliseconds since 1970-01-01 UTC; `None`: from the beginning of the topics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Until when; `None`: to the end that the topics had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// How long it took.
    pub millis: u64,
    /// Declared topics that are not there, or cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
