//! A call that is expensive: a function that a user brings along.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use millstream_pipeline::failure::{self, Failure};
use millstream_schemas::expensive_calls::{CallCompleted, ExpensiveCall};
use serde::{Deserialize, Serialize};

use super::queue::check_priority;

/// Carries a call out: its result, or why this attempt failed.
pub type Work = Arc<dyn Fn(i64, i64) -> BoxFuture<'static, Result<i64, String>> + Send + Sync>;

/// Stands in for real work: adds, and takes this long.
pub fn simulation(takes: Duration) -> Work {
    Arc::new(move |left, right| {
        async move {
            tokio::time::sleep(takes).await;
            left.checked_add(right)
                .ok_or_else(|| "the sum is too large".to_owned())
        }
        .boxed()
    })
}

/// Makes one attempt, for `limit` at most.
pub async fn attempt(work: Work, call: ExpensiveCall, limit: Duration) -> Result<i64, String> {
    let work = AssertUnwindSafe(async move { work(call.left, call.right).await }).catch_unwind();
    match tokio::time::timeout(limit, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("it panicked".to_owned()),
        Err(_) => Err(format!("it took longer than {limit:?}")),
    }
}

/// What is remembered of a request.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// `None` until it is carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<Done>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub left: i64,
    pub right: i64,
    pub result: i64,
}

impl Request {
    /// What is answered without carrying the call out; `None`: carry it out.
    pub fn known(&self, call: &ExpensiveCall) -> Result<Option<CallCompleted>, Failure> {
        check_priority(call.priority)?;
        if call.left.checked_add(call.right).is_none() {
            return Err(Failure::invalid_request(
                "left + right does not fit 64 bits; use smaller numbers",
            ));
        }
        match &self.done {
            None => Ok(None),
            Some(done) if (done.left, done.right) == (call.left, call.right) => {
                Ok(Some(CallCompleted {
                    result: done.result,
                }))
            }
            Some(_) => Err(Failure::new(
                failure::IDEMPOTENCY_MISMATCH,
                "this request id was used for another call; use a new one",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(left: i64, right: i64, priority: i32) -> ExpensiveCall {
        ExpensiveCall {
            left,
            right,
            priority,
        }
    }

    #[test]
    fn a_request_id_stands_for_one_call() {
        let mut request = Request::default();
        assert_eq!(request.known(&call(1, 2, 1)).unwrap(), None);
        let (left, right, result) = (1, 2, 3);
        request.done = Some(Done {
            left,
            right,
            result,
        });
        let known = request.known(&call(1, 2, 9)).unwrap();
        assert_eq!(known, Some(CallCompleted { result }));
        let refused = request.known(&call(2, 1, 1)).unwrap_err();
        assert_eq!(refused.code, failure::IDEMPOTENCY_MISMATCH);
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        for call in [
            call(1, 2, 0),
            call(1, 2, 101),
            call(1, 2, -1),
            call(i64::MAX, 1, 1),
        ] {
            let refused = Request::default().known(&call).unwrap_err();
            assert_eq!(refused.code, failure::INVALID_REQUEST, "{call:?}");
        }
    }

    #[tokio::test]
    async fn an_attempt_ends() {
        let add = simulation(Duration::ZERO);
        let limit = Duration::from_secs(5);
        assert_eq!(attempt(add, call(1, 2, 1), limit).await, Ok(3));
        let panics: Work = Arc::new(|_, _| async { panic!("on purpose") }.boxed());
        assert!(attempt(panics, call(1, 2, 1), limit).await.is_err());
        let endless: Work = Arc::new(|_, _| futures::future::pending().boxed());
        assert!(
            attempt(endless, call(1, 2, 1), Duration::ZERO)
                .await
                .is_err()
        );
    }
}
