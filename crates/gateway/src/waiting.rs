//! Requests that wait for their results, by event id.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::answer::Answer;
use super::principal::Principal;
use super::shares::{Refused, Share, Shares};
use millstream_pipeline::observe::metrics::metrics;

/// All requests that wait at this replica, bounded in number.
#[derive(Debug)]
pub struct Waiting {
    places: Arc<Shares>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_event: HashMap<String, Vec<oneshot::Sender<Arc<Answer>>>>,
    /// Since when each waits, by a number that grows.
    since: BTreeMap<u64, Instant>,
    next: u64,
}

/// One that waits. Dropping it gives its place back.
#[derive(Debug)]
pub struct Waiter {
    waiting: Arc<Waiting>,
    number: u64,
    event_id: String,
    answer: oneshot::Receiver<Arc<Answer>>,
    _place: Share,
}

impl Waiting {
    /// Room for `limit` requests.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Shares::new(limit),
            inner: Mutex::default(),
        })
    }

    /// Waits for the result of an event, if there is room.
    pub fn enter(
        self: &Arc<Self>,
        principal: &Principal,
        event_id: &str,
    ) -> Result<Waiter, Refused> {
        let place = self.places.take(principal, 1)?;
        let (tell, answer) = oneshot::channel();
        let mut inner = self.inner();
        let number = inner.next;
        inner.next += 1;
        inner.since.insert(number, Instant::now());
        metrics().gateway_waiting.inc();
        inner
            .by_event
            .entry(event_id.to_owned())
            .or_default()
            .push(tell);
        Ok(Waiter {
            waiting: Arc::clone(self),
            number,
            event_id: event_id.to_owned(),
            answer,
            _place: place,
        })
    }

    /// Whether anybody waits for the result of this event.
    pub fn has(&self, event_id: &str) -> bool {
        self.inner().by_event.contains_key(event_id)
    }

    /// How long the oldest has waited; zero without any.
    pub fn oldest(&self) -> Duration {
        let oldest = self
            .inner()
            .since
            .first_key_value()
            .map(|(_, since)| *since);
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Gives a result to those who wait for it.
    pub fn answer(&self, event_id: &str, answer: &Arc<Answer>) {
        let waiting = self.inner().by_event.remove(event_id);
        for tell in waiting.into_iter().flatten() {
            // Who has left needs no answer.
            let _ = tell.send(Arc::clone(answer));
        }
    }

    /// No code panics while it holds this.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The result, once it is there.
    pub async fn answer(&mut self) -> Arc<Answer> {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            // The sender goes only with the map that this holds, or with the answer.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.answer.close();
        let mut inner = self.waiting.inner();
        inner.since.remove(&self.number);
        metrics().gateway_waiting.dec();
        if let Some(others) = inner.by_event.get_mut(&self.event_id) {
            others.retain(|tell| !tell.is_closed());
            if others.is_empty() {
                inner.by_event.remove(&self.event_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_one_that_waits_longest() {
        let waiting = Waiting::new(2);
        assert_eq!(waiting.oldest(), Duration::ZERO);
        let nobody = Principal::anonymous();
        let enter = |event| waiting.enter(&nobody, event);
        let first = enter("a").unwrap();
        let between = Instant::now();
        let second = enter("b").unwrap();
        assert_eq!(enter("c").unwrap_err(), Refused::Empty);
        assert!(waiting.oldest() >= between.elapsed());
        drop(first);
        assert!(waiting.oldest() <= between.elapsed());
        drop(second);
        assert_eq!(waiting.oldest(), Duration::ZERO);
    }
}
