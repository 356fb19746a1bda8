//! `serve`: the handlers, for Restate to call.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use millstream_pipeline::identity::{Proofs, TrustedKeys};
use millstream_pipeline::lane::crashes::CrashGuard;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::{program, serve};

use crate::application::{About, Handlers};
use crate::settings::HEADING;
use crate::{identity, output, shutdown};
use millstream_control::EndpointArgs;

/// How long the producer may take to hand over what is left when the process stops.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments<S: Args> {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// Address that Restate calls
    #[arg(
        long,
        default_value = "0.0.0.0:9080",
        env = "MILLSTREAM_LISTEN",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Address of /metrics and /health
    #[arg(
        long,
        default_value = "0.0.0.0:9464",
        env = "MILLSTREAM_METRICS_LISTEN",
        value_name = "ADDRESS"
    )]
    metrics: SocketAddr,
    /// Public key that Restate signs its requests with, or a file of such keys; several, separated
    /// by commas, while it is being replaced (default: the running dev stack's)
    #[arg(
        long = "identity-key",
        env = "MILLSTREAM_IDENTITY_KEYS",
        value_delimiter = ',',
        value_name = "KEY|FILE"
    )]
    identity_keys: Vec<String>,
    /// Private key that signs what is emitted on somebody's behalf
    #[arg(long, env = "MILLSTREAM_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Public key of a gateway or of handlers whose word about who sent an event counts, or a file
    /// of such keys; several, separated by commas
    #[arg(
        long = "trusted-key",
        env = "MILLSTREAM_TRUSTED_KEYS",
        value_delimiter = ',',
        value_name = "KEY|FILE"
    )]
    trusted_keys: Vec<String>,
    /// Take requests that nobody signed, and as --anonymous: for development alone
    #[arg(long, env = "MILLSTREAM_INSECURE_DEV")]
    insecure_dev: bool,
    /// Folder of the marks that tell which event ended the process, several times: it should outlive
    /// the process; processes may share it
    #[arg(
        long,
        default_value_os_t = std::env::temp_dir().join("millstream-crash-marks"),
        env = "MILLSTREAM_CRASH_MARKS",
        value_name = "FOLDER"
    )]
    crash_marks: PathBuf,
    /// Let events that nobody is proven to have sent do what only the owner of their key may: for
    /// development alone
    #[arg(long, env = "MILLSTREAM_ANONYMOUS")]
    anonymous: bool,
    /// Prefix of the consumer groups, as in `apply`
    #[arg(long, default_value = program::name(), value_name = "NAME")]
    prefix: String,
    #[command(flatten, next_help_heading = HEADING)]
    settings: S,
}

/// Without its folder the handlers run all the same: only what ends the process would do so for ever.
fn crash_guard(folder: &Path, pipeline: &Pipeline) -> Option<Arc<CrashGuard>> {
    match CrashGuard::open(folder, pipeline) {
        Ok(guard) => Some(guard),
        Err(error) => {
            tracing::warn!(
                %error,
                folder = %folder.display(),
                "marks of crashes cannot be kept: a record that ends the process will do so for ever; \
                 name a folder that can be written with --crash-marks"
            );
            None
        }
    }
}

pub async fn run<S: Args>(
    arguments: Arguments<S>,
    about: &About,
    handlers: Option<Handlers<S>>,
) -> anyhow::Result<ExitCode> {
    let bind = handlers.context("this application has no handlers (Application::handlers)")?;
    let endpoints = arguments.endpoints.resolve()?;
    let mut identity_keys = identity::public_keys(&arguments.identity_keys)?;
    if identity_keys.is_empty() {
        identity_keys.extend(endpoints.identity_key.clone());
    }
    anyhow::ensure!(
        arguments.insecure_dev || !identity_keys.is_empty(),
        "anybody who reaches the handlers could call them: name the public key that Restate signs \
         its requests with (--identity-key), or take any request with --insecure-dev"
    );
    let trusted_keys = identity::public_keys(&arguments.trusted_keys)?;
    let proofs = Proofs {
        signer: identity::signer(arguments.signing_key.as_deref())?,
        trusted: TrustedKeys::parse(&trusted_keys)?,
        anonymous: arguments.anonymous || arguments.insecure_dev,
    };
    let pipeline = Pipeline::with_proofs(&endpoints, about.topics, &arguments.prefix, proofs)?;
    let services = bind(&pipeline, &arguments.settings)?;
    let handlers = match &identity_keys[..] {
        // Asked for above.
        [] => serve::Handlers::unsigned(&pipeline, services),
        keys => serve::Handlers::signed_by(&pipeline, services, keys)?,
    };
    let handlers = handlers.guarded_by(crash_guard(&arguments.crash_marks, &pipeline));
    let shutdown = shutdown::on_signal()?;
    let metrics = serve::metrics_server(arguments.metrics, shutdown.clone()).await?;
    let metrics = tokio::spawn(metrics);
    let looking_up = pipeline.clone();
    tokio::spawn(async move { looking_up.look_up_schemas().await });
    output::say(format!(
        "handlers on {}, metrics on http://{}/metrics",
        arguments.listen, arguments.metrics
    ));
    handlers
        .serve(arguments.listen, shutdown.cancelled())
        .await?;
    pipeline
        .flush(FLUSH_LIMIT)
        .await
        .context("the last records were not acknowledged")?;
    metrics.await??;
    Ok(ExitCode::SUCCESS)
}
