//! The `loadtest` command: measures what the pipeline costs and proves what it guarantees.
//!
//! Figures go to standard output, progress to standard error.

// What the SDK's macros and the generated catalogue add is not documented.
#![allow(missing_docs)]

mod bench;
mod chaos;
mod load;
mod plot;
mod probe;
mod random;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// As `millstream` has it: what serves handlers here is measured in its place.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the pipeline, and tries it under faults.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a workload's events at its rates, check the results and report
    Run(load::Arguments),
    /// Search the highest rate at which the backlog of a workload stays bounded
    FindMax(load::FindMaxArguments),
    /// The same job done by this project, Restate's SDKs, Kafka Streams and plain Rust
    Compare(bench::compare::Arguments),
    /// Kill, pause and cut off parts under load, and check that nothing is lost, doubled or swapped
    Faults(chaos::faults::Arguments),
    /// What the gateway adds to a request, how many it takes, and what waiting ones cost
    Gateway(bench::gateway::Arguments),
    /// How long `follow` takes to find a request among many records
    Follow(bench::follow::Arguments),
    /// Trips per second, each a saga of five requests between services
    Sagas(bench::sagas::Arguments),
    /// How late timers fire, and what many pending ones cost
    Timers(bench::timers::Arguments),
    /// Decode random and mutated records; none may make the codec panic
    Fuzz(chaos::fuzz::Arguments),
    /// Serve the ledger that the fault suite drives
    #[command(hide = true)]
    ServeLedger(chaos::ledger::serve::Arguments),
    /// Serve the catalogue, for the fault suite
    #[command(hide = true)]
    ServeCatalogue(serve::catalogue::Arguments),
    /// Serve the ledger's topics over HTTP, for the fault suite
    #[command(hide = true)]
    ServeGateway(serve::gateway::Arguments),
    /// Serve the counter that `compare` measures
    #[command(hide = true)]
    ServeCounter(bench::compare::service::Arguments),
    /// Count in plain Rust, for `compare`
    #[command(hide = true)]
    PeerPlain(bench::compare::plain::Arguments),
    /// Serve the built-in schema registry, for the fault suite
    #[command(hide = true)]
    Registry(serve::registry::Arguments),
    /// Run a guard relay for the ledger behind it
    #[command(hide = true)]
    Guard(serve::guard::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Arguments::parse().command;
    let filter = match &command {
        Command::ServeLedger(_)
        | Command::ServeCatalogue(_)
        | Command::ServeGateway(_)
        | Command::ServeCounter(_)
        | Command::PeerPlain(_)
        | Command::Registry(_)
        | Command::Guard(_) => "warn",
        _ => "warn,rdkafka=off,librdkafka=off",
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(filter)),
        )
        .with_writer(millstream_pipeline::observe::log_lines::stderr)
        .log_internal_errors(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(execute(command));
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => load::run(arguments).await,
        Command::FindMax(arguments) => load::find_max(arguments).await,
        Command::Gateway(arguments) => bench::gateway::run(arguments)
            .await
            .map(|()| ExitCode::SUCCESS),
        Command::Follow(arguments) => bench::follow::run(arguments)
            .await
            .map(|()| ExitCode::SUCCESS),
        Command::Compare(arguments) => until_asked(bench::compare::run(arguments)).await,
        Command::ServeCounter(arguments) => bench::compare::service::run(arguments).await,
        Command::PeerPlain(arguments) => bench::compare::plain::run(arguments).await,
        Command::Sagas(arguments) => bench::sagas::run(arguments)
            .await
            .map(|()| ExitCode::SUCCESS),
        Command::Faults(arguments) => until_asked(chaos::faults::run(arguments)).await,
        Command::Timers(arguments) => bench::timers::run(arguments)
            .await
            .map(|()| ExitCode::SUCCESS),
        Command::Fuzz(arguments) => chaos::fuzz::run(&arguments),
        Command::ServeLedger(arguments) => chaos::ledger::serve::run(arguments).await,
        Command::ServeCatalogue(arguments) => serve::catalogue::run(arguments).await,
        Command::ServeGateway(arguments) => serve::gateway::run(arguments).await,
        Command::Registry(arguments) => serve::registry::run(arguments).await,
        Command::Guard(arguments) => serve::guard::run(arguments).await,
    }
}

/// Ends early at SIGINT and SIGTERM, so that a stack that was started goes as well.
async fn until_asked(
    run: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    let asked = chaos::ledger::serve::shutdown()?;
    tokio::select! {
        result = run => result,
        () = asked.cancelled() => anyhow::bail!("asked to end before everything was played"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// Clap checks the arguments of a command when it is used, and of debug builds alone.
    #[test]
    fn the_arguments_of_all_commands_are_sound() {
        super::Arguments::command().debug_assert();
    }
}
