//! Answers of the registry, which never change: each is asked for once, however many want it at the
//! same moment.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use futures::future::{BoxFuture, FutureExt, Shared, WeakShared};

use super::known_already;

type Question<V, E> = BoxFuture<'static, Result<V, E>>;

/// What is known under each key, and what is being asked.
pub struct Lookups<K, V, E> {
    known: RwLock<HashMap<K, V>>,
    /// Held by those who wait: what nobody waits for any more is not asked to its end.
    asked: Mutex<HashMap<K, WeakShared<Question<V, E>>>>,
}

impl<K, V, E> Default for Lookups<K, V, E> {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            asked: Mutex::default(),
        }
    }
}

impl<K, V, E> Lookups<K, V, E>
where
    K: Copy + Eq + Hash,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// What is known under `key`, or else the answer to `ask`. A failure is told to all who wait for
    /// it; whoever comes later asks anew.
    pub async fn get<F>(&self, key: K, ask: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        if let Some(value) = self.known(key) {
            return Ok(value);
        }
        let question = self.question(key, ask);
        let answer = question.clone().await;
        if let Ok(value) = &answer {
            self.insert(key, value.clone());
        }
        let mut asked = self.asked();
        let latest = asked.get(&key).and_then(WeakShared::upgrade);
        if latest.is_none_or(|latest| latest.ptr_eq(&question)) {
            asked.remove(&key);
        }
        answer
    }

    /// The question that is being asked, or else a new one.
    fn question<F>(&self, key: K, ask: impl FnOnce() -> F) -> Shared<Question<V, E>>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut asked = self.asked();
        if let Some(question) = asked.get(&key).and_then(WeakShared::upgrade) {
            known_already();
            return question;
        }
        let question = ask().boxed().shared();
        asked.extend(question.downgrade().map(|question| (key, question)));
        question
    }

    /// Tells what needs no asking.
    pub fn insert(&self, key: K, value: V) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert(value);
    }

    // A poisoned lock only means that somebody panicked; the maps are still whole.

    /// What is known under `key`.
    pub fn known(&self, key: K) -> Option<V> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let value = known.get(&key)?;
        known_already();
        Some(value.clone())
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<K, WeakShared<Question<V, E>>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_at_once_ask_once_and_a_failure_is_asked_anew() {
        let lookups = Lookups::<u32, u32, &str>::default();
        let (count, answers) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let ask = |answer| {
            let (count, answers) = (Arc::clone(&count), Arc::clone(&answers));
            move || async move {
                count.fetch_add(1, Ordering::Relaxed);
                answers.notified().await;
                answer
            }
        };
        for answer in [Err("down"), Ok(7)] {
            let mut told = join_all((0..10).map(|_| lookups.get(1, ask(answer))));
            assert!((&mut told).now_or_never().is_none(), "all of them wait");
            answers.notify_one();
            assert_eq!(told.await, [answer; 10]);
        }
        assert_eq!(lookups.get(1, ask(Ok(8))).await, Ok(7));
        assert_eq!(count.load(Ordering::Relaxed), 2);

        let given_up = lookups.get(2, ask(Ok(1))).now_or_never();
        assert!(given_up.is_none());
        answers.notify_one();
        assert_eq!(lookups.get(2, ask(Ok(2))).await, Ok(2), "it is asked anew");
    }
}
