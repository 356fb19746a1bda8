//! The `millstream` command: reads its arguments, calls the library, prints what comes back.
//!
//! Data goes to standard output and everything else to standard error. Exit status: 0 when all is
//! well, 1 when something failed, 2 when the arguments are wrong.

mod commands;
mod demo;
mod endpoints;
mod logging;
mod output;
mod shutdown;
mod stack;
mod stand_ins;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;

/// Durable handlers fed from Kafka, answered on Kafka.
#[derive(Debug, Parser)]
#[command(name = "millstream", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    logging::init(command.log_filter());
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(command.run()));
    result.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}
