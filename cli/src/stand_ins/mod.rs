//! Stand-ins for systems that belong to somebody else. They speak the real protocol over HTTP and
//! can be told to misbehave. For the dev stack and tests only.

mod carrier;
mod payment_provider;
mod social_network;
mod stripe;
mod user_directory;

use anyhow::Context;
use futures::FutureExt;
use millstream::{Place, StandIns};
use millstream_pipeline::events::Topic;
use millstream_topics::PaymentWebhooks;

pub use payment_provider::{ProviderControl, Word};
pub use social_network::{Call, NetworkControl, Verdict};
pub use stripe::{Delivery, Plan, Stripe, Webhooks};
pub use user_directory::DirectoryControl;

/// All of them, and how the handlers find them.
pub const STAND_INS: StandIns = StandIns {
    serve: |place| serve(place).boxed(),
    paths: &[
        ("MILLSTREAM_USER_DIRECTORY", user_directory::PATH),
        ("MILLSTREAM_CARRIER", carrier::PATH),
        ("MILLSTREAM_SOCIAL_NETWORK", social_network::PATH),
        ("MILLSTREAM_STRIPE_URL", stripe::PATH),
    ],
    // The stand-in takes any key.
    variables: &[("MILLSTREAM_STRIPE_KEY", "sk_test_dev")],
};

/// Serves all stand-ins. Some of them speak by events or webhooks.
async fn serve(place: Place) -> anyhow::Result<()> {
    let webhooks = webhooks(&place)?;
    let Place {
        listen,
        endpoints,
        stop,
        ..
    } = place;
    let listener = tokio::net::TcpListener::bind(listen)
        .await
        .with_context(|| {
            format!("cannot listen on {listen}; is another process using the port?")
        })?;
    let provider = payment_provider::Provider::default();
    let routes = axum::Router::new()
        .route("/health", axum::routing::get(|| async { "ok\n" }))
        .nest(carrier::PATH, carrier::routes())
        .nest(payment_provider::PATH, provider.routes())
        .nest(social_network::PATH, social_network::routes())
        .nest(stripe::PATH, stripe::routes(webhooks)?)
        .nest(user_directory::PATH, user_directory::routes());
    let routes = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .into_future();
    tokio::select! {
        served = routes => Ok(served?),
        ended = provider.serve(endpoints) => ended,
    }
}

/// Where the payment provider's webhooks go.
fn webhooks(place: &Place) -> anyhow::Result<Webhooks> {
    let topic = PaymentWebhooks::DECLARATION;
    let mut signed = topic.http.iter().filter(|route| route.signature.is_some());
    let route = signed.next().context("there is a route for webhooks")?;
    let gateway = place.endpoints.gateway.as_deref().unwrap_or_default();
    Ok(Webhooks {
        url: format!("{}{}", gateway.trim_end_matches('/'), route.path),
        secret: place.webhook_secrets.of(topic.name)?,
    })
}
