//! A record that belongs to a request, as far as headers say it, and the rest out of its value.

use millstream_pipeline::dead_letter::headers;
use millstream_pipeline::events::EventMeta;
use millstream_pipeline::record::Record;
use millstream_pipeline::record::{cloudevents, relayed};

use crate::journey::Content;

/// So many letters are kept of a text that nobody limits.
const MAX_TEXT: usize = 2_000;

/// Headers that name the original of a dead letter.
pub(crate) const LETTER: [&str; 3] = [headers::TOPIC, headers::PARTITION, headers::OFFSET];
/// Headers that the guard adds to what it lets through.
pub(crate) const GUARD: [&str; 3] = [relayed::TOPIC, relayed::PARTITION, relayed::OFFSET];
/// How the topic that the guard writes is named.
const GUARDED: &str = "-guarded";
/// Header of a replayed record.
pub(crate) const REPLAY_OF: &str = millstream_control::dead_letters::REPLAY_OF;

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl Place {
    /// Reads `topic/partition/offset`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '/');
        let (offset, partition, topic) = (parts.next()?, parts.next()?, parts.next()?);
        let place = Self {
            topic: topic.to_owned(),
            partition: partition.parse().ok()?,
            offset: offset.parse().ok().filter(|offset| *offset >= 0)?,
        };
        (!topic.is_empty() && !topic.contains('/')).then_some(place)
    }
}

/// What says why a record is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The name of its original: where that stood. A timer's event that no topic takes stood nowhere:
    /// partition -1.
    pub original: String,
    /// Why.
    pub code: String,
    /// The same for people.
    pub message: String,
    /// Who could not handle it.
    pub handler: String,
}

/// One record.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where it stands.
    pub place: Place,
    /// When it was recorded, in milliseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Key, with U+FFFD for what is not UTF-8.
    pub key: Option<String>,
    /// Id; `None`: it has no `meta`.
    pub id: Option<String>,
    /// The request that it belongs to.
    pub correlation_id: Option<String>,
    /// What caused it.
    pub causation_id: Option<String>,
    /// Who emitted it.
    pub source: Option<String>,
    /// Full name.
    pub full_name: Option<String>,
    /// Trace id.
    pub trace_id: Option<String>,
    /// Why it is a dead letter.
    pub letter: Option<Letter>,
    /// The dead letter that it is a replay of.
    pub replay_of: Option<String>,
    /// The record that the guard let through as this one.
    pub relayed_from: Option<String>,
    /// Why the command was not carried out: of `RequestFailed`.
    pub failure: Option<(String, String)>,
    /// Of an event that sets a timer: when it is due.
    pub due: Option<i64>,
    /// The rest, where it is wanted.
    pub content: Option<Content>,
}

impl Found {
    /// What the record says without its value.
    pub fn of(record: &Record, partition: i32, offset: i64, time: i64) -> Self {
        let text = |name: &str| record.header(name).map(str::to_owned);
        Self {
            place: Place {
                topic: record.topic.clone(),
                partition,
                offset,
            },
            time,
            key: record
                .key
                .as_deref()
                .map(|key| String::from_utf8_lossy(key).into_owned()),
            id: text(cloudevents::ID),
            correlation_id: text(cloudevents::CORRELATION_ID),
            causation_id: text(cloudevents::CAUSATION_ID),
            source: record.header(cloudevents::SOURCE).map(clip),
            full_name: record.header(cloudevents::TYPE).map(clip),
            trace_id: text("traceparent").and_then(|it| trace_id(&it)),
            letter: letter(record),
            replay_of: text(REPLAY_OF),
            relayed_from: relayed_from(record),
            failure: None,
            due: None,
            content: None,
        }
    }

    /// What `meta` says where no header did.
    pub fn complete(&mut self, full_name: String, meta: Option<&EventMeta>) {
        self.full_name.get_or_insert(full_name);
        let Some(meta) = meta else { return };
        self.id.get_or_insert_with(|| meta.id.clone());
        self.correlation_id
            .get_or_insert_with(|| meta.correlation_id.clone());
        self.source.get_or_insert_with(|| clip(&meta.source));
        if self.causation_id.is_none() {
            self.causation_id.clone_from(&meta.causation_id);
        }
        if self.trace_id.is_none() {
            self.trace_id = meta.traceparent.as_deref().and_then(trace_id);
        }
    }

    /// Its id: where it has no `meta`, the place of the record, or of a dead letter's original.
    pub fn id(&self) -> String {
        match (&self.id, &self.letter) {
            (Some(id), _) => id.clone(),
            (None, Some(letter)) => letter.original.clone(),
            (None, None) => self.place.to_string(),
        }
    }

    /// The request that it belongs to: itself, where nobody says more.
    pub fn correlation_id(&self) -> String {
        self.correlation_id.clone().unwrap_or_else(|| self.id())
    }
}

/// The last reason counts: an original may have been somebody else's dead letter.
fn letter(record: &Record) -> Option<Letter> {
    let at = record
        .headers
        .iter()
        .rposition(|(name, _)| name == LETTER[0])?;
    let text = |name: &str| {
        let (_, value) = record.headers[at..].iter().find(|(key, _)| key == name)?;
        Some(clip(&String::from_utf8_lossy(value.as_deref()?)))
    };
    let place = LETTER.map(text);
    let [Some(topic), Some(partition), Some(offset)] = place else {
        return None;
    };
    Some(Letter {
        original: format!("{topic}/{partition}/{offset}"),
        code: text(headers::CODE)?,
        message: text(headers::MESSAGE).unwrap_or_default(),
        handler: text(headers::HANDLER).unwrap_or_default(),
    })
}

/// Where the record stood that the guard let through. A dead letter of it, and the replay of that, have
/// the same headers, and their own behind them.
fn relayed_from(record: &Record) -> Option<String> {
    let at = record
        .headers
        .iter()
        .rposition(|(name, _)| name == GUARD[0])?;
    let behind = &record.headers[at..];
    let is_another = |name: &str| name == LETTER[0] || name == REPLAY_OF;
    if behind.iter().any(|(name, _)| is_another(name)) {
        return None;
    }
    let text = |name: &str| {
        let (_, value) = behind.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    };
    let [Some(topic), Some(partition), Some(offset)] = GUARD.map(text) else {
        return None;
    };
    // Anybody can write such headers, but only the guard writes this topic.
    (record.topic.strip_suffix(GUARDED) == Some(topic))
        .then(|| clip(&format!("{topic}/{partition}/{offset}")))
}

fn clip(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

/// The trace that a `traceparent` names.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    let is_one = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = Place::parse("trip-bookings/3/12").unwrap();
        assert_eq!(place.to_string(), "trip-bookings/3/12");
        for no in [
            "", "a", "a/1", "/1/2", "a/b/c", "a/1/-1", "a/b/1/2", "a/1/2/",
        ] {
            assert_eq!(Place::parse(no), None, "{no}");
        }
    }

    #[test]
    fn the_last_reason_of_a_dead_letter_counts() {
        let header = |name: &'static str, value: &str| (name.into(), Some(value.to_owned().into()));
        let reason = |topic: &str, code: &str| {
            vec![
                header(LETTER[0], topic),
                header(LETTER[1], "1"),
                header(LETTER[2], "2"),
                header(headers::CODE, code),
            ]
        };
        let record = Record {
            topic: "t-dlq".into(),
            headers: [reason("other", "theirs"), reason("t", "undecodable")].concat(),
            ..Record::default()
        };
        let found = Found::of(&record, 0, 9, 7);
        let letter = found.letter.as_ref().unwrap();
        assert_eq!(
            (letter.original.as_str(), letter.code.as_str()),
            ("t/1/2", "undecodable")
        );
        assert_eq!(found.id(), "t/1/2");
        assert_eq!(found.correlation_id(), "t/1/2");
    }

    #[test]
    fn what_the_guard_let_through_says_where_it_stood_and_long_texts_are_cut() {
        let header = |name: &'static str, value: &str| (name.into(), Some(value.to_owned().into()));
        let guard = [(GUARD[0], "t"), (GUARD[1], "1"), (GUARD[2], "2")];
        let mut record = Record {
            topic: "t-guarded".into(),
            headers: guard.map(|(name, value)| header(name, value)).to_vec(),
            ..Record::default()
        };
        record
            .headers
            .push(header("ce_type", &"x".repeat(MAX_TEXT + 1)));
        let found = Found::of(&record, 0, 9, 7);
        assert_eq!(found.relayed_from.as_deref(), Some("t/1/2"));
        assert_eq!(found.full_name.map(|name| name.len()), Some(MAX_TEXT));
        let forged = Record {
            topic: "another".into(),
            ..record.clone()
        };
        assert_eq!(Found::of(&forged, 0, 9, 7).relayed_from, None);
        record.headers.push(header(REPLAY_OF, "t-guarded/0/1"));
        assert_eq!(Found::of(&record, 0, 9, 7).relayed_from, None);
    }

    #[test]
    fn a_trace_is_read_of_a_well_formed_header() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            trace_id(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(),
            Some(id)
        );
        assert_eq!(trace_id("00-xyz-00-01"), None);
        assert_eq!(trace_id(""), None);
    }
}
