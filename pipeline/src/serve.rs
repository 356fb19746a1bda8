//! Serving handlers to Restate, and metrics to Prometheus.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::metrics;

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; is another process using the port?")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// How long running attempts may take to end. Those that wait for a timer or a stuck broker would
/// take longer, and Restate repeats them elsewhere.
const GRACE: Duration = Duration::from_secs(3);

/// Serves `endpoint` until `shutdown`, then lets running attempts end, for three seconds at most.
pub async fn handlers(
    endpoint: Endpoint,
    address: SocketAddr,
    shutdown: CancellationToken,
) -> Result<(), ListenError> {
    let listener = listen(address).await?;
    let too_long = async {
        shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = HttpServer::new(endpoint).serve_with_cancel(listener, shutdown.cancelled()) => {}
        () = too_long => {}
    }
    Ok(())
}

/// Serves `/metrics` and `/health` until `shutdown`.
pub async fn metrics_server(
    address: SocketAddr,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = std::io::Result<()>>, ListenError> {
    let listener = listen(address).await?;
    let routes = Router::new()
        .route("/metrics", get(metrics_text))
        .route("/health", get(|| async { "ok\n" }));
    let server = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.cancelled().await });
    Ok(server.into_future())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ListenError { address, source })
}

async fn metrics_text() -> Response {
    match metrics().text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
