//! How an attempt begins: with the object's state and the journal so far, which Restate sends before
//! anything else.
//!
//! The SDK's `get` journals what it reads: a log record more for each event, with the whole state in
//! it. A handler that journals nothing but one `set` can do without: its object is locked, so every
//! attempt finds the same state until the `set` is journaled, and then nothing is left to do
//! (decision 20).
//!
//! Source: restate-sdk-shared-core, `docs/service-invocation-protocol.md` and `protocol.proto`. A
//! message is a header of eight bytes (type, flags, length; big-endian) and a body in Protobuf.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};
use prost::Message;
use restate_sdk::endpoint::{Endpoint, ResponseBody};

use crate::state::STATE_ENTRY;

/// `GetLazyStateCommandMessage`.
const GET_STATE: u16 = 0x0402;
/// `SetStateCommandMessage`.
const SET_STATE: u16 = 0x0403;
/// `GetEagerStateCommandMessage`.
const GET_EAGER_STATE: u16 = 0x0407;

/// What is known of the object's state entry when an attempt begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// The entry, which no attempt has read or written; `None`: there is none.
    Sent(Option<Bytes>),
    /// An earlier attempt has written this, without reading the entry by its journal.
    Written(Bytes),
    /// The entry stands in the journal, or is not known.
    Journaled,
}

type Shared = Arc<Mutex<Option<Beginning>>>;

tokio::task_local! {
    static BEGINNING: Shared;
}

/// How the attempt began that this code runs in. It is told once: whoever comes second comes after
/// the state may have been written.
pub(crate) fn take() -> Beginning {
    let known = BEGINNING.try_with(|known| lock(known).take());
    known.ok().flatten().unwrap_or(Beginning::Journaled)
}

fn lock(known: &Shared) -> MutexGuard<'_, Option<Beginning>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the SDK handle a request whose handler may ask how its attempt began.
pub(crate) fn handle<B>(endpoint: &Endpoint, request: Request<B>) -> Response<Attempt>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let known = Shared::default();
    let (to, mut received) = (Arc::clone(&known), Some(Vec::new()));
    let request = request.map(|body| {
        body.map_frame(move |frame| {
            if let (Some(bytes), Some(data)) = (&mut received, frame.data_ref()) {
                bytes.extend_from_slice(data);
                if let Some(beginning) = read(bytes) {
                    *lock(&to) = Some(beginning);
                    received = None;
                }
            }
            frame
        })
    });
    let response = endpoint.handle(request);
    response.map(|body| Attempt { body, known })
}

/// The response, which runs the handler while it is polled.
pub(crate) struct Attempt {
    body: ResponseBody,
    known: Shared,
}

impl Body for Attempt {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let known = Arc::clone(&self.known);
        BEGINNING.sync_scope(known, || Pin::new(&mut self.body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Reads the first messages; `None`: not all of them are there yet.
fn read(mut rest: &[u8]) -> Option<Beginning> {
    let (_, start) = message(&mut rest)?;
    message(&mut rest)?; // The input, always the first entry.
    // What this cannot read the SDK complains about.
    let Ok(start) = Start::decode(start) else {
        return Some(Beginning::Journaled);
    };
    for _ in 1..start.known_entries {
        let (kind, entry) = message(&mut rest)?;
        if [SET_STATE, GET_STATE, GET_EAGER_STATE].contains(&kind) {
            match StateCommand::decode(entry) {
                Ok(other) if other.key != STATE_ENTRY => {}
                Ok(StateCommand { value, .. }) if kind == SET_STATE => {
                    return Some(Beginning::Written(value.unwrap_or_default().content));
                }
                _ => return Some(Beginning::Journaled),
            }
        }
    }
    let mut entries = start.state_map.into_iter();
    Some(match entries.find(|it| it.key == STATE_ENTRY) {
        Some(entry) => Beginning::Sent(Some(entry.value)),
        None if start.partial_state => Beginning::Journaled,
        None => Beginning::Sent(None),
    })
}

/// Takes one message: its type and its body.
fn message<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let mut header = rest.get(..8)?;
    let (kind, _flags, length) = (header.get_u16(), header.get_u16(), header.get_u32());
    let (body, left) = rest[8..].split_at_checked(length as usize)?;
    *rest = left;
    Some((kind, body))
}

/// `StartMessage`.
#[derive(Clone, PartialEq, prost::Message)]
struct Start {
    /// How many entries the journal has, and so how many messages follow.
    #[prost(uint32, tag = "3")]
    known_entries: u32,
    #[prost(message, repeated, tag = "4")]
    state_map: Vec<StateEntry>,
    /// Whether there is more state than `state_map` has.
    #[prost(bool, tag = "5")]
    partial_state: bool,
}

/// `StartMessage.StateEntry`.
#[derive(Clone, PartialEq, prost::Message)]
struct StateEntry {
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
struct Content {
    #[prost(bytes = "bytes", tag = "1")]
    content: Bytes,
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use millstream_topics::{ProductReservations, Topic};
    use restate_sdk::prelude::{HandlerResult, ObjectContext};

    use super::*;
    use crate::code::Failure;
    use crate::config::Endpoints;
    use crate::service::{Pipeline, Service};

    const END: u16 = 3;
    const START: u16 = 0;
    const INPUT: u16 = 0x0400;
    const OUTPUT: u16 = 0x0401;
    const SIGNAL: u16 = 0xFBFF;

    fn framed(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&kind.to_be_bytes()[..], &[0, 0], &length, body].concat()
    }

    fn state(value: &'static str) -> StateEntry {
        StateEntry {
            key: STATE_ENTRY.into(),
            value: value.into(),
        }
    }

    fn command(kind: u16, key: &'static str) -> Vec<u8> {
        let content = Content {
            content: "new".into(),
        };
        let command = StateCommand {
            key: key.into(),
            value: (kind == SET_STATE).then_some(content),
        };
        framed(kind, &command.encode_to_vec())
    }

    struct Refuses(Service);

    #[restate_sdk::object(name = "Refuses")]
    impl Refuses {
        #[handler(name = "onEvent")]
        async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
            let refuse = |(): &mut (), _| Err(Failure::invalid_request("no attempt decides twice"));
            self.0
                .handle::<ProductReservations, _>(&ctx, record, refuse)
                .await
        }
    }

    #[tokio::test]
    async fn an_attempt_after_the_state_was_written_ends_at_once() {
        let declarations = &[ProductReservations::DECLARATION];
        let pipeline = Pipeline::new(&Endpoints::default(), declarations, "test").unwrap();
        let endpoint = Endpoint::builder()
            .bind(Refuses(pipeline.service("Refuses")))
            .build();
        let set = command(SET_STATE, STATE_ENTRY);
        let request = Request::post("/invoke/Refuses/onEvent")
            .header("content-type", "application/vnd.restate.invocation.v6")
            .body(Full::from(sent(vec![state("new")], false, &[&set])))
            .unwrap();
        let answer = handle(&endpoint, request).into_body().collect().await;
        let answer = answer.unwrap().to_bytes();
        let (mut rest, mut kinds) = (&answer[..], Vec::new());
        while let Some((kind, _)) = message(&mut rest) {
            kinds.push(kind);
        }
        assert_eq!(kinds, [OUTPUT, END]);
    }

    /// What Restate sends of an object with this state and these entries after the input.
    fn sent(state_map: Vec<StateEntry>, partial_state: bool, entries: &[&[u8]]) -> Vec<u8> {
        let start = Start {
            known_entries: u32::try_from(entries.len()).unwrap() + 1,
            state_map,
            partial_state,
        };
        let start = framed(START, &start.encode_to_vec());
        [start, framed(INPUT, b""), entries.concat()].concat()
    }

    #[test]
    fn the_journal_decides_what_an_attempt_may_know() {
        let old = || vec![state("old"), state("not this one")];
        let known = Beginning::Sent(Some("old".into()));
        let written = Beginning::Written("new".into());
        let set = &command(SET_STATE, STATE_ENTRY)[..];
        let get = &command(GET_EAGER_STATE, STATE_ENTRY)[..];
        let lazy = &command(GET_STATE, STATE_ENTRY)[..];
        let other = &command(SET_STATE, "other")[..];
        let (signal, output) = (&framed(SIGNAL, b"")[..], &framed(OUTPUT, b"")[..]);
        for (state, is_partial, entries, beginning) in [
            (old(), false, &[][..], &known),
            (old(), true, &[], &known),
            (vec![], false, &[], &Beginning::Sent(None)),
            (vec![], true, &[], &Beginning::Journaled),
            // A redelivered record is only skipped.
            (old(), false, &[output], &known),
            (old(), false, &[signal], &known),
            (old(), false, &[other], &known),
            (old(), false, &[signal, set, output], &written),
            (old(), false, &[other, set], &written),
            (old(), false, &[get], &Beginning::Journaled),
            (old(), false, &[lazy, set], &Beginning::Journaled),
            (
                old(),
                false,
                &[framed(SET_STATE, b"\xff").leak()],
                &Beginning::Journaled,
            ),
        ] {
            let bytes = sent(state, is_partial, entries);
            assert_eq!(read(&bytes).as_ref(), Some(beginning), "{entries:?}");
            for cut in 0..bytes.len() {
                let early = read(&bytes[..cut]);
                assert!(
                    early.is_none() || early.as_ref() == Some(beginning),
                    "{cut}"
                );
            }
        }
        let unreadable = [framed(START, b"\xff"), framed(INPUT, b"")].concat();
        assert_eq!(read(&unreadable), Some(Beginning::Journaled));
    }
}
