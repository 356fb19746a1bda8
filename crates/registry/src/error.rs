//! What can go wrong: for the operator who starts the registry, and for a client of its API.

use std::net::SocketAddr;

/// Why the registry could not start or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; choose another address, or stop what listens there"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Serving ended by itself.
    #[error("the schema registry stopped serving: {0}; start it again")]
    Serve(std::io::Error),
    /// The Kafka client refused its settings.
    #[error("cannot set up the Kafka client: {0}; check the bootstrap servers")]
    Client(rdkafka::error::KafkaError),
}

/// Why the store, the topic in Kafka, does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The state is not rebuilt yet.
    #[error("still reading {topic}{detail}; ask again in a moment")]
    NotReady {
        /// The topic.
        topic: String,
        /// What keeps it from going on, if anything does.
        detail: String,
    },
    /// A record was not written or not read back in time.
    #[error("Kafka did not answer in time: {0}; check that its brokers are up and ask again")]
    Timeout(String),
    /// Kafka refused.
    #[error("Kafka refused: {0}; check the topic and the brokers, and ask again")]
    Kafka(String),
    /// The record is too large for the topic.
    #[error(
        "the schema is too large for the topic: {0}; make it smaller or raise max.message.bytes"
    )]
    TooLarge(String),
}

/// An answer other than success, with the error codes of Confluent's API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 40401
    #[error("Subject '{0}' not found.")]
    SubjectNotFound(String),
    /// 40402
    #[error("Version {0} not found.")]
    VersionNotFound(i32),
    /// 40403 for a text.
    #[error("Schema not found")]
    SchemaNotFound,
    /// 40403 for an id.
    #[error("Schema {0} not found")]
    IdNotFound(i32),
    /// 40404
    #[error("Subject '{0}' was soft deleted. Set permanent=true to delete permanently")]
    SubjectDeleted(String),
    /// 40405
    #[error("Subject '{0}' was not deleted first before being permanently deleted")]
    SubjectNotDeleted(String),
    /// 40406
    #[error("Subject '{0}' Version {1} was soft deleted. Set permanent=true to delete permanently")]
    VersionDeleted(String, i32),
    /// 40407
    #[error("Subject '{0}' Version {1} was not deleted first before being permanently deleted")]
    VersionNotDeleted(String, i32),
    /// 40408
    #[error("Subject '{0}' does not have subject-level compatibility configured")]
    NoConfig(String),
    /// 40409
    #[error("Subject '{0}' does not have subject-level mode configured")]
    NoMode(String),
    /// 409
    #[error("Schema being registered is incompatible with an earlier schema for subject \"{subject}\", details: [{}]", details.join(", "))]
    Incompatible {
        /// Subject.
        subject: String,
        /// What is incompatible, and with which version.
        details: Vec<String>,
    },
    /// 42201
    #[error("Invalid schema: {0}")]
    InvalidSchema(String),
    /// 42202
    #[error(
        "The specified version '{0}' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""
    )]
    InvalidVersion(String),
    /// 42203
    #[error(
        "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"
    )]
    InvalidLevel,
    /// 42204
    #[error("Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE and IMPORT")]
    InvalidMode,
    /// 42205
    #[error("{0}")]
    NotPermitted(String),
    /// 42206
    #[error(
        "One or more references exist to the schema {{magic=1,keytype=SCHEMA,subject={0},version={1}}}. Delete what references it first"
    )]
    Referenced(String, i32),
    /// 42208
    #[error("The specified subject '{0}' is not a valid subject.")]
    InvalidSubject(String),
    /// 42210
    #[error("Invalid rule set: {0}")]
    InvalidRules(String),
    /// 413
    #[error("The body has more than {0} bytes; send a smaller schema")]
    TooLarge(usize),
    /// 406
    #[error(
        "HTTP 406 Not Acceptable: this registry answers application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json and application/json; name one of them as Accept"
    )]
    NotAcceptable,
    /// 415
    #[error(
        "HTTP 415 Unsupported Media Type: {0}; send the body as application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json or application/json"
    )]
    NotJson(String),
    /// What the HTTP library refused: path or query cannot be read.
    #[error("{1}")]
    Http(u16, String),
    /// 400
    #[error("The body is not a JSON object of the form that this request wants: {0}")]
    Body(String),
    /// 404
    #[error("HTTP 404 Not Found")]
    NoRoute,
    /// 405
    #[error("HTTP 405 Method Not Allowed")]
    NoMethod,
    /// 503, 50001 or 50002
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    /// The error code in the body.
    pub fn code(&self) -> u32 {
        match self {
            Refusal::SubjectNotFound(_) => 40401,
            Refusal::VersionNotFound(_) => 40402,
            Refusal::SchemaNotFound | Refusal::IdNotFound(_) => 40403,
            Refusal::SubjectDeleted(_) => 40404,
            Refusal::SubjectNotDeleted(_) => 40405,
            Refusal::VersionDeleted(..) => 40406,
            Refusal::VersionNotDeleted(..) => 40407,
            Refusal::NoConfig(_) => 40408,
            Refusal::NoMode(_) => 40409,
            Refusal::Incompatible { .. } => 409,
            Refusal::InvalidSchema(_) => 42201,
            Refusal::InvalidVersion(_) => 42202,
            Refusal::InvalidLevel => 42203,
            Refusal::InvalidMode => 42204,
            Refusal::NotPermitted(_) => 42205,
            Refusal::Referenced(..) => 42206,
            Refusal::InvalidSubject(_) => 42208,
            Refusal::InvalidRules(_) => 42210,
            Refusal::TooLarge(_) => 413,
            Refusal::NotAcceptable => 406,
            Refusal::NotJson(_) => 415,
            Refusal::Http(status, _) => u32::from(*status),
            Refusal::Body(_) => 400,
            Refusal::NoRoute => 404,
            Refusal::NoMethod => 405,
            Refusal::Store(StoreError::NotReady { .. }) => 50301,
            Refusal::Store(StoreError::Kafka(_)) => 50001,
            Refusal::Store(StoreError::Timeout(_)) => 50002,
            Refusal::Store(StoreError::TooLarge(_)) => 42209,
        }
    }

    /// The HTTP status: the first three digits of the code.
    pub fn status(&self) -> u16 {
        let code = self.code();
        u16::try_from(if code < 1000 { code } else { code / 100 }).unwrap_or(500)
    }
}
