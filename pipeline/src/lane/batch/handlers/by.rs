//! The handler of one topic, by a plain function: what both lanes make of it.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use millstream_events::{Declaration, Topic};
use restate_sdk::prelude::*;

use super::one::{Come, ending};
use crate::codec::{Digested, RegistryError};
use crate::failure::{self, Failure};
use crate::lane::keyed::Journals;
use crate::process::outputs::Outputs;
use crate::process::{
    End, Facts, Held, Object, Received, Rules, Stateless, Stop, Unread, Verdict, check, process,
};
use crate::service::{Service, Shared};
use crate::state::{State, UnreadableState};

/// A topic's handler, whatever its types.
pub(crate) trait Handles: Send + Sync {
    fn declaration(&self) -> &'static Declaration;

    /// The topic that is read, which is the guarded one where there is a guard.
    fn topic(&self) -> Cow<'static, str>;

    /// `Service/handler`.
    fn handler(&self) -> &Arc<str>;

    /// Handles a record as an invocation of the event lane.
    fn handle<'h>(
        &'h self,
        service: &'h Service,
        ctx: &'h ObjectContext<'h>,
        record: Bytes,
    ) -> BoxFuture<'h, HandlerResult<()>>;

    /// The object with this entry.
    fn object(&self, entry: Option<Bytes>) -> Result<Box<dyn Held>, UnreadableState>;

    /// Whether an object is of the type that it makes.
    fn knows(&self, object: &dyn Held) -> bool;

    /// What is known of a record, whatever it is to become.
    fn read<'h>(
        &'h self,
        shared: &'h Shared,
        received: &'h Received,
        now: i64,
    ) -> BoxFuture<'h, Result<Box<dyn Decides + 'h>, RegistryError>>;
}

/// A record that was read.
pub(crate) trait Decides: Send {
    /// What becomes of it with this object, which is one that the handler [knows](Handles::knows).
    /// `never`: what it would be answered can never be.
    fn decide(
        self: Box<Self>,
        rules: Rules<'_>,
        received: Arc<Received>,
        object: &mut dyn Held,
        never: Option<Failure>,
    ) -> Result<Come, Stop>;

    /// What becomes of it if it is refused whatever it says, and its key is nobody's.
    fn refuse(
        self: Box<Self>,
        rules: Rules<'_>,
        received: Arc<Received>,
        failure: Failure,
    ) -> Result<Come, Stop>;
}

/// A handler by a function.
pub(crate) struct By<T, S, D> {
    handler: Arc<str>,
    journals: Journals,
    decide: D,
    of: PhantomData<fn(T) -> S>,
}

impl<T, S, D> By<T, S, D> {
    /// `journals`: what an invocation of the event lane does.
    pub fn new(handler: Arc<str>, journals: Journals, decide: D) -> Self {
        let of = PhantomData;
        Self {
            handler,
            journals,
            decide,
            of,
        }
    }
}

struct Known<'h, T: Topic, S, D> {
    by: &'h By<T, S, D>,
    facts: Facts<T::Event>,
}

impl<T, S, D> Handles for By<T, S, D>
where
    T: Topic,
    S: State + 'static,
    D: Fn(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure> + Send + Sync,
{
    fn declaration(&self) -> &'static Declaration {
        T::DECLARATION
    }

    fn topic(&self) -> Cow<'static, str> {
        match T::DECLARATION.guard {
            true => T::DECLARATION.subscribed_topic().into(),
            false => T::DECLARATION.name.into(),
        }
    }

    fn handler(&self) -> &Arc<str> {
        &self.handler
    }

    fn handle<'h>(
        &'h self,
        service: &'h Service,
        ctx: &'h ObjectContext<'h>,
        record: Bytes,
    ) -> BoxFuture<'h, HandlerResult<()>> {
        async move {
            let turn = service.turn::<T, S>(ctx, record, self.journals);
            match turn.await? {
                Some(turn) => turn.decide_with(&self.decide).await,
                None => Ok(()),
            }
        }
        .boxed()
    }

    fn object(&self, entry: Option<Bytes>) -> Result<Box<dyn Held>, UnreadableState> {
        Ok(Box::new(Object::<S>::parse(entry)?))
    }

    fn knows(&self, object: &dyn Held) -> bool {
        object.as_any().is::<Object<S>>()
    }

    fn read<'h>(
        &'h self,
        shared: &'h Shared,
        received: &'h Received,
        now: i64,
    ) -> BoxFuture<'h, Result<Box<dyn Decides + 'h>, RegistryError>> {
        async move {
            let decoded = match received.is_to_be_read() {
                Err(unread) => Err(unread),
                Ok(()) => {
                    let read = shared
                        .codec
                        .read::<T::Event>(&received.record, Digested::WithKey);
                    read.await?.map_err(Unread::Refused)
                }
            };
            let now = Some(Ok(now));
            let facts = Facts { decoded, now };
            let known: Box<dyn Decides + 'h> = Box::new(Known { by: self, facts });
            Ok(known)
        }
        .boxed()
    }
}

impl<T, S, D> Decides for Known<'_, T, S, D>
where
    T: Topic,
    S: State + 'static,
    D: Fn(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure> + Send + Sync,
{
    fn decide(
        self: Box<Self>,
        rules: Rules<'_>,
        received: Arc<Received>,
        object: &mut dyn Held,
        never: Option<Failure>,
    ) -> Result<Come, Stop> {
        let Some(object) = object.as_any_mut().downcast_mut::<Object<S>>() else {
            let why = "the object is another handler's";
            return Err(Failure::new(failure::HANDLER_FAILED, why).into());
        };
        let by = &self.by.decide;
        let (checked, outcome) = process::<T, S>(rules, received, object, self.facts, never, by)?;
        Ok(Come {
            checked,
            is_sequenced: true,
            outcome,
        })
    }

    fn refuse(
        self: Box<Self>,
        rules: Rules<'_>,
        received: Arc<Received>,
        failure: Failure,
    ) -> Result<Come, Stop> {
        let (checked, verdict) = check(rules, received, self.facts, None);
        let end = match verdict {
            Verdict::Skip(reason) => End::Skip(reason),
            _ => End::Refuse(failure),
        };
        let ending = ending(rules, &checked, false);
        let outcome = ending.ended(&mut Stateless, &end)?;
        Ok(Come {
            checked,
            is_sequenced: false,
            outcome,
        })
    }
}
