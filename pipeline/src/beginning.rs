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
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};
use prost::Message;
use restate_sdk::endpoint::{Endpoint, ResponseBody};

use crate::state::STATE_ENTRY;

const SET_STATE: u16 = 0x0403;
/// Types of journaled commands; those above are of notifications.
const COMMANDS: std::ops::Range<u16> = 0x0400..0x8000;

/// What is known when an attempt begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// No attempt has journaled anything. The state entry; `None`: there is none.
    Nothing(Option<Bytes>),
    /// An earlier attempt has written the state entry first of all, and this into it.
    Written(Bytes),
    /// Something else was journaled, or is not known.
    Other,
}

tokio::task_local! {
    static BEGINNING: Arc<OnceLock<Beginning>>;
}

/// How the attempt began that this code runs in.
pub(crate) fn of_attempt() -> Beginning {
    let known = BEGINNING.try_with(|known| known.get().cloned());
    known.ok().flatten().unwrap_or(Beginning::Other)
}

/// Lets the SDK handle a request whose handler may ask how its attempt began.
pub(crate) fn handle<B>(endpoint: &Endpoint, request: Request<B>) -> Response<Attempt>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let known = Arc::new(OnceLock::new());
    let mut received = Vec::new();
    let request = request.map(|body| {
        let known = Arc::clone(&known);
        body.map_frame(move |frame| {
            if let (None, Some(data)) = (known.get(), frame.data_ref()) {
                received.extend_from_slice(data);
                if let Some(beginning) = read(&received) {
                    received = Vec::new();
                    let _ = known.set(beginning);
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
    known: Arc<OnceLock<Beginning>>,
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
    // What this cannot read the SDK complains about.
    let Ok(start) = Start::decode(start) else {
        return Some(Beginning::Other);
    };
    message(&mut rest)?; // The input, always the first entry.
    for _ in 1..start.known_entries {
        let (kind, entry) = message(&mut rest)?;
        if COMMANDS.contains(&kind) {
            return Some(written(kind, entry));
        }
    }
    let mut entries = start.state_map.into_iter();
    Some(match entries.find(|it| it.key == STATE_ENTRY) {
        Some(entry) => Beginning::Nothing(Some(entry.value)),
        None if start.partial_state => Beginning::Other,
        None => Beginning::Nothing(None),
    })
}

/// What the first command was, if it wrote the state entry.
fn written(kind: u16, entry: &[u8]) -> Beginning {
    match (kind, SetState::decode(entry)) {
        (SET_STATE, Ok(set)) if set.key == STATE_ENTRY => {
            Beginning::Written(set.value.unwrap_or_default().content)
        }
        _ => Beginning::Other,
    }
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

/// `SetStateCommandMessage`.
#[derive(Clone, PartialEq, prost::Message)]
struct SetState {
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
    const GET: u16 = 0x0407;
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

    fn set(key: &'static str) -> Vec<u8> {
        let content = Content {
            content: "new".into(),
        };
        let set = SetState {
            key: key.into(),
            value: Some(content),
        };
        framed(SET_STATE, &set.encode_to_vec())
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
        let entries = [set(STATE_ENTRY)];
        let request = Request::post("/invoke/Refuses/onEvent")
            .header("content-type", "application/vnd.restate.invocation.v6")
            .body(Full::new(Bytes::from(sent(
                vec![state("new")],
                false,
                &entries,
            ))))
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
    fn sent(state_map: Vec<StateEntry>, partial_state: bool, entries: &[Vec<u8>]) -> Vec<u8> {
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
        let old = || vec![state("old")];
        let written = Beginning::Written("new".into());
        let nothing = |value: &'static str| Beginning::Nothing(Some(value.into()));
        let signal = framed(SIGNAL, b"");
        for (bytes, beginning) in [
            (sent(old(), false, &[]), nothing("old")),
            (sent(vec![], false, &[]), Beginning::Nothing(None)),
            (sent(vec![], true, &[]), Beginning::Other),
            (sent(old(), true, &[]), nothing("old")),
            (sent(old(), false, &[signal.clone()]), nothing("old")),
            (sent(old(), false, &[set("state")]), written.clone()),
            (
                sent(old(), false, &[signal, set("state"), framed(OUTPUT, b"")]),
                written,
            ),
            (sent(old(), false, &[set("other")]), Beginning::Other),
            (
                sent(old(), false, &[framed(GET, b""), set("state")]),
                Beginning::Other,
            ),
            (framed(START, b"\xff"), Beginning::Other),
        ] {
            assert_eq!(read(&bytes).as_ref(), Some(&beginning));
            for cut in 0..bytes.len() {
                let early = read(&bytes[..cut]);
                assert!(early.is_none() || early == Some(beginning.clone()), "{cut}");
            }
        }
    }
}
