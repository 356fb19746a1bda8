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
    let result = runtime.block_on(command.run());
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    result.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}
