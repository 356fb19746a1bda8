//! How every Kafka client of ours is set.

use rdkafka::ClientConfig;

use crate::declarations::EXPLAINED_MAX_BYTES;

/// A client of the cluster at `bootstrap` (`host:port[,host:port]`), with the settings that all
/// clients share. Consumers and producers add their own.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("client.id", "millstream")
        // A broker that comes back is found at once rather than after ten seconds.
        .set("reconnect.backoff.max.ms", "1000");
    config
}

/// Settings that every producer of ours adds to those of a client.
pub fn producer(config: &mut ClientConfig) -> &mut ClientConfig {
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // Java's default; librdkafka's own would send a key to another partition.
        .set("partitioner", "murmur2_random")
        // A dead letter is larger than the record it tells of. Each topic's own limit is the
        // broker's to say.
        .set("message.max.bytes", EXPLAINED_MAX_BYTES)
}
