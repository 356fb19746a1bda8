//! What became of dead letters: facts on the compacted topic `dlq-status`.

use millstream_events::{
    Declaration, DlqStatus, Event, EventMeta, Topic,
    dlq_status::{DeadLetterMarked, Mark},
};

use super::{Action, DeadLetter};
use millstream_pipeline::codec::{Codec, EncodeError, EncodedBody};
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::cloudevents;

/// `source` of the marks.
const SOURCE: &str = "millstream/dlq";

/// The topic.
pub fn topic() -> &'static Declaration {
    DlqStatus::DECLARATION
}

/// Reads a mark with the name of its dead letter.
pub fn read(seen: &Seen) -> Option<(String, DeadLetterMarked)> {
    let marked = seen.event::<DeadLetterMarked>().ok()?;
    Some((seen.key.clone()?, marked))
}

/// A mark made now.
pub fn marked(letter: &DeadLetter, mark: Mark, action: &Action) -> DeadLetterMarked {
    DeadLetterMarked {
        mark,
        recorded: letter.timestamp,
        by: action.by.clone(),
        time: jiff::Timestamp::now().as_microsecond(),
        note: action.note.clone(),
    }
}

/// The record of a mark.
pub async fn record(
    codec: &Codec,
    letter: &DeadLetter,
    marked: &DeadLetterMarked,
) -> Result<Record, EncodeError> {
    let id = uuid::Uuid::now_v7().to_string();
    let event = letter.meta.as_ref();
    let meta = EventMeta {
        source: SOURCE.into(),
        time: marked.time,
        correlation_id: event.map_or_else(|| id.clone(), |meta| meta.correlation_id.clone()),
        causation_id: Some(event.map_or_else(|| letter.id.clone(), |meta| meta.id.clone())),
        id,
        ..EventMeta::default()
    };
    let body = EncodedBody::of(marked).transpose()?;
    let value = match &body {
        Some(body) => Some(codec.join(body, Some(&meta)).await?),
        None => None,
    };
    let name = DeadLetterMarked::FULL_NAME;
    let value = value.unwrap_or_default();
    Ok(cloudevents::record(
        topic().name,
        &letter.id,
        name,
        &meta,
        value,
    ))
}
