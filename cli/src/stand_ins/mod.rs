//! Stand-ins for systems that belong to somebody else. They speak the real protocol over HTTP and
//! can be told to misbehave. For the dev stack and tests only.

mod carrier;
mod payment_provider;
mod social_network;
mod stripe;
mod user_directory;

use std::net::SocketAddr;

use anyhow::Context;
use millstream_pipeline::config::Endpoints;
use tokio_util::sync::CancellationToken;

pub use payment_provider::{ProviderControl, Word};
pub use social_network::{Call, NetworkControl, Verdict};
pub use stripe::{Delivery, Plan, Stripe, Webhooks};
pub use user_directory::DirectoryControl;

/// Serves all stand-ins until `shutdown`. Some of them speak by events or webhooks.
pub async fn serve(
    address: SocketAddr,
    endpoints: Endpoints,
    webhooks: Webhooks,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| {
            format!("cannot listen on {address}; is another process using the port?")
        })?;
    let provider = payment_provider::Provider::default();
    let routes = axum::Router::new()
        .route("/health", axum::routing::get(|| async { "ok\n" }))
        .nest(carrier::PATH, carrier::routes())
        .nest(payment_provider::PATH, provider.routes())
        .nest(social_network::PATH, social_network::routes())
        .nest(stripe::PATH, stripe::routes(webhooks)?)
        .nest(user_directory::PATH, user_directory::routes());
    let stop = shutdown.clone();
    let routes = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .into_future();
    tokio::select! {
        served = routes => Ok(served?),
        ended = provider.serve(endpoints) => ended,
    }
}
