//! Brings topics, schemas, the Kafka cluster, the deployment and subscriptions to what is declared.
