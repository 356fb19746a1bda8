//! How the attempt began that runs here: with the object's state and the journal so far, which Restate
//! sends before anything else.
//!
//! The SDK's `get` journals what it reads: a log record more for each event, with the whole state in
//! it. A handler that journals nothing but one `set` can do without: its object is locked, so every
//! attempt finds the same state until the `set` is journaled, and then nothing is left to do
//! (decision 20).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use crate::lane::protocol::{EagerState, First};

/// What is known of an attempt.
#[derive(Default)]
pub(crate) struct Known {
    pub first: Option<First>,
    is_taken: bool,
    /// Whether it is marked while it runs.
    pub is_marked: bool,
}

pub(crate) type Shared = Arc<Mutex<Known>>;

tokio::task_local! {
    pub(crate) static KNOWN: Shared;
}

/// How the attempt began that this code runs in. It is told once: whoever comes second comes after
/// the state may have been written.
pub(crate) fn take() -> EagerState {
    let known = KNOWN.try_with(|known| {
        let mut known = lock(known);
        let is_first = !std::mem::replace(&mut known.is_taken, true);
        let first = known.first.as_ref().filter(|_| is_first)?;
        Some(first.beginning.clone())
    });
    known.ok().flatten().unwrap_or(EagerState::FromJournal)
}

/// The number of the attempt that this code runs in, since its journal last grew.
pub(crate) fn attempt() -> u32 {
    let known = KNOWN.try_with(|known| lock(known).first.as_ref().map(|first| first.attempt));
    known.ok().flatten().unwrap_or(1)
}

pub(crate) fn lock(known: &Shared) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
