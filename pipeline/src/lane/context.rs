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
    /// The id of the running invocation.
    fn invocation(&self) -> String;
    /// What is sent to this invocation under a name.
    fn reply(&self, name: &str) -> Awaited<'a, Bytes>;
    /// Waits durably.
    fn sleep(&self, duration: Duration) -> Awaited<'a, ()>;
    /// Does something once and journals its text.
    fn run(
        &self,
        name: &'static str,
        effect: Effect,
    ) -> BoxFuture<'a, Result<String, TerminalError>>;
    /// The state of the object, which is journaled then. Turns that journal more than a state begin
    /// with it. Where there is none, there is nothing to do.
    fn entry(&self) -> BoxFuture<'a, Result<Option<Bytes>, TerminalError>> {
        Box::pin(ready(Ok(None)))
    }
    /// Writes the state of the object. Where there is none, there is nothing to write.
    fn write_state(&self, _entry: Bytes) {}
    /// Sends a message to another handler, now or later.
    fn send(&self, target: RequestTarget, parameter: Bytes, delay: Duration);
}

macro_rules! journals {
    ($($context:ident $({ $($own:tt)* })?)*) => {$(
        impl<'a> Journal<'a> for $context<'a> {
            $($($own)*)?

            fn invocation(&self) -> String {
                self.invocation_id().to_owned()
            }

            fn reply(&self, name: &str) -> Awaited<'a, Bytes> {
                Box::pin(ContextSignals::signal::<Bytes>(self, name))
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
        fn entry(&self) -> BoxFuture<'a, Result<Option<Bytes>, TerminalError>> {
            Box::pin(ContextReadState::get::<Bytes>(self, STATE_ENTRY))
        }

        fn write_state(&self, entry: Bytes) {
            ContextWriteState::set(self, STATE_ENTRY, entry);
        }
    }
    SharedObjectContext
    WorkflowContext
    SharedWorkflowContext
);
