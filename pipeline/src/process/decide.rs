//! The decision about an event.

use std::panic::{AssertUnwindSafe, catch_unwind};

use millstream_events::Topic;

use super::Checked;
use super::outputs::{Action, Outputs};
use crate::codec::EncodedBody;
use crate::failure::{self, Failure};

/// A decision about an event of `T`: a plain function of the object's state and the event, which runs
/// again with the same arguments when an attempt is repeated and so must depend on nothing else.
///
/// It changes the state and returns the result, or refuses; then the state stays as it was. `None`:
/// the command is answered by a later event. What else it causes goes to `outputs`.
///
/// Functions and closures of this form are decisions, and so is `&decide` of one that can be called
/// again; a type of one's own may be one, too.
pub trait Decide<T: Topic, S> {
    /// Decides.
    fn decide(
        self,
        state: &mut S,
        event: T::Event,
        outputs: &mut Outputs,
    ) -> Result<Option<T::Result>, Failure>;
}

impl<T: Topic, S, F> Decide<T, S> for F
where
    F: FnOnce(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure>,
{
    fn decide(
        self,
        state: &mut S,
        event: T::Event,
        outputs: &mut Outputs,
    ) -> Result<Option<T::Result>, Failure> {
        self(state, event, outputs)
    }
}

/// What a decision has come to, encoded.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub actions: Vec<Action>,
    pub result: Option<EncodedBody>,
}

impl Decided {
    /// All of it is encoded before anything else, so that what does not fit its schema stops
    /// everything.
    pub fn of<R: millstream_events::EventSet>(
        (result, outputs): (Option<R>, Option<Outputs>),
    ) -> Result<Self, Failure> {
        let result = result.as_ref().and_then(EncodedBody::of).transpose()?;
        let actions = outputs.map(|outputs| outputs.actions);
        let actions = actions.unwrap_or_default();
        Ok(Self { actions, result })
    }
}

/// Lets `decide` decide, with the outputs that there are already or new ones, and encodes what that
/// comes to. A panic is the handler's fault and would only happen again.
pub(crate) fn decided<T: Topic, S>(
    state: &mut S,
    event: T::Event,
    outputs: Option<Outputs>,
    checked: &Checked,
    decide: impl Decide<T, S>,
) -> Result<Decided, Failure> {
    let mut outputs = outputs.unwrap_or_else(|| Outputs::of(checked));
    let result = catch_unwind(AssertUnwindSafe(|| {
        decide.decide(state, event, &mut outputs)
    }));
    let result = result.unwrap_or_else(|_| {
        Err(Failure::new(
            failure::HANDLER_FAILED,
            "the handler panicked; see its log, mend it and replay the dead letter",
        ))
    });
    Decided::of((result?, Some(outputs)))
}
