//! What all handlers of a process share, and the handle that one service holds.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_events::{Declaration, EventSchema, Topic};
use rdkafka::error::KafkaError;

use crate::codec::{Codec, RegistryError};
use crate::config::Endpoints;
use crate::dead_letter::original::Originals;
use crate::identity::Proofs;
use crate::kafka;
use crate::kafka::publisher::Publisher;
use crate::lane::batch::served::Served;
use crate::process::Rules;

/// Prefix of consumer groups, so that several installations can share a cluster.
pub const DEFAULT_PREFIX: &str = "millstream";

/// Pause between two looks for the registry.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);

/// Codec, producer and declarations. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub codec: Codec,
    pub publisher: Publisher,
    pub originals: Originals,
    pub topics: HashMap<&'static str, &'static Declaration>,
    pub endpoints: Endpoints,
    pub prefix: String,
    pub proofs: Proofs,
    /// Names of the services that hold a handle.
    pub named: Mutex<BTreeSet<&'static str>>,
    /// What this process serves in the batch lane.
    pub served: Served,
}

impl Shared {
    /// What is known of events without asking anybody.
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            topics: &self.topics,
            proofs: &self.proofs,
            codec: &self.codec,
        }
    }
}

/// Why the pipeline could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address of the registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The settings of the Kafka client cannot be used.
    #[error("the Kafka client does not accept its settings: {0}")]
    Kafka(#[from] KafkaError),
}

impl Pipeline {
    /// Clients for these endpoints and topics; the topics were applied with this prefix of consumer
    /// groups. Nothing is contacted yet. Nobody's proofs count.
    pub fn new(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        prefix: &str,
    ) -> Result<Self, ConnectError> {
        Self::with_proofs(endpoints, declarations, prefix, Proofs::default())
    }

    /// As [`Self::new`], with what makes and checks proofs.
    pub fn with_proofs(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        prefix: &str,
        proofs: Proofs,
    ) -> Result<Self, ConnectError> {
        let client = kafka::client(&endpoints.kafka);
        let shared = Shared {
            codec: Codec::new(&endpoints.schema_registry, declarations)?,
            publisher: Publisher::new(client.clone())?,
            originals: Originals::new(client),
            topics: declarations
                .iter()
                .map(|topic| (topic.name, *topic))
                .collect(),
            endpoints: endpoints.clone(),
            prefix: prefix.to_owned(),
            proofs,
            named: Mutex::default(),
            served: Served::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Where the parts of the installation are.
    pub fn endpoints(&self) -> &Endpoints {
        &self.shared.endpoints
    }

    /// The prefix that the topics were applied with, which tells this project from others.
    pub fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// The topics that it knows, by name.
    pub fn topics(&self) -> Vec<&'static Declaration> {
        let mut topics: Vec<_> = self.shared.topics.values().copied().collect();
        topics.sort_unstable_by_key(|topic| topic.name);
        topics
    }

    /// The handle that the handlers of one Restate service hold.
    ///
    /// `name` is the service's: that of the struct with the handlers, and that of the topic files.
    /// [`service_name!`](crate::service_name) compares them when it is compiled, and
    /// [`Handlers::serve`](crate::serve::Handlers::serve) before anything is served.
    pub fn service(&self, name: &'static str) -> Service {
        let named = &self.shared.named;
        named
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name);
        Service {
            name,
            pipeline: self.clone(),
        }
    }

    /// The names of the services that hold a handle.
    pub(crate) fn named(&self) -> BTreeSet<&'static str> {
        let named = &self.shared.named;
        named.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks up all schemas of our own, so that the registry may be away later; waits until it
    /// answers, and says that it waits.
    pub async fn look_up_schemas(&self) {
        for schema in self.schemas() {
            let mut waiting = false;
            while let Err(error) = self.shared.codec.prepare(schema).await {
                if !waiting {
                    tracing::warn!(%error, "waiting for the schema registry");
                    waiting = true;
                }
                tokio::time::sleep(LOOK_UP_AGAIN).await;
            }
        }
        tracing::info!("all schemas are looked up");
    }

    fn schemas(&self) -> Vec<&'static EventSchema> {
        let mut schemas = Vec::new();
        for topic in self.shared.topics.values() {
            schemas.extend(topic.events.iter().map(|event| (event.schema)()));
            if let Some(results) = &topic.results {
                schemas.extend(results.schemas.iter().map(|schema| schema()));
            }
        }
        schemas
    }

    /// Waits until everything produced is acknowledged, for `limit` at most.
    pub async fn flush(&self, limit: Duration) -> Result<(), KafkaError> {
        self.shared.publisher.flush(limit).await
    }
}

/// One Restate service's way into the pipeline.
#[derive(Clone)]
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) pipeline: Pipeline,
}

impl Service {
    /// The handler of this service that is subscribed to `T`, as `Service/handler`.
    pub(crate) fn handler<T: Topic>(&self) -> Arc<str> {
        let subscriptions = T::DECLARATION.subscriptions;
        let handler = subscriptions
            .iter()
            .find(|subscription| subscription.service == self.name);
        format!(
            "{}/{}",
            self.name,
            handler.map_or("?", |subscription| subscription.handler)
        )
        .into()
    }
}

/// The name of a service, which is that of the struct with its handlers; an error of the compiler unless
/// one of these topics is subscribed by a service of this name.
///
/// ```
/// # use millstream_pipeline::service_name;
/// use millstream_pipeline::events::SYSTEM_TOPICS;
///
/// struct Replies;
/// assert_eq!(service_name!(Replies in SYSTEM_TOPICS), "Replies");
/// ```
///
/// ```compile_fail
/// # use millstream_pipeline::service_name;
/// use millstream_pipeline::events::SYSTEM_TOPICS;
///
/// struct Answers;
/// assert_eq!(service_name!(Answers in SYSTEM_TOPICS), "Answers");
/// ```
///
/// A service of plain functions has no struct; its name is a text: `service_name!("Replies" in ..)`.
#[macro_export]
macro_rules! service_name {
    ($service:ident in $topics:path) => {{
        const _: ::core::marker::PhantomData<$service> = ::core::marker::PhantomData;
        $crate::service_name!(@checked ::core::stringify!($service), $topics)
    }};
    ($service:literal in $topics:path) => {
        $crate::service_name!(@checked $service, $topics)
    };
    (@checked $name:expr, $topics:path) => {{
        const NAME: &str = $name;
        const {
            ::core::assert!(
                $crate::service::is_subscribed(NAME, $topics),
                "no topic is subscribed by a service of this name: let `subscriptions` in the topic's \
                 file and the service be called alike"
            );
        }
        NAME
    }};
}

/// Whether one of these topics is subscribed by a service of this name: for [`service_name!`].
#[doc(hidden)]
pub const fn is_subscribed(name: &str, topics: &[&Declaration]) -> bool {
    let mut topic = 0;
    while topic < topics.len() {
        let subscriptions = topics[topic].subscriptions;
        let mut at = 0;
        while at < subscriptions.len() {
            if is_same(subscriptions[at].service.as_bytes(), name.as_bytes()) {
                return true;
            }
            at += 1;
        }
        topic += 1;
    }
    false
}

/// As `==`, which is not to be had while a constant is made.
const fn is_same(mut left: &[u8], mut right: &[u8]) -> bool {
    while let ([first, others @ ..], [second, rest @ ..]) = (left, right) {
        if *first != *second {
            return false;
        }
        (left, right) = (others, rest);
    }
    left.is_empty() && right.is_empty()
}
