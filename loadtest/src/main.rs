//! The `loadtest` command: measures a running installation.
//!
//! Figures go to standard output, progress to standard error.

mod core;

use clap::{Parser, Subcommand};

/// Measures a running stack (`millstream dev`).
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Events per second of product-reservations against a virtual object that does nothing
    Core(core::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Core(arguments) => core::run(arguments).await,
    }
}
