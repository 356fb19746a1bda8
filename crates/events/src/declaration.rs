//! What a topic file says, as constants.

use crate::{EventSchema, EventSet};

/// A topic that handlers can name without spelling it.
pub trait Topic: 'static {
    /// What its file says.
    const DECLARATION: &'static Declaration;
    /// The kinds of event on it.
    type Event: EventSet;
    /// The kinds of result that its commands have; `()` when it carries facts only.
    type Result: EventSet;
}

/// One topic, with the result topic and the dead letter topic that belong to it. Or a result topic
/// that somebody handles, with its dead letter topic.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// Name on the broker.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// What its key is, such as "product id".
    pub key: &'static str,
    /// The kinds of event on it.
    pub events: &'static [EventDeclaration],
    /// How its subjects in the registry are named; never changes.
    pub subjects: Subjects,
    /// Number of partitions; a keyed topic's never changes.
    pub partitions: i32,
    /// Copies of each partition; `None`: the broker's default.
    pub replication: Option<i32>,
    /// How long records are kept, in milliseconds; -1: for ever.
    pub retention_ms: i64,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// What becomes of records with a null value.
    pub tombstones: Tombstones,
    /// Who handles its events.
    pub subscriptions: &'static [Subscription],
    /// The topic that its commands' results go to; `None` when it carries facts only.
    pub results: Option<ResultTopic>,
    /// Whether undecodable records are kept in `<topic>-dlq`.
    pub dead_letters: bool,
    /// Whether `reply_to` may name it.
    pub replies: bool,
    /// Who may write it, besides its [`Self::http`] routes.
    pub access: Access,
    /// Whether a relay checks its records before handlers see them; see [`Self::subscribed_topic`].
    pub guard: bool,
    /// Where the guard finds the key in a foreign key encoded in Avro: the field of a record, or
    /// the value itself where that is no record. `None`: foreign keys are text.
    pub guard_key_field: Option<&'static str>,
    /// Raised by one whenever the topic is made anew and its offsets start again.
    pub generation: u32,
    /// How many accepted event ids an object remembers.
    pub input_window: usize,
    /// How many idempotency keys an object remembers.
    pub idempotency_window: usize,
    /// Bytes that what it remembers of them may take; the oldest answers are dropped first.
    pub idempotency_bytes: usize,
    /// Bytes of an object's own fields as JSON. An event that makes them larger is refused.
    pub state_limit: usize,
    /// Whether events must carry a proof of who sent them.
    pub identity: Identity,
    /// HTTP routes to it.
    pub http: &'static [HttpRoute],
    /// How its events reach their handlers.
    pub lane: Lane,
}

/// How events reach their handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Restate delivers each to an invocation of its own.
    Event,
    /// Restate leases a partition; whoever has the lease reads the events and commits many at a time.
    Batch,
}

impl Declaration {
    /// Name of the topic whose file says all this: its own, or that of the topic whose results it
    /// carries. No other topic's name ends so.
    pub fn file(&self) -> &'static str {
        self.name.strip_suffix("-results").unwrap_or(self.name)
    }

    /// Whether it carries the results of another topic.
    pub fn is_of_results(&self) -> bool {
        self.file() != self.name
    }

    /// Whether everybody may send any event of it: over `/v1/topics`, and by a timer. What handlers
    /// emit, and what nobody has declared, is nobody else's to send.
    pub fn is_open(&self) -> bool {
        self.access == Access::Public
            && !self.replies
            && !self.is_of_results()
            && !self.events.is_empty()
    }

    /// Whether the gateway sends to it: any event, or those of its routes.
    pub fn is_served(&self) -> bool {
        self.is_open() || !self.http.is_empty()
    }

    /// Whether it holds the states of a service in the batch lane.
    pub fn is_of_states(&self) -> bool {
        self.cleanup == Cleanup::Compact && self.events.is_empty() && !self.replies
    }

    /// The topics of it that services of the batch lane read, and these: its own, if it is in that lane,
    /// and its result topic, if each result is published once.
    pub fn leased(&self) -> Vec<(String, Subscription)> {
        let own = match self.lane {
            Lane::Batch => self.subscriptions,
            Lane::Event => &[],
        };
        let own = own.iter().map(|to| (self.subscribed_topic(), *to));
        let once = self.results.iter().filter_map(|results| {
            let once = results.once?;
            Some((results.name.to_owned(), once.subscription()))
        });
        own.chain(once).collect()
    }

    /// Name of the topic that its dead letters go to.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}-dlq", self.name)
    }

    /// Name of the topic that handlers are subscribed to: its own, or `<topic>-guarded`, where the
    /// relay puts what it lets through, if the topic is guarded.
    pub fn subscribed_topic(&self) -> String {
        match self.guard {
            true => format!("{}-guarded", self.name),
            false => self.name.to_owned(),
        }
    }

    /// The declared event with this full name.
    pub fn event(&self, full_name: &str) -> Option<&'static EventDeclaration> {
        self.events
            .iter()
            .find(|event| event.full_name == full_name)
    }
}

/// One kind of event on a topic.
#[derive(Debug)]
pub struct EventDeclaration {
    /// The record's full name.
    pub full_name: &'static str,
    /// Full names of its possible results; empty: it is a fact.
    pub results: &'static [&'static str],
    /// Its schema.
    pub schema: fn() -> &'static EventSchema,
}

impl EventDeclaration {
    /// Whether it asks for a result.
    pub fn is_command(&self) -> bool {
        !self.results.is_empty()
    }
}

/// A topic of results: `<topic>-results`, several kinds, subjects `topic-record`. If somebody handles
/// them, or each is published once, it has a [`Declaration`] of its own besides, where they are facts.
#[derive(Debug, Clone)]
pub struct ResultTopic {
    /// Name on the broker.
    pub name: &'static str,
    /// Number of partitions.
    pub partitions: i32,
    /// How long records are kept, in milliseconds; -1: for ever.
    pub retention_ms: i64,
    /// The kinds of event on it, `millstream.RequestFailed` among them.
    pub schemas: &'static [fn() -> &'static EventSchema],
    /// The topic that has each of them once; `None`: there is none, and readers apply the reader rule.
    pub once: Option<Once>,
}

/// A topic that has each record of a result topic once, on as many partitions, and the service of the
/// library that makes it, in the batch lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// Name on the broker.
    pub name: &'static str,
    /// The service that applies the reader rule.
    pub service: &'static str,
    /// How long what it knows of a key is kept after the key's last result, in milliseconds; -1: for
    /// ever.
    pub marks_ms: i64,
    /// Raised by one whenever the result topic is made anew and its offsets start again.
    pub generation: u32,
}

impl Once {
    /// Who is leased the result topic.
    pub fn subscription(&self) -> Subscription {
        Subscription {
            service: self.service,
            handler: "work",
        }
    }
}

/// A handler that a topic's events are delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    /// Restate service.
    pub service: &'static str,
    /// Handler of that service.
    pub handler: &'static str,
}

/// How a topic's subjects are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subjects {
    /// `<topic>-value`: one kind of event.
    Topic,
    /// `<topic>-<full name>`: several kinds.
    TopicRecord,
}

impl Subjects {
    /// The subject of one kind of event on `topic`.
    pub fn subject(self, topic: &str, full_name: &str) -> String {
        match self {
            Self::Topic => format!("{topic}-value"),
            Self::TopicRecord => format!("{topic}-{full_name}"),
        }
    }
}

/// What the broker does with old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// Deleted after the retention time.
    Delete,
    /// All but the newest of each key are deleted.
    Compact,
}

impl Cleanup {
    /// The value of the broker's setting `cleanup.policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
        }
    }
}

/// What becomes of records with a null value, which Kafka calls tombstones: they delete what a
/// compacted topic has of their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstones {
    /// They are dead letters: a null is no event.
    DeadLetter,
    /// They are counted and passed over: nobody acts on a deletion.
    Skip,
}

/// Who may write a topic. The HTTP routes of its file are open besides, as they are declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Whoever has the scope, over HTTP; timers of everybody; services.
    Public,
    /// A provider, over the routes that check its signature.
    Signed,
    /// Services alone.
    Service,
    /// The library's own services and tools.
    Library,
}

impl Access {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Public, Self::Signed, Self::Service, Self::Library];

    /// What a topic file calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Signed => "signed",
            Self::Service => "service",
            Self::Library => "library",
        }
    }
}

/// Whether a topic's events must say who sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Anybody may send.
    None,
    /// A signed principal is required.
    Required,
}

/// A scheme by which providers sign their webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// `Stripe-Signature`: time and HMAC-SHA256 of the body.
    Stripe,
}

/// An HTTP route that the gateway serves for a topic.
#[derive(Debug)]
pub struct HttpRoute {
    /// Method, such as `POST`.
    pub method: &'static str,
    /// Path template, such as `/reserve/{product}/{reservation}`.
    pub path: &'static str,
    /// Template of the record's key, such as `{product}`: text with the path's parameters, or
    /// values of the request as they are (`$body.order_id or $id`).
    pub key: &'static str,
    /// The signature that vouches for a request instead of a key; `None`: a key is needed.
    pub signature: Option<Signature>,
    /// Whether it answers at once unless the client asks it to wait.
    pub respond_async: bool,
    /// Full name of the event it makes.
    pub event: &'static str,
    /// Fields of the event and the templates of their values.
    pub fields: &'static [(&'static str, &'static str)],
    /// Fields of the event and fixed values, in JSON.
    pub constants: &'static [(&'static str, &'static str)],
}
