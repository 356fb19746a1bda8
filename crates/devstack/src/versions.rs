//! The versions of everything the dev stack gets, and where it comes from. Nowhere else.

/// Kafka, from Maven Central.
pub const KAFKA: &str = "4.1.1";
/// The Scala version that Kafka's main jar is built with.
pub const KAFKA_SCALA: &str = "2.13";
/// Kafka logs through it; the version that Kafka's own release ships.
pub const LOG4J: &str = "2.24.3";
/// Restate's server, from npm.
pub const RESTATE: &str = "1.7.12";
/// Postgres, from Maven Central.
pub const POSTGRES: &str = "17.5.0";
/// The oldest Java that runs Kafka's broker.
pub const JAVA: u32 = 17;
/// The Maven plugin that copies jars.
pub const MAVEN_DEPENDENCY_PLUGIN: &str = "3.8.1";

/// Maven coordinates of Kafka.
pub fn kafka_coordinates() -> Vec<String> {
    vec![
        format!("org.apache.kafka:kafka_{KAFKA_SCALA}:{KAFKA}"),
        format!("org.apache.kafka:kafka-tools:{KAFKA}"),
        format!("org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}"),
    ]
}

/// The Maven coordinate of Postgres for this kind of machine, where there is one.
pub fn postgres_coordinate() -> Option<String> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        "linux" => "linux",
        _ => return None,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64v8",
        _ => return None,
    };
    Some(format!(
        "io.zonky.test.postgres:embedded-postgres-binaries-{system}-{machine}:{POSTGRES}"
    ))
}

/// The npm package of Restate's server.
pub const RESTATE_PACKAGE: &str = "@restatedev/restate-server";
