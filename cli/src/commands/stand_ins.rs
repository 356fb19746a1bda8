//! `millstream stand-ins`: stand-ins for systems outside, for the dev stack and tests.

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::endpoints::EndpointArgs;
use crate::{shutdown, stand_ins};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9480", value_name = "ADDRESS")]
    listen: SocketAddr,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    stand_ins::serve(arguments.listen, endpoints, shutdown::on_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}
