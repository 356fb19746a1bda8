//! Serving handlers to Restate, and metrics to Prometheus.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulShutdown;
use restate_sdk::endpoint::{Builder, Endpoint};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::beginning;
use crate::identity::{KeyError, PublicKey};
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

/// Pause after the system refused a connection: mostly it has no file descriptor left.
const REFUSED: Duration = Duration::from_millis(50);

/// Lets the endpoint take only requests that Restate signed with one of these keys
/// (`publickeyv1_...`); any other is answered with 401 before handler code runs. Several keys, so
/// that Restate's can be replaced. Without a key the endpoint takes any request.
pub fn signed_by(builder: Builder, keys: &[String]) -> Result<Builder, KeyError> {
    keys.iter().try_fold(builder, |builder, key| {
        let key: PublicKey = key.parse()?;
        let text = key.to_string();
        builder
            .identity_key(&text)
            .map_err(|error| KeyError::NotPublic {
                reason: error.to_string(),
                text,
            })
    })
}

/// Serves `endpoint` until `shutdown`, then lets running attempts end, for three seconds at most.
pub async fn handlers(
    endpoint: Endpoint,
    address: SocketAddr,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ListenError> {
    let listener = listen(address)?;
    let open = GracefulShutdown::new();
    let accepting = async {
        loop {
            let stream = accept(&listener).await;
            let endpoint = endpoint.clone();
            let service = service_fn(move |request| {
                ready(Ok::<_, Infallible>(beginning::handle(&endpoint, request)))
            });
            let http = http2::Builder::new(TokioExecutor::new());
            let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!(%error, "a connection to Restate broke; it makes another one");
                }
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    drop(listener);
    if tokio::time::timeout(GRACE, open.shutdown()).await.is_err() {
        tracing::info!("attempts that still run are left to be repeated elsewhere");
    }
    Ok(())
}

/// The next connection; after one that the system refused, a pause.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
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
pub(crate) async fn admin_server(
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
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
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
pub(crate) async fn metrics_text() -> Response {
    match metrics().text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
