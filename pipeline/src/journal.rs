//! What the contexts of all handlers have in common, behind one object-safe trait.
//!
//! The SDK's traits are generic over the context and its lifetime. Code that is generic over both
//! and awaits in between is more than the compiler can prove to be `Send`.

use std::future::ready;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use restate_sdk::context::{DurableFuture, RequestTarget};
use restate_sdk::prelude::*;

use crate::state::STATE_ENTRY;

/// Something that the engine completes.
pub(crate) type Awaited<'a, T> =
    Pin<Box<dyn DurableFuture<Output = Result<T, TerminalError>> + Send + 'a>>;

/// Something done once, whose text is journaled.
pub(crate) type Effect = Box<dyn FnOnce() -> BoxFuture<'static, HandlerResult<String>> + Send>;

/// A handler's context.
pub(crate) trait Journal<'a>: Send + Sync {
    /// An id to be completed from outside, and what it is completed with.
    fn awakeable(&self) -> (String, Awaited<'a, Bytes>);
    /// Waits durably.
    fn sleep(&self, duration: Duration) -> Awaited<'a, ()>;
    /// Does something once and journals its text.
    fn run(
        &self,
        name: &'static str,
        effect: Effect,
    ) -> BoxFuture<'a, Result<String, TerminalError>>;
    /// Journals the state of the object, for turns that journal more than they meant to when they
    /// began. Where there is none, there is nothing to do.
    fn read_state(&self) -> BoxFuture<'a, Result<(), TerminalError>> {
        Box::pin(ready(Ok(())))
    }
    /// Sends a message to another handler, now or later.
    fn send(&self, target: RequestTarget, parameter: Bytes, delay: Duration);
}

macro_rules! journals {
    ($($context:ident $({ $($own:tt)* })?)*) => {$(
        impl<'a> Journal<'a> for $context<'a> {
            $($($own)*)?

            fn awakeable(&self) -> (String, Awaited<'a, Bytes>) {
                let (id, value) = ContextAwakeables::awakeable::<Bytes>(self);
                (id, Box::pin(value))
            }

            fn sleep(&self, duration: Duration) -> Awaited<'a, ()> {
                Box::pin(ContextTimers::sleep(self, duration))
            }

            fn run(
                &self,
                name: &'static str,
                effect: Effect,
            ) -> BoxFuture<'a, Result<String, TerminalError>> {
                Box::pin(ContextSideEffects::run(self, effect).name(name))
            }

            fn send(&self, target: RequestTarget, parameter: Bytes, delay: Duration) {
                let message = ContextClient::request::<_, ()>(self, target, parameter);
                match delay.is_zero() {
                    true => message.send(),
                    false => message.send_after(delay),
                };
            }
        }
    )*};
}
journals!(
    Context
    ObjectContext {
        fn read_state(&self) -> BoxFuture<'a, Result<(), TerminalError>> {
            let state = ContextReadState::get::<Option<Bytes>>(self, STATE_ENTRY);
            Box::pin(async { state.await.map(|_| ()) })
        }
    }
    SharedObjectContext
    WorkflowContext
    SharedWorkflowContext
);
