//! Which images Kafka, Restate and Postgres are run from, where they run in containers.

use super::versions;

/// Names and tags of the images, as for `docker run`. The same variables set them here and in
/// docker-compose.yml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Kafka; `MILLSTREAM_KAFKA_IMAGE`.
    pub kafka: String,
    /// Restate's server; `MILLSTREAM_RESTATE_IMAGE`.
    pub restate: String,
    /// Postgres; `MILLSTREAM_POSTGRES_IMAGE`.
    pub postgres: String,
}

impl Default for Images {
    /// The public images, in the versions that the dev stack runs.
    fn default() -> Self {
        // Maven's number of Postgres has a third part.
        let postgres = versions::POSTGRES.trim_end_matches(".0");
        Self {
            kafka: format!("apache/kafka:{}", versions::KAFKA),
            restate: format!(
                "docker.restate.dev/restatedev/restate:{}",
                versions::RESTATE
            ),
            postgres: format!("postgres:{postgres}"),
        }
    }
}

impl Images {
    /// Those that the variables name, else the public ones.
    pub fn from_env() -> Self {
        let named = |variable: &str, usual: String| match std::env::var(variable) {
            Ok(image) if !image.is_empty() => image,
            _ => usual,
        };
        let usual = Self::default();
        Self {
            kafka: named("MILLSTREAM_KAFKA_IMAGE", usual.kafka),
            restate: named("MILLSTREAM_RESTATE_IMAGE", usual.restate),
            postgres: named("MILLSTREAM_POSTGRES_IMAGE", usual.postgres),
        }
    }
}
