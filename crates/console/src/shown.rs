//! What is shown of records: everything has an end, whatever was sent.

use std::fmt::Write as _;

use crate::browse::Found;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::HeaderList;
use serde_json::{Value, json};

/// Letters of a text in a list.
pub const IN_LIST: usize = 400;
/// Letters of a text that is shown by itself.
pub const WHOLE: usize = 64 * 1024;
/// Bytes that are shown as such.
const BYTES: usize = 4 * 1024;

/// A text's beginning, and whether that is all.
pub fn cut(text: &str, limit: usize) -> (String, bool) {
    match text.char_indices().nth(limit) {
        Some((at, _)) => (text[..at].to_owned(), false),
        None => (text.to_owned(), true),
    }
}

/// The same as text alone: what is missing is told in it.
pub fn short(text: &str, limit: usize) -> String {
    match cut(text, limit) {
        (text, true) => text,
        (begin, false) => format!("{begin}… ({} characters)", text.chars().count()),
    }
}

/// A record in a list.
pub fn row(seen: &Seen, size: usize) -> Value {
    let data = seen
        .data
        .as_ref()
        .map(|data| short(&data.to_string(), IN_LIST));
    json!({
        "topic": seen.topic,
        "partition": seen.partition,
        "offset": seen.offset,
        "timestamp": seen.timestamp,
        "key": seen.key.as_deref().map(|key| short(key, IN_LIST)),
        "type": seen.full_name,
        "data": data,
        "undecodable": seen.undecodable.as_deref().map(|it| short(it, IN_LIST)),
        "size": size,
        "correlation_id": seen.meta.as_ref().map(|meta| short(&meta.correlation_id, IN_LIST)),
    })
}

/// A record by itself.
pub fn record(found: &Found) -> Value {
    let seen = &found.seen;
    let meta = serde_json::to_value(&seen.meta).unwrap_or_default();
    json!({
        "topic": seen.topic,
        "partition": seen.partition,
        "offset": seen.offset,
        "timestamp": seen.timestamp,
        "key": seen.key.as_deref().map(|key| short(key, WHOLE)),
        "key_bytes": seen.raw_key.as_deref().map(bytes),
        "type": seen.full_name,
        "data": seen.data.as_ref().map(pretty),
        "meta": meta,
        "undecodable": seen.undecodable.as_deref().map(|it| short(it, WHOLE)),
        "size": found.size,
        "bytes": seen.value.as_deref().map(bytes),
        "headers": headers(&seen.raw_headers),
    })
}

/// JSON as people read it.
pub fn pretty(data: &Value) -> String {
    let text = serde_json::to_string_pretty(data).unwrap_or_default();
    short(&text, WHOLE)
}

/// Headers, by their names, as far as they are text; else as bytes.
pub fn headers(headers: &HeaderList) -> Value {
    let shown = headers.iter().take(100).map(|(name, value)| {
        let value = value.as_deref();
        let text = value.map(|value| match std::str::from_utf8(value) {
            Ok(text) if !text.chars().any(|it| it.is_control() && it != '\n') => short(text, 4_000),
            _ => hex(value.get(..64).unwrap_or(value)),
        });
        json!({ "name": short(name, IN_LIST), "value": text })
    });
    shown.collect()
}

/// Bytes as a dump: offset, hexadecimal, and the letters among them.
pub fn bytes(bytes: &[u8]) -> Value {
    let shown = bytes.get(..BYTES).unwrap_or(bytes);
    let mut dump = String::new();
    for (line, chunk) in shown.chunks(16).enumerate() {
        let letters: String = chunk
            .iter()
            .map(|it| match it {
                0x20..=0x7e => char::from(*it),
                _ => '.',
            })
            .collect();
        let _ = writeln!(dump, "{:06x}  {:<47}  {letters}", line * 16, hex(chunk));
    }
    json!({ "size": bytes.len(), "dump": dump, "whole": shown.len() == bytes.len() })
}

fn hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|it| format!("{it:02x}")).collect();
    pairs.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_end_between_letters_and_say_so() {
        assert_eq!(cut("äöü", 3), ("äöü".to_owned(), true));
        assert_eq!(cut("äöü", 2), ("äö".to_owned(), false));
        assert_eq!(short(&"ä".repeat(5), 2), "ää… (5 characters)");
        let dump = bytes(&vec![0x41; BYTES + 1]);
        assert_eq!(dump["whole"], false);
        assert_eq!(dump["size"], BYTES + 1);
        let text = dump["dump"].as_str().unwrap();
        assert!(text.starts_with("000000  41 41"), "{text}");
        assert!(text.lines().next().unwrap().ends_with("  AAAAAAAAAAAAAAAA"));
    }
}
