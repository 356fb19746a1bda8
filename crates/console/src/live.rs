//! Figures that move, as server-sent events. Somebody looks only while somebody watches.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use millstream_control::{Figures, Live};
use millstream_gateway::access::{Caller, Verb};
use tokio::sync::{mpsc, watch};

use crate::Console;
use crate::server::ALL;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a stream lasts; the page then opens another one.
pub const STREAM_LIMIT: Duration = Duration::from_mins(30);

/// Events that wait for a client to read them.
const WAITING: usize = 16;

/// The last figures, and who waits for the next ones.
#[derive(Default)]
pub struct Watched {
    figures: watch::Sender<Option<Arc<Figures>>>,
}

impl Watched {
    /// Looks again and again while there are watchers; never ends.
    pub async fn look(&self, mut live: Live) {
        loop {
            if self.figures.receiver_count() == 0 {
                // What was seen long ago is no news for whoever comes next.
                self.figures.send_replace(None);
                while self.figures.receiver_count() == 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            let figures = live.look().await;
            self.figures.send_replace(Some(Arc::new(figures)));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The figures of now, and of every look from now on.
pub async fn live(
    State(console): State<Arc<Console>>,
    Extension(caller): Extension<Caller>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let watcher = console.live.figures.subscribe();
    let figures = stream::unfold((watcher, true), |(mut watcher, is_first)| async move {
        let known = watcher.borrow_and_update().clone().filter(|_| is_first);
        let figures = match known {
            Some(figures) => figures,
            None => loop {
                watcher.changed().await.ok()?;
                if let Some(figures) = watcher.borrow_and_update().clone() {
                    break figures;
                }
            },
        };
        let event = Event::default().event("figures").json_data(&*figures);
        Some((event.ok(), (watcher, false)))
    });
    events(&console, caller, figures.filter_map(std::future::ready))
}

/// A stream that ends with the console, with what the caller has shown, and after a while.
pub fn events<S: Stream<Item = Event> + Send + 'static>(
    console: &Arc<Console>,
    caller: Caller,
    events: S,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<S>> {
    let console = Arc::clone(console);
    let end = async move {
        tokio::select! {
            () = console.stop.cancelled() => {}
            _ = console.access.over(&caller.pass, Verb::Read, ALL) => {}
            () = tokio::time::sleep(STREAM_LIMIT) => {}
        }
    };
    // A task of its own, which also ends where the client hangs and reads nothing more.
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let sending = async {
            let mut events = std::pin::pin!(events);
            while let Some(event) = events.next().await {
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = sending => {}
            () = sender.closed() => {}
            () = end => {}
        }
    });
    let sent = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok(event), receiver))
    });
    Sse::new(sent).keep_alive(KeepAlive::default())
}
