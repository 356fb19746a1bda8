//! A dead letter for people.

use millstream_control::dead_letters::DeadLetter;
use millstream_pipeline::events::dlq_status::Mark;

use crate::output;

/// Prints all of it.
pub fn show(letter: &DeadLetter) {
    let field = |name: &str, value: &str| output::line(format!("{name:<12} {value}"));
    field("dead letter", &letter.id);
    field("code", &letter.code);
    field("message", &letter.message);
    field("handler", &letter.handler);
    field("group", &letter.group);
    field("recorded", &time(letter.timestamp));
    field(
        "kept",
        &format!("{} on {}", time(letter.kept), letter.dead_letter_topic),
    );
    if let Some(parts) = &letter.shortened {
        field("shortened", parts);
    }
    field("mark", &mark(letter));
    if let Some(note) = letter
        .marked
        .as_ref()
        .and_then(|marked| marked.note.as_ref())
    {
        field("note", note);
    }
    field("key", &bytes(letter.raw_key.as_deref()));
    for (name, value) in &letter.headers {
        field("header", &format!("{name} = {}", bytes(value.as_deref())));
    }
    if let Some(name) = &letter.full_name {
        field("type", name);
    }
    if let Some(data) = &letter.data {
        field("data", &data.to_string());
    }
    if let Some(meta) = &letter.meta {
        field("meta", &serde_json::to_string(meta).unwrap_or_default());
    }
    match &letter.value {
        None => field("value", "null"),
        Some(value) => {
            field("value", &format!("{} bytes", value.len()));
            value
                .chunks(16)
                .enumerate()
                .for_each(|(row, chunk)| dump(row, chunk));
        }
    }
    output::line("");
}

/// What became of it, in a few words.
pub fn mark(letter: &DeadLetter) -> String {
    let Some(marked) = &letter.marked else {
        return "-".into();
    };
    let word = match marked.mark {
        Mark::Replayed => "replayed",
        Mark::Handled => "handled",
        Mark::Discarded => "discarded",
    };
    format!("{word} by {}", marked.by)
}

/// A time span in its largest unit.
pub fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| time.to_string())
}

/// Text as it is, other bytes in hexadecimal.
fn bytes(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some([]) => "empty".into(),
        Some(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains(char::is_control) => text.to_owned(),
            _ => format!("0x{}", hex(bytes)),
        },
    }
}

fn dump(row: usize, chunk: &[u8]) {
    let pairs: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
    let text: String = chunk
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        })
        .collect();
    output::line(format!(
        "  {:08x}  {:<47}  {text}",
        row * 16,
        pairs.join(" ")
    ));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_bytes_are_short() {
        assert_eq!(age(59_999), "59s");
        assert_eq!((age(3_600_000), age(-5)), ("1h".into(), "0s".into()));
        assert_eq!(bytes(Some(b"k\xff")), "0x6bff");
        assert_eq!(
            (bytes(None), bytes(Some(b"k"))),
            ("null".into(), "k".into())
        );
    }
}
