//! `loadtest serve-ledger`: one replica of the ledger's handlers, to be killed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use millstream_devstack::dev_stack_is_gone;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::identity::KeyError;
use millstream_pipeline::lane::crashes::CrashGuard;
use millstream_pipeline::serve::Handlers;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline};
use restate_sdk::endpoint::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::careless::Careless;
use super::catalogue::TOPICS;
use super::repeats;
use super::service::{LEDGER, Ledger, LedgerExtra, LedgerForeign, LedgerStuck, ledger_batch};
use crate::bench::compare::service::Counter;

const FLUSH_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Kafka's bootstrap servers
    #[arg(long)]
    kafka: String,
    /// URL of the schema registry
    #[arg(long)]
    schema_registry: String,
    /// Address that Restate calls
    #[arg(long)]
    listen: SocketAddr,
    /// Public key that Restate signs its requests with
    #[arg(long)]
    identity_key: Vec<String>,
    /// How long the ledger takes over an entry before it publishes
    #[arg(long, default_value_t = 0)]
    think_ms: u64,
    /// Offers one service more, as a second version
    #[arg(long)]
    second_version: bool,
    /// Writes the state without awaiting the result's acknowledgement
    #[arg(long)]
    careless: bool,
    /// Leaves some entries of the batch ledger unanswered
    #[arg(long)]
    omits: bool,
    /// Publishes some results of the batch ledger again, and some that are published once, outside of
    /// their transactions
    #[arg(long)]
    repeats: bool,
    /// Folder for notes of attempts that end the process; without, none are kept
    #[arg(long, value_name = "FOLDER")]
    crash_marks: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints {
        kafka: arguments.kafka,
        schema_registry: arguments.schema_registry,
        ..Endpoints::default()
    };
    let pipeline = Pipeline::new(&endpoints, TOPICS, DEFAULT_PREFIX)?;
    let mut builder = pipeline
        .endpoint()
        .bind(LedgerStuck::new(&pipeline))
        .bind(LedgerForeign::new(&pipeline))
        .bind(ledger_batch(&pipeline, arguments.omits))
        // Declared beside the ledgers, so it is served beside them.
        .bind(Counter::new(&pipeline, 0));
    builder = match arguments.careless {
        true => {
            // Its results are published once as if they were the careful one's.
            pipeline.service(LEDGER);
            builder.bind(Careless::new(&endpoints.kafka, &endpoints.schema_registry)?)
        }
        false => {
            let think = Duration::from_millis(arguments.think_ms);
            builder.bind(Ledger::new(&pipeline, think))
        }
    };
    if arguments.second_version {
        builder = builder.bind(LedgerExtra);
    }
    let looking_up = pipeline.clone();
    tokio::spawn(async move { looking_up.look_up_schemas().await });
    if arguments.repeats {
        tokio::spawn(repeats::results(endpoints));
    }
    let stop = shutdown()?;
    let handlers = handlers(&pipeline, builder, &arguments.identity_key)?;
    // Without a folder for the marks it serves all the same, as `millstream serve` does.
    let marks = arguments.crash_marks.as_deref();
    let guard = marks.and_then(|folder| CrashGuard::open(folder, &pipeline).ok());
    let handlers = handlers.guarded_by(guard);
    handlers.serve(arguments.listen, stop.cancelled()).await?;
    pipeline.flush(FLUSH_LIMIT).await?;
    Ok(ExitCode::SUCCESS)
}

/// Handlers that take what these keys have signed. The Restate servers of some scenarios sign nothing:
/// without a key they take any request, on a machine where nobody else is.
pub fn handlers(
    pipeline: &Pipeline,
    services: Builder,
    keys: &[String],
) -> Result<Handlers, KeyError> {
    match keys {
        [] => Ok(Handlers::unsigned(pipeline, services)),
        keys => Handlers::signed_by(pipeline, services, keys),
    }
}

/// Cancelled at SIGTERM, SIGINT and when the suite that started this process is gone.
pub fn shutdown() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => stop.cancel(),
            _ = terminate.recv() => stop.cancel(),
            // Nobody is left to wait for a clean end.
            () = dev_stack_is_gone() => std::process::exit(0),
        }
    });
    Ok(token)
}
