//! How every Kafka client of ours is set, and how those that live long are kept alive.

mod asker;
pub mod group;
pub mod offsets;
mod producer;
pub mod publisher;
pub mod reader;
mod standing;
pub mod transaction;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::record::EXPLAINED_MAX_BYTES;

pub use asker::Asker;
pub use producer::Producer;
pub use standing::{Position, Standing};
pub use watch::{Health, Watch};

/// Beginning of the variables that are settings.
const VARIABLES: &str = "MILLSTREAM_KAFKA_";
/// Variables of that form with another meaning.
const OTHER_VARIABLES: [&str; 2] = ["MILLSTREAM_KAFKA_CONFIG", "MILLSTREAM_KAFKA_FOR_RESTATE"];

/// Where tokens for OAUTHBEARER are had, and how.
const TOKEN_ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
const TOKEN_METHOD: &str = "sasl.oauthbearer.method";

/// How long brokers may take to say that they refuse a client.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// Of this process: it talks to one cluster.
static OPTIONS: OnceLock<Options> = OnceLock::new();

/// Whether a property's value must not be printed.
pub fn is_secret(property: &str) -> bool {
    [
        "password",
        "secret",
        "passphrase",
        "sasl.username",
        "jaas",
        "oauthbearer",
        "token",
        "ssl.key",
    ]
    .iter()
    .any(|part| property.contains(part))
}

/// Settings of librdkafka that an installation needs to reach its brokers: TLS and SASL.
/// `Debug` shows no secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("cannot read the Kafka settings {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no setting. It is not shown: it may be a part of a secret.
    #[error("{path}, line {line}: write NAME=VALUE, with the names of librdkafka")]
    Line {
        /// The file.
        path: String,
        /// Which line, from 1.
        line: usize,
    },
    /// The client library does not take a setting.
    #[error("the Kafka setting {name} is not taken: {reason}{}", hint())]
    Refused {
        /// Which.
        name: String,
        /// What the library said.
        reason: String,
    },
    /// Clients have other settings already.
    #[error("the Kafka settings of this process are set already")]
    Again,
}

impl Options {
    /// The settings of a properties file, if one is named, and then of the environment:
    /// `MILLSTREAM_KAFKA_SASL_PASSWORD` is `sasl.password`. What the environment says wins.
    pub fn read(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, OptionsError> {
        let mut options = match file {
            Some(file) => {
                let path = file.display().to_string();
                match std::fs::read_to_string(file) {
                    Ok(text) => parse(&text).map_err(|line| OptionsError::Line { path, line })?,
                    Err(source) => return Err(OptionsError::Read { path, source }),
                }
            }
            None => BTreeMap::new(),
        };
        for (name, value) in variables {
            let setting = name.strip_prefix(VARIABLES);
            if let Some(setting) = setting.filter(|_| !OTHER_VARIABLES.contains(&name.as_str())) {
                options.insert(setting.to_ascii_lowercase().replace('_', "."), value);
            }
        }
        if options.contains_key(TOKEN_ENDPOINT) {
            let method = options.entry(TOKEN_METHOD.to_owned());
            method.or_insert_with(|| "oidc".to_owned());
        }
        Ok(Self(options))
    }

    /// Gives these settings to every client that is made from now on, once for the process, if the
    /// client library takes them.
    pub fn set(self) -> Result<(), OptionsError> {
        self.check()?;
        OPTIONS.set(self).map_err(|_| OptionsError::Again)
    }
}

impl Options {
    fn check(&self) -> Result<(), OptionsError> {
        let mechanism = ["sasl.mechanism", "sasl.mechanisms"];
        for (name, value) in &self.0 {
            let mut config = ClientConfig::new();
            config.set(name, value);
            let mut reason = match config.create_native_config() {
                Ok(_) => None,
                Err(KafkaError::ClientConfig(_, reason, ..)) => Some(reason),
                Err(error) => Some(error.to_string()),
            };
            // Seen only by a whole client, which would begin to connect.
            if !cfg!(any(feature = "tls", feature = "tls-vendored"))
                && mechanism.contains(&name.as_str())
                && value != "PLAIN"
            {
                reason = Some(format!("there is no {value} without OpenSSL"));
            }
            if let Some(reason) = reason {
                let shown = !is_secret(name) || value.is_empty() || !reason.contains(value);
                return Err(OptionsError::Refused {
                    name: name.clone(),
                    reason: if shown { reason } else { "***".to_owned() },
                });
            }
        }
        Ok(())
    }
}

fn hint() -> &'static str {
    match cfg!(feature = "tls") {
        true => "",
        false => "; TLS and SASL are parts of a program that is built with `--features tls`",
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, value)| {
            let value = if is_secret(name) { "***" } else { value };
            (name, value)
        });
        formatter.debug_map().entries(shown).finish()
    }
}

/// Settings as Java's properties have them, without their escapes; else the number of a line.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '!']))
        .map(|(at, line)| match line.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(at + 1),
        })
        .collect()
}

/// A client of the cluster at `bootstrap` (`host:port[,host:port]`), with the settings that all
/// clients share, and those of the installation. Consumers and producers add their own.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "millstream")
        // A broker that comes back is found at once rather than after ten seconds.
        .set("reconnect.backoff.max.ms", "1000");
    for (name, value) in OPTIONS.get().iter().flat_map(|options| &options.0) {
        config.set(name, value);
    }
    config.set("bootstrap.servers", bootstrap);
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
        .set("message.max.bytes", EXPLAINED_MAX_BYTES.to_string())
}

/// Why the brokers refuse this process, if they do. `error` is what came of a call: it says no more
/// than that no broker answered. Blocks for some seconds.
pub fn refusal(bootstrap: &str, error: &KafkaError) -> Option<String> {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerTransportFailure, MessageTimedOut, OperationTimedOut,
    };
    OPTIONS.get().filter(|options| !options.0.is_empty())?;
    match error.rdkafka_error_code()? {
        AllBrokersDown | BrokerTransportFailure | MessageTimedOut | OperationTimedOut => {}
        _ => return None,
    }
    let heard = Heard::default();
    let consumer: BaseConsumer<Heard> = client(bootstrap)
        .set("group.id", "millstream-reader")
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create_with_context(heard)
        .ok()?;
    let started = Instant::now();
    while started.elapsed() < REFUSAL_LIMIT {
        // Errors are told to the context; no message comes to a consumer of no topic.
        let _ = consumer.poll(Duration::from_millis(100));
        let heard = &consumer.context().0;
        if let Some(reason) = heard.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Some(reason);
        }
    }
    None
}

/// The context of consumers that are told where partitions end: to the client library an end is an
/// error, and it would log each.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends;

impl ClientContext for Ends {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(%error, reason, "the Kafka client");
        }
    }
}

impl ConsumerContext for Ends {}

/// Hears what brokers and providers of tokens refuse.
#[derive(Default)]
struct Heard(Mutex<Option<String>>);

impl ClientContext for Heard {
    fn error(&self, error: KafkaError, reason: &str) {
        let advice = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication) => {
                "check the settings sasl.* of this client, and that the brokers know the user"
            }
            Some(RDKafkaErrorCode::SSL) => {
                "check that ssl.ca.location names the authority of the brokers' certificates"
            }
            _ => return,
        };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = Some(format!("{reason}; {advice}"));
    }
}

impl ConsumerContext for Heard {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_the_environment_are_joined_and_secrets_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("client.properties");
        let text = "# who we are\nsecurity.protocol = SASL_SSL\n\nsasl.username=u\n\
                    sasl.password=from=file\nssl.ca.location=/ca.pem\n";
        std::fs::write(&file, text).unwrap();
        let variables = [
            ("MILLSTREAM_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("MILLSTREAM_KAFKA_SSL_CA_LOCATION", "/other.pem"),
            ("MILLSTREAM_KAFKA_FOR_RESTATE", "kafka:9092"),
            ("MILLSTREAM_KAFKA", "kafka:9092"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = Options::read(Some(&file), variables.into_iter()).unwrap();
        let expected = [
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.password", "from=file"),
            ("sasl.username", "u"),
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.location", "/other.pem"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(options.0, BTreeMap::from(expected));
        let shown = format!("{options:?}");
        assert!(shown.contains("SASL_SSL") && shown.contains("***"));
        assert!(!shown.contains("from=file"), "{shown}");
    }

    #[test]
    fn a_wrong_line_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("client.properties");
        std::fs::write(&file, "# x\nsasl.password hunter2\n").unwrap();
        let error = Options::read(Some(&file), std::iter::empty()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("line 2") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[test]
    fn a_place_for_tokens_says_how_they_are_had() {
        let endpoint = "MILLSTREAM_KAFKA_SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL";
        let variables = [(
            endpoint.to_owned(),
            "https://login.example/token".to_owned(),
        )];
        let options = Options::read(None, variables.into_iter()).unwrap();
        assert_eq!(options.0.get(TOKEN_METHOD).unwrap(), "oidc");
    }

    #[test]
    fn a_setting_that_is_not_taken_is_named_and_a_secret_is_not_shown() {
        let refused = |name: &str, value: &str| {
            let options = Options(BTreeMap::from([(name.to_owned(), value.to_owned())]));
            options.check().unwrap_err().to_string()
        };
        let error = refused("security.protocol", "SASL_SLL");
        assert!(error.contains("security.protocol"), "{error}");
        let error = refused("sasl.pasword", "hunter2");
        assert!(
            error.contains("sasl.pasword") && !error.contains("hunter2"),
            "{error}"
        );
    }

    #[cfg(not(any(feature = "tls", feature = "tls-vendored")))]
    #[test]
    fn without_tls_the_way_to_get_it_is_said() {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
        ] {
            let options = Options(BTreeMap::from([(name.to_owned(), value.to_owned())]));
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains("--features tls"), "{error}");
        }
    }
}
