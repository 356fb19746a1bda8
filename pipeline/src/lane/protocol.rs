//! What Restate's service protocol says when an attempt begins and when it ends.
//!
//! Source: restate-sdk-shared-core, `docs/service-invocation-protocol.md` and `protocol.proto`. A
//! message is a header of eight bytes (type, flags, length; big-endian) and a body in Protobuf.

use bytes::{Buf, Bytes};
use prost::Message;

use crate::state::STATE_ENTRY;

/// `ErrorMessage`.
pub(crate) const ERROR: u16 = 0x0002;
/// `EndMessage`.
pub(crate) const END: u16 = 0x0003;
/// `OutputCommandMessage`.
pub(crate) const OUTPUT: u16 = 0x0401;
/// `GetLazyStateCommandMessage`.
const GET_STATE: u16 = 0x0402;
/// `SetStateCommandMessage`.
pub(crate) const SET_STATE: u16 = 0x0403;
/// `GetEagerStateCommandMessage`.
const GET_EAGER_STATE: u16 = 0x0407;

/// What is known of the object's state entry when an attempt begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EagerState {
    /// The entry, which no attempt has read or written; `None`: there is none.
    Eager(Option<Bytes>),
    /// An earlier attempt has written this, without reading the entry by its journal.
    AlreadySet(Bytes),
    /// The entry stands in the journal, or is not known.
    FromJournal,
}

/// What the first messages of an attempt say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct First {
    pub beginning: EagerState,
    /// The invocation's id, as Restate shows it.
    pub invocation: String,
    /// The attempt's number since the journal last grew, from 1.
    pub attempt: u32,
}

/// Whether these messages end an invocation.
pub(crate) fn ends(mut messages: &[u8]) -> bool {
    while let Some((kind, _)) = message(&mut messages) {
        if kind == END {
            return true;
        }
    }
    false
}

/// Reads the first messages; `None`: not all of them are there yet.
pub(crate) fn read(mut rest: &[u8]) -> Option<First> {
    let (_, start) = message(&mut rest)?;
    message(&mut rest)?; // The input, always the first entry.
    // What this cannot read the SDK complains about.
    let start = Start::decode(start).unwrap_or_else(|_| Start {
        partial_state: true,
        ..Start::default()
    });
    Some(First {
        invocation: start.debug_id.clone(),
        attempt: start.retry_count.saturating_add(1),
        beginning: beginning(start, rest)?,
    })
}

/// What is known of the state, after the entries in `rest`.
fn beginning(start: Start, mut rest: &[u8]) -> Option<EagerState> {
    for _ in 1..start.known_entries {
        let (kind, entry) = message(&mut rest)?;
        if [SET_STATE, GET_STATE, GET_EAGER_STATE].contains(&kind) {
            match StateCommand::decode(entry) {
                Ok(other) if other.key != STATE_ENTRY => {}
                Ok(StateCommand { value, .. }) if kind == SET_STATE => {
                    return Some(EagerState::AlreadySet(value.unwrap_or_default().content));
                }
                _ => return Some(EagerState::FromJournal),
            }
        }
    }
    let mut entries = start.state_map.into_iter();
    Some(match entries.find(|it| it.key == STATE_ENTRY) {
        Some(entry) => EagerState::Eager(Some(entry.value)),
        None if start.partial_state => EagerState::FromJournal,
        None => EagerState::Eager(None),
    })
}

/// Takes one message: its type and its body.
pub(crate) fn message<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let mut header = rest.get(..8)?;
    let (kind, _flags, length) = (header.get_u16(), header.get_u16(), header.get_u32());
    let (body, left) = rest[8..].split_at_checked(length as usize)?;
    *rest = left;
    Some((kind, body))
}

/// One message.
pub(crate) fn framed(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let length = length.to_be_bytes();
    [&kind.to_be_bytes()[..], &[0, 0], &length, body].concat()
}

/// `StartMessage`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Start {
    /// The invocation's id, as Restate shows it.
    #[prost(string, tag = "2")]
    pub debug_id: String,
    /// How many entries the journal has, and so how many messages follow.
    #[prost(uint32, tag = "3")]
    known_entries: u32,
    #[prost(message, repeated, tag = "4")]
    state_map: Vec<StateEntry>,
    /// Whether there is more state than `state_map` has.
    #[prost(bool, tag = "5")]
    partial_state: bool,
    /// Key of the object or workflow; empty: it has none.
    #[prost(string, tag = "6")]
    pub key: String,
    /// How often the invocation was repeated since its journal last grew.
    #[prost(uint32, tag = "7")]
    retry_count: u32,
}

/// `InputCommandMessage`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Input {
    #[prost(message, repeated, tag = "1")]
    pub headers: Vec<Header>,
    #[prost(message, optional, tag = "14")]
    pub value: Option<Content>,
}

/// `Header`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `StartMessage.StateEntry`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StateEntry {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// What the commands that read and write state have in common, and the value written.
#[derive(Clone, PartialEq, prost::Message)]
struct StateCommand {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(message, optional, tag = "3")]
    value: Option<Content>,
}

/// `Value`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Content {
    #[prost(bytes = "bytes", tag = "1")]
    pub content: Bytes,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const START: u16 = 0;
    const INPUT: u16 = 0x0400;
    const SIGNAL: u16 = 0xFBFF;

    pub fn state(value: &'static str) -> StateEntry {
        StateEntry {
            key: STATE_ENTRY.into(),
            value: value.into(),
        }
    }

    pub fn command(kind: u16, key: &'static str) -> Vec<u8> {
        let content = Content {
            content: "new".into(),
        };
        let command = StateCommand {
            key: key.into(),
            value: (kind == SET_STATE).then_some(content),
        };
        framed(kind, &command.encode_to_vec())
    }

    /// What Restate sends of an object with this state and these entries after the input.
    pub fn sent(state_map: Vec<StateEntry>, partial_state: bool, entries: &[&[u8]]) -> Vec<u8> {
        let start = Start {
            known_entries: u32::try_from(entries.len()).unwrap() + 1,
            state_map,
            partial_state,
            retry_count: 4,
            debug_id: "inv_1".into(),
            ..Start::default()
        };
        let start = framed(START, &start.encode_to_vec());
        [start, framed(INPUT, b""), entries.concat()].concat()
    }

    #[test]
    fn the_journal_decides_what_an_attempt_may_know() {
        let old = || vec![state("old"), state("not this one")];
        let known = EagerState::Eager(Some("old".into()));
        let written = EagerState::AlreadySet("new".into());
        let set = &command(SET_STATE, STATE_ENTRY)[..];
        let get = &command(GET_EAGER_STATE, STATE_ENTRY)[..];
        let lazy = &command(GET_STATE, STATE_ENTRY)[..];
        let other = &command(SET_STATE, "other")[..];
        let (signal, output) = (&framed(SIGNAL, b"")[..], &framed(OUTPUT, b"")[..]);
        for (state, is_partial, entries, beginning) in [
            (old(), false, &[][..], &known),
            (old(), true, &[], &known),
            (vec![], false, &[], &EagerState::Eager(None)),
            (vec![], true, &[], &EagerState::FromJournal),
            // A redelivered record is only skipped.
            (old(), false, &[output], &known),
            (old(), false, &[signal], &known),
            (old(), false, &[other], &known),
            (old(), false, &[signal, set, output], &written),
            (old(), false, &[other, set], &written),
            (old(), false, &[get], &EagerState::FromJournal),
            (old(), false, &[lazy, set], &EagerState::FromJournal),
            (
                old(),
                false,
                &[framed(SET_STATE, b"\xff").leak()],
                &EagerState::FromJournal,
            ),
        ] {
            let bytes = sent(state, is_partial, entries);
            let first = First {
                beginning: beginning.clone(),
                invocation: "inv_1".into(),
                attempt: 5,
            };
            assert_eq!(read(&bytes), Some(first.clone()), "{entries:?}");
            for cut in 0..bytes.len() {
                let early = read(&bytes[..cut]);
                assert!(early.is_none_or(|early| early == first), "{cut}");
            }
        }
        let unreadable = [framed(START, b"\xff"), framed(INPUT, b"")].concat();
        let first = read(&unreadable).unwrap();
        assert_eq!(first.beginning, EagerState::FromJournal);
    }
}
