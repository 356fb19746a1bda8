//! Kafka, Restate and Postgres in containers, for tests of handlers that run in the test's process.
//!
//! ```no_run
//! # use millstream_containers::Stack;
//! # use millstream_pipeline::service::Pipeline;
//! # async fn test(topics: &'static [&'static millstream_pipeline::events::Declaration]) -> Result<(), Box<dyn std::error::Error>> {
//! let Some(mut stack) = Stack::start_or_skip("the test of my handlers").await? else {
//!     return Ok(()); // no Docker here
//! };
//! let pipeline = Pipeline::new(stack.endpoints(), topics, "acme")?;
//! let handlers = pipeline.endpoint(); // .bind(MyService::new(&pipeline))
//! stack.serve(&pipeline, handlers).await?;
//! // Send events with `millstream_pipeline::client::Client` and look at their results.
//! # Ok(())
//! # }
//! ```
//!
//! The schema registry is the built-in one, in this process. The stack ends when it is dropped, which
//! must happen in a Tokio runtime. [`Images`] says which images are run.

mod images;
mod parts;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use millstream_control::Settings;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Declaration;
use millstream_pipeline::identity::{KeyError, SigningKey};
use millstream_pipeline::serve::Handlers;
use millstream_pipeline::service::Pipeline;
use millstream_registry::RegistryConfig;
use restate_sdk::endpoint::Builder;
use testcontainers::TestcontainersError;
use testcontainers::core::client::{ClientError, docker_client_instance};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use millstream_devstack::Images;

/// If it is set, [`Stack::start_or_skip`] skips nothing: for machines that must have Docker.
pub const REQUIRED: &str = "MILLSTREAM_REQUIRE_DOCKER";

/// How long the registry may take to read its topic.
const REGISTRY_LIMIT: Duration = Duration::from_secs(60);

/// Why there is no stack, or why it does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Docker does not answer, or an image is not here and cannot be pulled.
    #[error("{0}")]
    Unavailable(String),
    /// A container did not start.
    #[error(transparent)]
    Container(#[from] TestcontainersError),
    /// The schema registry did not start.
    #[error(transparent)]
    Registry(#[from] millstream_registry::RegistryError),
    /// The key for Restate's requests could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The declarations could not be applied.
    #[error(transparent)]
    Declarations(#[from] millstream_control::Error),
    /// The declarations must not be applied.
    #[error("{0}")]
    Refused(String),
    /// No port is free.
    #[error("cannot listen on a port of this machine: {0}")]
    Listen(#[from] std::io::Error),
}

/// The containers, the registry and the handlers. Dropping it stops all of them.
#[derive(Debug)]
pub struct Stack {
    endpoints: Endpoints,
    kafka_for_restate: String,
    identity_key: String,
    stop: CancellationToken,
    // In this order: who needs another ends before it.
    _stop_on_drop: DropGuard,
    _restate: parts::Container,
    _postgres: parts::Container,
    _kafka: parts::Container,
}

impl Stack {
    /// Starts the images that [`Images::from_env`] names.
    pub async fn start() -> Result<Self, Error> {
        Self::start_images(&Images::from_env()).await
    }

    /// As [`Self::start`]; without Docker, or without the images, it says on standard error that
    /// `what` did not run and why, and there is no stack.
    pub async fn start_or_skip(what: &str) -> Result<Option<Self>, Error> {
        match Self::start().await {
            Ok(stack) => Ok(Some(stack)),
            Err(Error::Unavailable(reason)) if std::env::var_os(REQUIRED).is_none() => {
                // Not with `eprintln`, whose output the test harness keeps for itself.
                let _ = writeln!(std::io::stderr(), "NOT RUN: {what}: {reason}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts these images; comes back when all parts answer.
    pub async fn start_images(images: &Images) -> Result<Self, Error> {
        docker_answers().await?;
        let id = uuid::Uuid::now_v7().simple().to_string();
        let network = format!("millstream-{}", &id[id.len() - 12..]);
        let folder = tempfile::tempdir()?;
        let key_file = folder.path().join("restate.pem");
        let identity_key = SigningKey::create(&key_file)?.public().to_string();
        let private_key = std::fs::read(&key_file)?;
        // Kafka makes the network, which two at once would make twice.
        let (kafka, bootstrap, kafka_for_restate) =
            parts::kafka(&images.kafka, &network).await.map_err(sort)?;
        let ((restate, ingress, admin), (postgres, url)) = tokio::try_join!(
            parts::restate(&images.restate, &network, private_key),
            parts::postgres(&images.postgres, &network)
        )
        .map_err(sort)?;
        let stop = CancellationToken::new();
        let stop_on_drop = stop.clone().drop_guard();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = RegistryConfig::new(&bootstrap, anywhere);
        let registry = millstream_registry::start(config, stop.clone()).await?;
        let schema_registry = format!("http://{}", registry.address);
        registry_is_ready(&schema_registry).await?;
        let endpoints = Endpoints {
            kafka: bootstrap,
            schema_registry,
            restate_ingress: ingress,
            restate_admin: admin,
            identity_key: Some(identity_key.clone()),
            postgres: Some(url),
            ..Endpoints::default()
        };
        Ok(Self {
            endpoints,
            kafka_for_restate,
            identity_key,
            stop,
            _stop_on_drop: stop_on_drop,
            _restate: restate,
            _postgres: postgres,
            _kafka: kafka,
        })
    }

    /// Where everything is.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// How these declarations are applied to this stack with handlers at `handlers`.
    fn settings(&self, prefix: &str, handlers: Option<String>) -> Settings {
        Settings {
            prefix: prefix.to_owned(),
            kafka_for_restate: Some(self.kafka_for_restate.clone()),
            handlers,
            ..Settings::default()
        }
    }

    /// What differs between the stack and these declarations, in sentences; nothing after
    /// [`Self::serve`].
    pub async fn differences(
        &self,
        topics: &[&'static Declaration],
        prefix: &str,
    ) -> Result<Vec<String>, Error> {
        let plan =
            millstream_control::plan(topics, &self.endpoints, &self.settings(prefix, None)).await?;
        Ok(plan.changes.iter().map(ToString::to_string).collect())
    }

    /// Serves handlers to Restate, in this process until the stack ends, and applies the
    /// pipeline's declarations: topics, schemas, the deployment, subscriptions. Call it once for each
    /// project.
    pub async fn serve(&self, pipeline: &Pipeline, handlers: Builder) -> Result<(), Error> {
        // Restate comes from the containers' network, so all addresses are listened on; only what
        // it signed is taken.
        let keys = std::slice::from_ref(&self.identity_key);
        let handlers = Handlers::signed_by(pipeline, handlers, keys)?;
        let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?
            .local_addr()?
            .port();
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let stop = self.stop.clone().cancelled_owned();
        let serving = tokio::spawn(handlers.serve(address, stop));
        while tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
        {
            if serving.is_finished() {
                let ended = serving.await.map_err(std::io::Error::other)?;
                let why = ended.err().map(|error| error.to_string());
                return Err(Error::Refused(
                    why.unwrap_or_else(|| "the stack was stopped".into()),
                ));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let url = format!("http://{}:{port}", parts::THIS_MACHINE);
        let settings = self.settings(pipeline.prefix(), Some(url));
        let topics = pipeline.topics();
        let plan = millstream_control::plan(&topics, &self.endpoints, &settings).await?;
        if let Some(refusal) = plan.refusals().next() {
            return Err(Error::Refused(refusal.to_string()));
        }
        Ok(millstream_control::apply(&plan, &self.endpoints, |_| {}).await?)
    }
}

/// Whether there is a Docker, told before anything is started.
async fn docker_answers() -> Result<(), Error> {
    let docker = docker_client_instance().await;
    let unavailable = |reason| Error::Unavailable(format!("Docker does not answer ({reason})"));
    let docker = docker.map_err(|error| unavailable(error.to_string()))?;
    match docker.ping().await {
        Ok(_) => Ok(()),
        Err(error) => Err(unavailable(error.to_string())),
    }
}

/// Waits until the registry has read its topic.
async fn registry_is_ready(url: &str) -> Result<(), Error> {
    let client = millstream_pipeline::http::builder().no_proxy().build();
    let client = client.map_err(std::io::Error::other)?;
    let started = Instant::now();
    loop {
        let answer = client.get(format!("{url}/subjects")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        if started.elapsed() > REGISTRY_LIMIT {
            let reason = "the schema registry does not read its topic; does Kafka work?";
            return Err(Error::Refused(reason.into()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An image that cannot be had is no fault of what is tested.
fn sort(error: TestcontainersError) -> Error {
    match error {
        TestcontainersError::Client(error @ ClientError::PullImage { .. }) => {
            Error::Unavailable(error.to_string())
        }
        other => Error::Container(other),
    }
}
