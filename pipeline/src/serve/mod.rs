//! Serving handlers to Restate, and metrics to Prometheus.

mod handlers;
mod names;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::observe::metrics::metrics;

pub use handlers::Handlers;
pub use handlers::{PROJECT, SYSTEM};

/// An address could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; is another process using the port?")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Handlers could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// At this address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A service's name stands in several places, and differs.
    #[error("names differ: {0}")]
    Names(String),
}

/// How long running attempts may take to end. Those that wait for a timer or a stuck broker would
/// take longer, and Restate repeats them elsewhere.
const GRACE: Duration = Duration::from_secs(3);

/// Pause after the system refused a connection: mostly it has no file descriptor left.
const REFUSED: Duration = Duration::from_millis(50);

/// The next connection; after one that the system refused, a pause.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(REFUSED).await;
            }
        }
    }
}

/// Serves `/metrics` and `/health` until `shutdown`.
pub async fn metrics_server(
    address: SocketAddr,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = std::io::Result<()>>, ListenError> {
    admin_server(address, Router::new(), shutdown).await
}

/// The same with further routes.
pub async fn admin_server(
    address: SocketAddr,
    routes: Router,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = std::io::Result<()>>, ListenError> {
    let listener = listen(address)?;
    let routes = routes
        .route("/metrics", get(metrics_text))
        .route("/health", get(|| async { "ok\n" }));
    let server = axum::serve(listener, routes)
        .with_graceful_shutdown(async move { shutdown.cancelled().await });
    Ok(server.into_future())
}

/// Listens with TCP_NODELAY, which accepted connections inherit:
/// with Nagle's algorithm each event of a key would wait some 40 ms for a delayed acknowledgement.
pub fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let listen = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        socket.listen(1024)
    };
    listen().map_err(|source| ListenError { address, source })
}

/// What Prometheus scrapes.
pub async fn metrics_text() -> Response {
    match metrics().text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
