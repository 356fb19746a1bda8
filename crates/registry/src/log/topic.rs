//! The topic of the log: made if it is missing, refused if it would lose schemas.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use super::Location;
use crate::error::StoreError;

const LIMIT: Duration = Duration::from_secs(5);
/// Shorter, because a registry that is to stop waits for it.
const METADATA_LIMIT: Duration = Duration::from_secs(2);

/// Sees to it that the topic is there, has one partition and is compacted.
pub async fn ensure(location: &Location) -> Result<(), StoreError> {
    let admin: AdminClient<DefaultClientContext> =
        millstream_pipeline::kafka::client(&location.kafka)
            .create()
            .map_err(|e| StoreError::Kafka(e.to_string()))?;
    match partitions(location).await? {
        0 => create(&admin, location).await,
        1 => compacted(&admin, &location.topic).await,
        count => Err(StoreError::Kafka(format!(
            "the topic {} has {count} partitions and must have one; move its records to a topic with one",
            location.topic
        ))),
    }
}

/// How many partitions the topic has; 0 when there is no such topic.
async fn partitions(location: &Location) -> Result<usize, StoreError> {
    let client = millstream_pipeline::kafka::client(&location.kafka);
    let topic = location.topic.clone();
    // librdkafka answers this one call only to a thread that waits.
    let found = tokio::task::spawn_blocking(move || {
        let consumer: rdkafka::consumer::BaseConsumer = client.create()?;
        use rdkafka::consumer::Consumer;
        let metadata = consumer.fetch_metadata(None, METADATA_LIMIT)?;
        let found = metadata.topics().iter().find(|t| t.name() == topic);
        Ok::<_, rdkafka::error::KafkaError>(found.map_or(0, |t| t.partitions().len()))
    });
    match found.await {
        Ok(Ok(count)) => Ok(count),
        Ok(Err(error)) => Err(StoreError::Timeout(error.to_string())),
        Err(error) => Err(StoreError::Kafka(error.to_string())),
    }
}

async fn create(
    admin: &AdminClient<DefaultClientContext>,
    location: &Location,
) -> Result<(), StoreError> {
    // -1: the brokers' default.
    let replication = location.replication.map_or(-1, i32::from);
    let topic = NewTopic::new(&location.topic, 1, TopicReplication::Fixed(replication))
        .set("cleanup.policy", "compact");
    let options = AdminOptions::new()
        .operation_timeout(Some(LIMIT))
        .request_timeout(Some(LIMIT));
    let results = admin.create_topics([&topic], &options).await;
    let results = results.map_err(|error| StoreError::Timeout(error.to_string()))?;
    match results.into_iter().next() {
        // Another registry may have been faster.
        Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((name, code))) => Err(StoreError::Kafka(format!(
            "topic {name} is not created: {code}"
        ))),
        None => Err(StoreError::Kafka(format!(
            "topic {} is not created",
            location.topic
        ))),
    }
}

async fn compacted(
    admin: &AdminClient<DefaultClientContext>,
    topic: &str,
) -> Result<(), StoreError> {
    let options = AdminOptions::new().request_timeout(Some(LIMIT));
    let described = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options)
        .await;
    let described = described.map_err(|error| StoreError::Timeout(error.to_string()))?;
    let policy = described
        .into_iter()
        .find_map(|resource| resource.ok()?.get("cleanup.policy")?.value.clone());
    match policy.as_deref() {
        Some("compact") => Ok(()),
        // Not allowed to ask: then it is the operator's business.
        None => Ok(()),
        Some(policy) => Err(StoreError::Kafka(format!(
            "the topic {topic} has cleanup.policy={policy} and would lose schemas; set it to compact"
        ))),
    }
}
