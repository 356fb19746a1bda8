//! `stand-ins`: stand-ins for systems outside, for the dev stack and tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use millstream_gateway::WebhookSecrets;

use crate::application::About;
use crate::shutdown;
use crate::stand_ins::Place;
use millstream_control::EndpointArgs;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9480", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The gateway, where webhooks are delivered [default: the running dev stack's, else
    /// http://127.0.0.1:8088]
    #[arg(long, env = "MILLSTREAM_GATEWAY", value_name = "URL")]
    gateway: Option<String>,
    /// What webhooks are signed with, the same as the gateway's; without it they are not signed
    #[arg(long, env = "MILLSTREAM_WEBHOOK_SECRETS_FILE", value_name = "FILE")]
    webhook_secrets: Option<PathBuf>,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let stand_ins = about.stand_ins;
    let stand_ins =
        stand_ins.context("this application has no stand-ins (Application::stand_ins)")?;
    let mut endpoints = arguments.endpoints.resolve()?;
    endpoints.gateway = arguments
        .gateway
        .or(endpoints.gateway)
        .or_else(|| Some("http://127.0.0.1:8088".to_owned()));
    let place = Place {
        listen: arguments.listen,
        endpoints,
        webhook_secrets: match arguments.webhook_secrets {
            Some(path) => WebhookSecrets::File(path),
            None => WebhookSecrets::None,
        },
        stop: shutdown::on_signal()?,
    };
    (stand_ins.serve)(place).await?;
    Ok(ExitCode::SUCCESS)
}
