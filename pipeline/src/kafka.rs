//! How every Kafka client of ours is set.

use rdkafka::ClientConfig;

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
