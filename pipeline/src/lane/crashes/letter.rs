//! What becomes of a record that must not be handled again. Its journal may hold steps that only its
//! handler could repeat, so the answer is given in the service protocol, without the SDK.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use millstream_events::EventMeta;
use prost::Message;
use restate_sdk::prelude::HandlerError;

use crate::codec::{DecodeError, RegistryError};
use crate::failure::{self, CRASHED_STATUS, Failure};
use crate::lane::protocol::{Content, END, ERROR, Header, Input, OUTPUT, Start, framed, message};
use crate::lane::stateless::of_base64;
use crate::lane::{Handled, Handling};
use crate::process::{Checked, End, Received, Stateless, address};
use crate::record::source_offset::SourceOffset;
use crate::service::{Pipeline, Shared};

pub(crate) const MESSAGE: &str = "handling this event ended the process several times, so it is not handled \
    again; look at the end of the handlers' log, mend the handler and replay the dead letter";

/// The messages that end the invocation; `None`: nothing is known of where it came from, so it is
/// left to its handler.
pub(super) fn answer(
    pipeline: &Pipeline,
    path: &str,
    mut messages: &[u8],
    is_read: bool,
) -> Option<BoxFuture<'static, Bytes>> {
    let start = Start::decode(message(&mut messages)?.1).ok()?;
    let input = Input::decode(message(&mut messages)?.1).ok()?;
    let mut names = path.rsplit('/');
    let (handler, service) = (names.next()?, names.next()?);
    let header_of = |name| header(&input.headers, name);
    let position = SourceOffset::from_headers(&start.debug_id, header_of).ok()?;
    let declaration = *pipeline.shared.topics.get(&*position.topic)?;
    let subscription = declaration
        .subscriptions
        .iter()
        .find(|it| it.service == service && it.handler == handler);
    let Some(subscription) = subscription else {
        // The run of a workflow: whoever awaits it is told, and keeps the dead letter.
        let failure = Output::Failed(CRASHED_STATUS.into(), MESSAGE.into());
        return Some(async move { failure.messages() }.boxed());
    };
    let key = match start.key.is_empty() {
        false => start.key,
        true => of_base64(header(&input.headers, "kafka.key").unwrap_or_default()),
    };
    let record = input.value.unwrap_or_default().content;
    let received = Arc::new(Received {
        declaration,
        service: subscription.service,
        handler: format!("{service}/{handler}").into(),
        key: key.into(),
        position,
        shard_epoch: 0,
        record,
    });
    let handling = Handling::begin(&pipeline.shared);
    Some(
        async move {
            match refuse(handling, received, is_read).await {
                Ok(()) => Output::Done.messages(),
                Err(error) => Output::Retry(format!("{error:?}")).messages(),
            }
        }
        .boxed(),
    )
}

/// Keeps the record as a dead letter, and answers a command whose `meta` can be read.
async fn refuse(
    handling: Handling,
    received: Arc<Received>,
    is_read: bool,
) -> Result<(), HandlerError> {
    let checked = match unread(&handling.shared, Arc::clone(&received), is_read).await {
        Ok(checked) => checked,
        Err(error) => return Err(handling.retry(&received, None, error)),
    };
    let failure = Failure::new(failure::HANDLER_CRASHED, MESSAGE);
    let handled = Handled::new(handling, checked);
    handled
        .end(None, &mut Stateless, End::Refuse(failure))
        .await
}

/// What is known of a record that is not to be decoded: its `meta`, where that is to be read, and where
/// a command's answer goes.
pub(crate) async fn unread(
    shared: &Shared,
    received: Arc<Received>,
    is_read: bool,
) -> Result<Checked, RegistryError> {
    let (mut meta, mut is_command) = (None, false);
    if is_read {
        let look = shared.codec.look(&received.record, |payload| {
            (payload.full_name().to_owned(), payload.meta_alone())
        });
        match look.await {
            Ok((full_name, read)) => {
                // Nobody has looked whether it is proven.
                meta = read.map(|meta| EventMeta {
                    principal: None,
                    proof: None,
                    ..meta
                });
                let event = received.declaration.event(&full_name);
                is_command = event.is_some_and(|event| event.is_command());
            }
            Err(DecodeError::Registry(error)) => return Err(error),
            Err(_) => {}
        }
    }
    let unread = Checked::unread(received, meta);
    // If another address was meant, the declared one takes the answer.
    let (reply, _) = match is_command {
        true => address(shared.rules(), &unread.received, &unread.meta),
        false => (None, None),
    };
    Ok(Checked { reply, ..unread })
}

fn header<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.key == name);
    header.map(|header| header.value.as_str())
}

enum Output {
    Done,
    Failed(u32, String),
    Retry(String),
}

impl Output {
    fn messages(self) -> Bytes {
        let (value, failure) = match self {
            Self::Done => (Some(Content::default()), None),
            Self::Failed(code, message) => (None, Some(Told { code, message })),
            Self::Retry(message) => {
                let told = Told { code: 500, message };
                return framed(ERROR, &told.encode_to_vec()).into();
            }
        };
        let output = framed(OUTPUT, &Ending { value, failure }.encode_to_vec());
        [output, framed(END, b"")].concat().into()
    }
}

/// `OutputCommandMessage`.
#[derive(Clone, PartialEq, prost::Message)]
struct Ending {
    #[prost(message, optional, tag = "14")]
    value: Option<Content>,
    #[prost(message, optional, tag = "15")]
    failure: Option<Told>,
}

/// What `Failure` and `ErrorMessage` have in common.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(uint32, tag = "1")]
    code: u32,
    #[prost(string, tag = "2")]
    message: String,
}
