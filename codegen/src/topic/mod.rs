//! Topic files: what they may contain, and what is read from them.

mod check;
mod fields;
mod http;
mod read;

pub use check::check;
pub use read::load;

/// One topic file. Values are as written; absent ones have their default.
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
    pub subscriptions: Vec<(String, String)>,
    pub events: Vec<EventEntry>,
    pub results: ResultsEntry,
    pub dead_letters: bool,
    pub replies: bool,
    pub internal: bool,
    pub guard: bool,
    pub guard_key_field: Option<String>,
    pub generation: u32,
    pub input_window: usize,
    pub idempotency_window: usize,
    pub identity_required: bool,
    pub http: Vec<Route>,
}

/// One of `[[events]]`.
pub struct EventEntry {
    pub name: String,
    pub results: Vec<String>,
}

/// `[results]`.
pub struct ResultsEntry {
    /// Whether the file has the table.
    pub present: bool,
    pub partitions: i32,
    pub retention_ms: i64,
    pub subscriptions: Vec<(String, String)>,
}

/// One of `[[http]]`.
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
