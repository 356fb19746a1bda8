//! The virtual object that does nothing but count, served by this process.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use bytes::Bytes;
use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use restate_sdk::prelude::*;
use tokio::net::TcpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::probe::process::now_micros;

/// Name of its topic.
pub const TOPIC: &str = "loadtest-noop";
/// Its only handler, as a subscription names it.
pub const SINK: &str = "service://LoadtestNoop/onEvent";

/// What was handled since the last reset.
#[derive(Debug, Default)]
pub struct Counter {
    handled: AtomicU64,
    first_micros: AtomicI64,
    last_micros: AtomicI64,
}

impl Counter {
    /// Starts again.
    pub fn reset(&self) {
        self.handled.store(0, Ordering::SeqCst);
        self.first_micros.store(i64::MAX, Ordering::SeqCst);
        self.last_micros.store(0, Ordering::SeqCst);
    }

    /// How many events were handled.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::SeqCst)
    }

    /// Seconds from the first event to the last.
    pub fn seconds(&self) -> f64 {
        let (first, last) = (
            self.first_micros.load(Ordering::SeqCst),
            self.last_micros.load(Ordering::SeqCst),
        );
        (last - first) as f64 / 1e6
    }

    fn count(&self) {
        let now = now_micros();
        self.first_micros.fetch_min(now, Ordering::SeqCst);
        self.last_micros.fetch_max(now, Ordering::SeqCst);
        self.handled.fetch_add(1, Ordering::SeqCst);
    }
}

/// What is done with each record besides counting it.
pub type Look = Arc<dyn Fn(&[u8]) + Send + Sync>;

struct LoadtestNoop(Arc<Counter>, Option<Look>);

// The settings are those of the catalogue's handlers.
#[restate_sdk::object(inactivity_timeout = "0s")]
impl LoadtestNoop {
    #[handler(name = "onEvent")]
    async fn on_event(&self, _: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        if let Some(look) = &self.1 {
            look(&record);
        }
        std::hint::black_box(record);
        self.0.count();
        Ok(())
    }
}

/// The running object.
pub struct Noop {
    /// What it has handled.
    pub counter: Arc<Counter>,
    /// Where Restate reaches it.
    pub url: String,
    _stop: DropGuard,
}

impl Noop {
    /// Serves the object on a free port.
    pub fn serve(look: Option<Look>) -> std::io::Result<Self> {
        let counter = Arc::<Counter>::default();
        // As the pipeline listens: connections without Nagle's algorithm.
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(1024)?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = CancellationToken::new();
        let endpoint = Endpoint::builder()
            .bind(LoadtestNoop(Arc::clone(&counter), look))
            .build();
        let stopped = stop.clone();
        tokio::spawn(async move {
            HttpServer::new(endpoint)
                .serve_with_cancel(listener, stopped.cancelled())
                .await;
        });
        Ok(Self {
            counter,
            url,
            _stop: stop.drop_guard(),
        })
    }
}
