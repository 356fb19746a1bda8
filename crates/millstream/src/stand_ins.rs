//! Processes that stand in for systems outside, in a dev stack.

use std::net::SocketAddr;

use futures::future::BoxFuture;
use millstream_gateway::WebhookSecrets;
use millstream_pipeline::config::Endpoints;
use tokio_util::sync::CancellationToken;

/// Stand-ins for systems that belong to somebody else: one process, which `dev` and `demo` start
/// beside the handlers.
#[derive(Debug, Clone, Copy)]
pub struct StandIns {
    /// Serves all of them until `Place::stop`, and `GET /health` as soon as they are there.
    pub serve: fn(Place) -> BoxFuture<'static, anyhow::Result<()>>,
    /// How the handlers find them: variables of their settings, and the path of the stand-in that
    /// each names the URL of, such as `("SHOP_CARRIER", "/carrier")`.
    pub paths: &'static [(&'static str, &'static str)],
    /// Further variables of the handlers, such as a key that a stand-in takes.
    pub variables: &'static [(&'static str, &'static str)],
}

/// Where stand-ins are.
pub struct Place {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The installation that they belong to. `gateway` is set.
    pub endpoints: Endpoints,
    /// What webhooks are signed with, as the gateway knows it.
    pub webhook_secrets: WebhookSecrets,
    /// Cancelled when they are to end.
    pub stop: CancellationToken,
}
