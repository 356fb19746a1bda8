//! `balance`: one address for the replicas of the handlers in a dev stack's cluster.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;

use crate::shutdown;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Addresses of the replicas
    #[arg(required = true)]
    replicas: Vec<SocketAddr>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let balance = millstream_devstack::balance(arguments.listen, arguments.replicas);
    if let Some(result) = stop.run_until_cancelled(balance).await {
        result.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    }
    Ok(ExitCode::SUCCESS)
}
