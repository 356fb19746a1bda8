//! Whether a part answers. Asked again and again until it does, until it ends, or until the limit.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use super::error::DevStackError;
use super::own::{address, url};
use super::ports::Ports;
use super::process::Process;
use super::{Part, own, postgres};

/// How long a part may take to answer. Generous: Kafka may have to go through its logs after a crash.
const LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until the part answers.
pub async fn wait(part: Part, process: &Process, nodes: &[Ports]) -> Result<(), DevStackError> {
    let probe = Probe::new(part, nodes)?;
    let begun = Instant::now();
    loop {
        if let Some(status) = process.status() {
            return Err(DevStackError::Ended {
                part: part.name(),
                status: status.to_string(),
                log: process.log().to_owned(),
                tail: process.tail(),
            });
        }
        if probe.answers().await? {
            return Ok(());
        }
        if begun.elapsed() > LIMIT {
            return Err(DevStackError::NotReady {
                part: part.name(),
                seconds: LIMIT.as_secs(),
                log: process.log().to_owned(),
                tail: process.tail(),
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

enum Probe {
    /// Kafka gives metadata.
    Metadata(String),
    /// All of these answer 200.
    Http(reqwest::Client, Vec<String>),
    /// Postgres lets a client in.
    LetsIn(String),
    /// All of these accept connections.
    Accepts(Vec<String>),
}

impl Probe {
    fn new(part: Part, nodes: &[Ports]) -> Result<Self, DevStackError> {
        let ports = &nodes[part.node()];
        let http = |urls| {
            // A proxy for the internet has no business with this machine's own ports.
            millstream_pipeline::http::builder()
                .no_proxy()
                .timeout(Duration::from_secs(2))
                .build()
                .map(|client| Self::Http(client, urls))
                .map_err(|error| DevStackError::Client {
                    part: part.name(),
                    reason: error.to_string(),
                })
        };
        match part {
            Part::Kafka | Part::Kafka2 | Part::Kafka3 => Ok(Self::Metadata(address(ports.kafka))),
            Part::Restate | Part::Restate2 | Part::Restate3 => http(vec![
                format!("{}/health", url(ports.restate_admin)),
                format!("{}/restate/health", url(ports.restate_ingress)),
            ]),
            Part::Postgres => Ok(Self::LetsIn(address(ports.postgres))),
            Part::Registry => http(vec![format!("{}/subjects", url(ports.registry))]),
            Part::StandIns => http(vec![format!("{}/health", url(ports.stand_ins))]),
            Part::Console => http(vec![format!("{}/health", url(ports.console))]),
            Part::Guard => http(vec![format!("{}/health", url(ports.guard_metrics))]),
            Part::Gateway | Part::Gateway2 => {
                http(vec![format!("{}/health", url(ports.gateway_metrics))])
            }
            Part::Balancer => Ok(Self::Accepts(vec![address(own::balanced(nodes))])),
            Part::Handlers | Part::Handlers2 => Ok(Self::Accepts(vec![
                address(ports.handlers),
                address(ports.metrics),
            ])),
        }
    }

    async fn answers(&self) -> Result<bool, DevStackError> {
        match self {
            Self::Metadata(bootstrap) => Ok(accepts(bootstrap).await && metadata(bootstrap).await?),
            Self::Http(client, urls) => {
                for url in urls {
                    let answer = client.get(url).send().await;
                    if !answer.is_ok_and(|answer| answer.status().is_success()) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::LetsIn(address) => Ok(postgres::lets_in(address).await),
            Self::Accepts(addresses) => {
                for address in addresses {
                    if !accepts(address).await {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

async fn accepts(address: &str) -> bool {
    tokio::net::TcpStream::connect(address).await.is_ok()
}

/// Whether Kafka tells of a broker, which it does once it serves clients.
async fn metadata(bootstrap: &str) -> Result<bool, DevStackError> {
    let mut config = millstream_pipeline::kafka::client(bootstrap);
    config.set_log_level(RDKafkaLogLevel::Emerg);
    tokio::task::spawn_blocking(move || {
        let client: BaseConsumer<Quiet> =
            config
                .create_with_context(Quiet)
                .map_err(|error| DevStackError::Client {
                    part: Part::Kafka.name(),
                    reason: error.to_string(),
                })?;
        let metadata = client.fetch_metadata(None, Duration::from_secs(2));
        Ok(metadata.is_ok_and(|metadata| !metadata.brokers().is_empty()))
    })
    .await?
}

/// A broker that is not up yet is no news.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}
