//! What becomes of an event: pure functions from what came in, what is known and what the object
//! remembers to what is to be done. No I/O, no SDK, no clock, nothing to await.
//!
//! ```text
//! Received + Facts ── check ──> Checked + Verdict ── decide ──> Ending ──> Outcome
//! ```
//!
//! Every rule is in here: which records are skipped, refused or answered from memory, what becomes a
//! dead letter, which numbers and ids events get, what is remembered. A lane fetches the facts, and
//! carries an [`Outcome`] out: the dead letter, then the records, then the state. Nothing that is made
//! here changes afterwards; only an [`Object`] does, and it can be taken back to its entry.

mod check;
mod decide;
mod draft;
mod ending;
mod object;
mod outcome;
pub mod outputs;
mod received;
#[cfg(test)]
mod tests;

pub use decide::Decide;

pub(crate) use check::{Address, Checked, Facts, Verdict, address, check, filled};
pub(crate) use decide::{Decided, decided};
pub(crate) use draft::{Emitter, Numbers};
pub(crate) use ending::{End, Ending, Stop};
pub(crate) use object::{Held, Kept, Object, Stateless};
pub(crate) use outcome::{Code, Outcome, Output, Timing};
pub(crate) use received::{Received, Unread, letter, remains};

use std::collections::HashMap;
use std::sync::Arc;

use millstream_events::{Declaration, Topic};

use crate::codec::Codec;
use crate::failure::Failure;
use crate::identity::Proofs;
use crate::state::State;

/// What is known wherever events are handled, all of it in memory.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub topics: &'a HashMap<&'static str, &'static Declaration>,
    pub proofs: &'a Proofs,
    /// Asked only for what it knows already: see [`crate::codec::Need`].
    pub codec: &'a Codec,
}

/// Everything at once, for lanes that hold many events and the states of their keys: checks an event,
/// decides about it and ends it. `object` is then what the outcome says, and what comes next for its
/// key goes on from there; where nothing comes of it, because the state or a transaction is given up,
/// it is to be dropped.
///
/// [`Stop::Need`]: a schema is not known yet. Have it fetched ([`Codec::fetch`]) and call again with the
/// same arguments: the object is as before. If it can never be known, that is `never`.
pub(crate) fn process<T: Topic, S: State>(
    rules: Rules<'_>,
    received: Arc<Received>,
    object: &mut Object<S>,
    facts: Facts<T::Event>,
    never: Option<Failure>,
    decide: impl Decide<T, S>,
) -> Result<(Checked, Outcome), Stop> {
    let bookkeeping = object.bookkeeping(&received);
    let (checked, verdict) = check(rules, received, facts, bookkeeping);
    let ended = end::<T, S>(rules, &checked, (verdict, never), object, decide);
    if let Err(Stop::Need(_)) = &ended {
        object.forget()?;
    }
    Ok((checked, ended?))
}

fn end<T: Topic, S: State>(
    rules: Rules<'_>,
    checked: &Checked,
    verdict: (Verdict<T::Event>, Option<Failure>),
    object: &mut Object<S>,
    decide: impl Decide<T, S>,
) -> Result<Outcome, Stop> {
    let ending = Ending {
        rules,
        checked,
        numbers: Numbers::from(checked),
    };
    let end = match verdict {
        (Verdict::Skip(reason), _) => End::Skip(reason),
        (_, Some(never)) => End::Refuse(never),
        (Verdict::Handle(event), None) => {
            let state = &mut object.stored.state;
            let decided = decided::<T, S>(state, event, None, checked, decide);
            decided.map_or_else(End::Refuse, End::Answer)
        }
        (Verdict::Repeat(before), None) => End::Repeat(before),
        (Verdict::Refuse(failure), None) => End::Refuse(failure),
    };
    ending.ended(object, &end)
}
