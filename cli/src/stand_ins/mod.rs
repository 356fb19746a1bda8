//! Stand-ins for systems that belong to somebody else. They speak the real protocol over HTTP and
//! can be told to misbehave. For the dev stack and tests only.

mod user_directory;

use std::net::SocketAddr;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

pub use user_directory::DirectoryControl;

/// Serves all stand-ins until `shutdown`.
pub async fn serve(address: SocketAddr, shutdown: CancellationToken) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| {
            format!("cannot listen on {address}; is another process using the port?")
        })?;
    let routes = axum::Router::new()
        .route("/health", axum::routing::get(|| async { "ok\n" }))
        .nest(user_directory::PATH, user_directory::routes());
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.cancelled().await })
        .await?;
    Ok(())
}
