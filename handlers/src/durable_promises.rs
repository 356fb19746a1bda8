//! Durable promises: whoever awaits one and whoever completes it need not run at the same time.
//!
//! An await that comes before the completion costs no running handler: its return address lies in
//! the state until the promise is completed. The first completion wins; every later one is told what
//! the promise came to. A completed promise is kept for good.

use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::process::outputs::{Outputs, ReturnAddress};
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::durable_promises::{PromiseState, Status};
use millstream_topics::{DurablePromises, DurablePromisesEvent, TOPICS};
use serde::{Deserialize, Serialize};

/// As many awaits wait for the promise as it can remember.
pub const TOO_MANY_WAITING: &str = "too-many-waiting";

/// Awaits that a promise remembers. The state is written with each of them, some 250 bytes.
pub const MAX_AWAITERS: usize = 1000;
/// Longest value, and longest reason of a rejection. Each awaiter gets a copy.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Longest return address, whose ids are the sender's choice: with all awaiters the state has a
/// megabyte at most.
const MAX_ADDRESS_BYTES: usize = 1000;

/// A promise.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completion: Option<Completion>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    awaiters: Vec<Awaiter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Completion {
    /// With a value.
    Resolved(String),
    /// With a reason.
    Rejected(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Awaiter {
    #[serde(flatten)]
    address: ReturnAddress,
    /// The command's own `expires_at`, in microseconds: nobody waits any longer.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// Peeks, awaits or completes.
pub fn decide(
    promise: &mut Promise,
    event: DurablePromisesEvent,
    outputs: &mut Outputs,
) -> Result<Option<PromiseState>, Failure> {
    match event {
        DurablePromisesEvent::PeekPromise(_) => {}
        DurablePromisesEvent::AwaitPromise(_) => {
            if promise.completion.is_none() {
                promise.remember(outputs)?;
                return Ok(None);
            }
        }
        DurablePromisesEvent::ResolvePromise(event) => {
            check_size("value", &event.value)?;
            promise.complete(Completion::Resolved(event.value), outputs);
        }
        DurablePromisesEvent::RejectPromise(event) => {
            check_size("message", &event.message)?;
            promise.complete(Completion::Rejected(event.message), outputs);
        }
    }
    Ok(Some(promise.shown()))
}

fn check_size(field: &str, text: &str) -> Result<(), Failure> {
    if text.len() <= MAX_VALUE_BYTES {
        return Ok(());
    }
    Err(Failure::invalid_request(format!(
        "{field} has {} bytes, {MAX_VALUE_BYTES} are allowed; keep it elsewhere and send where it is",
        text.len()
    )))
}

impl Promise {
    /// Keeps where this await is to be answered.
    fn remember(&mut self, outputs: &mut Outputs) -> Result<(), Failure> {
        self.dismiss_expired(outputs);
        if self.awaiters.len() >= MAX_AWAITERS {
            return Err(Failure::passing(
                TOO_MANY_WAITING,
                format!("{MAX_AWAITERS} others await this promise; ask again later, or peek"),
            ));
        }
        let expires_at = outputs.meta().expires_at;
        let awaiter = outputs.return_address().map(|address| Awaiter {
            address,
            expires_at,
        });
        let size = serde_json::to_vec(&awaiter).map_or(usize::MAX, |bytes| bytes.len());
        if size > MAX_ADDRESS_BYTES {
            return Err(Failure::invalid_request(format!(
                "the ids in meta have {size} bytes, some {MAX_ADDRESS_BYTES} are allowed; use shorter \
                 ones"
            )));
        }
        self.awaiters.extend(awaiter);
        Ok(())
    }

    /// Makes room: an await that is too late is answered like any other command that is.
    fn dismiss_expired(&mut self, outputs: &mut Outputs) {
        let now = outputs.recorded_ms().saturating_mul(1000);
        let is_late = |awaiter: &mut Awaiter| awaiter.expires_at.is_some_and(|time| time < now);
        let late = Failure::new(
            failure::EXPIRED,
            "the promise was not completed in time; await it again",
        );
        for awaiter in self.awaiters.extract_if(.., is_late) {
            outputs.refuse(awaiter.address, &late);
        }
    }

    /// Completes the promise, unless it is completed, and tells everybody who awaits it.
    fn complete(&mut self, completion: Completion, outputs: &mut Outputs) {
        self.completion.get_or_insert(completion);
        let state = self.shown();
        for awaiter in self.awaiters.drain(..) {
            outputs.answer(awaiter.address, &state);
        }
    }

    fn shown(&self) -> PromiseState {
        let (status, value, message) = match self.completion.clone() {
            None => (Status::Pending, None, None),
            Some(Completion::Resolved(value)) => (Status::Resolved, Some(value), None),
            Some(Completion::Rejected(message)) => (Status::Rejected, None, Some(message)),
        };
        PromiseState {
            status,
            value,
            message,
        }
    }
}

/// The service. Its key is the promise's name.
pub fn durable_promises(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("DurablePromises" in TOPICS))
        .on_with::<DurablePromises, _>(decide)
}

#[cfg(test)]
mod tests;
