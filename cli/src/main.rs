//! The `millstream` command: reads its arguments, calls the library, prints what comes back.
//!
//! Data goes to standard output and everything else to standard error. Exit status: 0 when all is
//! well, 1 when something failed, 2 when the arguments are wrong.

mod commands;
mod demo;
mod endpoints;
mod identity;
mod logging;
mod output;
mod queues;
mod shutdown;
mod stack;
mod stand_ins;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use millstream_pipeline::{kafka, telemetry};

use commands::Command;

/// Handlers make and drop thousands of small things a second: with the system's allocator that was a
/// sixth of their CPU.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Durable handlers fed from Kafka, answered on Kafka.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, propagate_version = true)]
struct Arguments {
    /// Settings of the Kafka clients, such as TLS and SASL: a properties file with the names of
    /// librdkafka; MILLSTREAM_KAFKA_SASL_PASSWORD and so on win over it
    #[arg(
        long,
        global = true,
        env = "MILLSTREAM_KAFKA_CONFIG",
        value_name = "FILE"
    )]
    kafka_config: Option<OsString>,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Arguments {
        kafka_config,
        command,
    } = Arguments::parse();
    logging::init(command.log_filter());
    if let Some(service) = command.service_name()
        && let Err(error) = telemetry::start(service)
    {
        let error = anyhow::Error::from(error).context(
            "spans cannot be exported; correct or unset OTEL_EXPORTER_OTLP_ENDPOINT and the like",
        );
        output::error(&error);
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&error.into());
            return ExitCode::FAILURE;
        }
    };
    // An empty variable says that there is none.
    let file = kafka_config.filter(|file| !file.is_empty());
    let file = file.as_deref().map(Path::new);
    // A variable that is not text is none of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let options = kafka::Options::read(file, variables);
    if let Err(error) = options.and_then(kafka::Options::set) {
        output::error(&error.into());
        return ExitCode::FAILURE;
    }
    let result = runtime.block_on(command.run());
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    telemetry::stop();
    result.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}
