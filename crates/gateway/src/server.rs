//! Connections: bounded in number and in what they may hold, and ended in order.

use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::heads::Heads;
use super::settings::Settings;
use millstream_pipeline::serve::accept;

/// Bytes of a connection's buffer, and of the head of a request.
const BUFFER: usize = 32 * 1024;

/// Serves until `stop`; then accepts nothing more, lets requests end, and gives up after a limit.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    settings: &Settings,
    stop: &CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_limit)
        .max_buf_size(BUFFER);
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let stream = accept(&listener).await;
            let service = TowerToHyperService::new(routes.clone());
            let stream = TokioIo::new(Heads::new(stream, BUFFER));
            let connection = open.watch(http.serve_connection(stream, service));
            tokio::spawn(async move {
                // A client that leaves early, or is too slow, ends it with an error.
                let _ = connection.await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(accepting).await;
    drop(listener);
    if tokio::time::timeout(settings.drain, open.shutdown())
        .await
        .is_err()
    {
        tracing::info!("connections that are still open are closed");
    }
}

/// As many open files as the system allows: each waiting client is one.
pub fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}
