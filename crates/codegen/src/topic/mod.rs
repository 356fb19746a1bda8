//! Topic files: what they may contain, and what is read from them.

mod check;
mod fields;
mod http;
mod lane;
mod once;
mod read;

pub use check::{check, check_names};
pub use lane::of_services;
pub use once::names as once_names;
pub use read::load;

use crate::schema::REQUEST_FAILED;

/// The topics of the crate `millstream-events`. They are among the `TOPICS` of every catalogue.
pub const OF_LIBRARY: [&str; 3] = ["dlq-status", "replies", "timers"];

/// One topic file. Values are as written; absent ones have their default.
#[derive(Clone)]
pub struct Topic {
    pub file: String,
    pub name: String,
    pub description: String,
    pub key: String,
    pub one_subject: bool,
    pub partitions: i32,
    pub replication: Option<i32>,
    pub retention_ms: i64,
    pub compact: bool,
    /// Whether records with a null value are passed over.
    pub skip_tombstones: bool,
    pub subscriptions: Vec<(String, String)>,
    pub events: Vec<EventEntry>,
    pub results: ResultsEntry,
    pub dead_letters: bool,
    pub replies: bool,
    pub access: Access,
    pub guard: bool,
    pub guard_key_field: Option<String>,
    pub generation: u32,
    pub input_window: usize,
    pub idempotency_window: usize,
    pub idempotency_bytes: usize,
    pub state_limit: usize,
    pub identity_required: bool,
    pub http: Vec<Route>,
    /// Whether its services are in the batch lane.
    pub batch: bool,
}

/// Who may write a topic, besides the routes that its file declares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Public,
    Signed,
    Service,
    Library,
}

impl Access {
    /// What a file calls each.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("public", Self::Public),
        ("signed", Self::Signed),
        ("service", Self::Service),
        ("library", Self::Library),
    ];
}

/// One of `[[events]]`.
#[derive(Clone)]
pub struct EventEntry {
    pub name: String,
    pub results: Vec<String>,
}

/// `[results]`.
#[derive(Clone, Default)]
pub struct ResultsEntry {
    /// Whether the file has the table.
    pub present: bool,
    pub partitions: i32,
    pub retention_ms: i64,
    pub subscriptions: Vec<(String, String)>,
    /// `exactly-once`.
    pub once: Option<OnceEntry>,
}

/// `exactly-once = true`: each result is published once more, on a topic of its own.
#[derive(Clone)]
pub struct OnceEntry {
    pub marks_ms: i64,
    pub generation: u32,
}

/// One of `[[http]]`.
#[derive(Clone)]
pub struct Route {
    pub method: String,
    pub path: String,
    pub key: String,
    pub event: String,
    /// Whether requests are signed in Stripe's scheme.
    pub stripe: bool,
    pub respond_async: bool,
    pub fields: Vec<(String, String)>,
    pub constants: Vec<(String, serde_json::Value)>,
}

impl Topic {
    /// Its result topic as a topic of its own, if somebody handles the results: they are facts there.
    pub fn of_results(&self) -> Option<Self> {
        if self.results.subscriptions.is_empty() && self.results.once.is_none() {
            return None;
        }
        let kinds = self.declared_results().into_iter().chain([REQUEST_FAILED]);
        Some(Self {
            name: format!("{}-results", self.name),
            description: format!("Results of the commands on {}.", self.name),
            one_subject: false,
            partitions: self.results.partitions,
            retention_ms: self.results.retention_ms,
            compact: false,
            skip_tombstones: false,
            subscriptions: self.results.subscriptions.clone(),
            events: kinds
                .map(|name| EventEntry {
                    name: name.to_owned(),
                    results: Vec::new(),
                })
                .collect(),
            results: ResultsEntry::default(),
            replies: false,
            // Our own handlers emit them.
            access: Access::Service,
            guard: false,
            guard_key_field: None,
            identity_required: false,
            http: Vec::new(),
            batch: false,
            ..self.clone()
        })
    }

    /// Whether its events have results.
    pub fn has_commands(&self) -> bool {
        self.events.iter().any(|event| !event.results.is_empty())
    }

    /// The declared results of all its events, each once, in the order of the file.
    pub fn declared_results(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for result in self.events.iter().flat_map(|event| &event.results) {
            if !out.contains(&result.as_str()) {
                out.push(result);
            }
        }
        out
    }
}
