//! Greets people who are named by events: a service of its own, beside a running `millstream dev`.

mod greeter;
#[cfg(test)]
mod on_containers;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use greeter::Greeter;
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};
use millstream_pipeline::declarations::{Settings, apply, plan};
use millstream_pipeline::serve;
use millstream_pipeline::service::Pipeline;
use restate_sdk::prelude::Endpoint;

// The modules and types that build.rs makes of schemas/ and topics/.
include!(concat!(env!("OUT_DIR"), "/millstream.rs"));

/// Arguments: the folder of the dev stack, and the address that Restate is to call.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or(DEV_FOLDER.into()));
    let address: SocketAddr = arguments
        .next()
        .as_deref()
        .unwrap_or("127.0.0.1:9081")
        .parse()?;
    let endpoints = Endpoints::read(&folder)?.context("start `millstream dev` first")?;

    let pipeline = Pipeline::new(&endpoints, TOPICS, "acme")?;
    let handlers = Endpoint::builder().bind(Greeter::new(&pipeline));
    let handlers = serve::signed_by(handlers, endpoints.identity_key.as_slice())?.build();
    let stop = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    tokio::try_join!(
        async { Ok(serve::handlers(handlers, address, stop).await?) },
        declare(&endpoints, format!("http://{address}")),
    )?;
    Ok(())
}

/// Makes the topics, schemas and subscriptions what the files say.
async fn declare(endpoints: &Endpoints, handlers: String) -> anyhow::Result<()> {
    let settings = Settings {
        prefix: "acme".into(),
        handlers: Some(handlers),
        ..Settings::default()
    };
    let plan = plan(TOPICS, endpoints, &settings).await?;
    apply(&plan, endpoints, |change| println!("{change}")).await?;
    println!("ready");
    Ok(())
}
