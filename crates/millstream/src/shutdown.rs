//! When to stop: at SIGINT, at SIGTERM, and with the dev stack that started us.

use millstream_devstack::dev_stack_is_gone;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled then. The SDK's own server knows SIGINT only.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = dev_stack_is_gone() => {}
        }
        stop.cancel();
    });
    Ok(token)
}
