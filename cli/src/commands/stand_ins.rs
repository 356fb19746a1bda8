//! `millstream stand-ins`: stand-ins for systems outside, for the dev stack and tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use millstream_pipeline::gateway::WebhookSecrets;
use millstream_topics::{PaymentWebhooks, Topic};

use crate::endpoints::EndpointArgs;
use crate::stand_ins::Webhooks;
use crate::{shutdown, stand_ins};

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

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    let topic = PaymentWebhooks::DECLARATION;
    let secret = match arguments.webhook_secrets {
        None => None,
        Some(path) => WebhookSecrets::File(path).of(topic.name)?,
    };
    let gateway = arguments.gateway.or_else(|| endpoints.gateway.clone());
    let gateway = gateway.as_deref().unwrap_or("http://127.0.0.1:8088");
    let mut signed = topic.http.iter().filter(|route| route.signature.is_some());
    let route = signed.next().context("there is a route for webhooks")?;
    let webhooks = Webhooks {
        url: format!("{}{}", gateway.trim_end_matches('/'), route.path),
        secret,
    };
    stand_ins::serve(
        arguments.listen,
        endpoints,
        webhooks,
        shutdown::on_signal()?,
    )
    .await?;
    Ok(ExitCode::SUCCESS)
}
