//! What becomes of one record of a foreign topic.

use std::borrow::Cow;

use millstream_events::{Declaration, Tombstones};
use rdkafka::message::{Message, OwnedMessage};

use super::headers;
use millstream_pipeline::codec::{Codec, DecodeError, RegistryError, Verdict};
use millstream_pipeline::dead_letter::{Reason, dead_letter};
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::kafka::publisher::Record;
use millstream_pipeline::kafka::transaction::Timed;
use millstream_pipeline::observe::metrics::TOMBSTONE;
use millstream_pipeline::record::key;
use millstream_pipeline::record::source_offset::SourceOffset;

/// Name of the guard in dead letters, where a handler's would stand.
const GUARD: &str = "guard";

/// A record on its way out, if it has one, and the code that it is counted under.
pub struct Checked {
    pub output: Option<Timed>,
    pub code: Cow<'static, str>,
}

/// Checks a record: it comes out on the guarded topic, as a dead letter, or not at all.
pub async fn check(
    codec: &Codec,
    declaration: &Declaration,
    group: &str,
    message: &OwnedMessage,
) -> Result<Checked, RegistryError> {
    if message.payload().is_none() && declaration.tombstones == Tombstones::Skip {
        return Ok(Checked {
            output: None,
            code: Cow::Borrowed(TOMBSTONE),
        });
    }
    let original = Record::copy_of(message);
    let timestamp = message.timestamp().to_millis();
    let failure = match key(codec, declaration, message.key()).await? {
        Ok(key) => {
            let value = message.payload().unwrap_or_default();
            match codec.check(declaration, value).await? {
                Verdict::Event | Verdict::Answerable(_) => {
                    let output = let_through(declaration, original, key, message);
                    return Ok(Checked {
                        output: Some((output, timestamp)),
                        code: Cow::Borrowed("ok"),
                    });
                }
                Verdict::Unusable(failure) => failure,
            }
        }
        Err(failure) => failure,
    };
    let position = SourceOffset {
        topic: message.topic().to_owned().into(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: timestamp.unwrap_or(0),
        taken_ms: None,
    };
    let reason = Reason {
        position: &position,
        handler: GUARD,
        group,
        failure: &failure,
    };
    let letter = dead_letter(declaration.dead_letter_topic(), original, &reason);
    Ok(Checked {
        output: Some((letter, None)),
        code: failure.code,
    })
}

/// The key as text, or why it has none.
async fn key(
    codec: &Codec,
    declaration: &Declaration,
    key: Option<&[u8]>,
) -> Result<Result<String, Failure>, RegistryError> {
    let key = key.unwrap_or_default();
    let text = match declaration.guard_key_field {
        None => plain(key),
        Some(field) => match codec.key(key, field).await {
            Ok(text) => Ok(text),
            Err(DecodeError::Registry(error)) => return Err(error),
            Err(DecodeError::Value(failure)) => Err(failure.message),
            Err(error @ DecodeError::UnknownSchema(_)) => Err(format!("the key: {error}")),
        },
    };
    let text = text.map_err(|reason| {
        let message = format!("{reason}; it must be the {}", declaration.key);
        Failure::new(failure::INVALID_KEY, message)
    });
    Ok(text.and_then(|text| {
        key::check(&text, declaration.key)?;
        Ok(text)
    }))
}

fn plain(key: &[u8]) -> Result<String, String> {
    match std::str::from_utf8(key) {
        Err(_) => Err("the key is not UTF-8".into()),
        // Text by chance: small numbers are valid UTF-8.
        Ok(_) if key.len() >= 5 && key[0] == 0 => Err(
            "the key begins with byte 0x00 as one encoded in Avro does; if it is one, declare `guard-key-field`"
                .into(),
        ),
        Ok(text) => Ok(text.to_owned()),
    }
}

fn let_through(
    declaration: &Declaration,
    original: Record,
    key: String,
    message: &OwnedMessage,
) -> Record {
    let mut record = original;
    record.topic = declaration.subscribed_topic();
    let mut add =
        |name: &'static str, value: Vec<u8>| record.headers.push((name.into(), Some(value.into())));
    add(headers::TOPIC, message.topic().into());
    add(headers::PARTITION, message.partition().to_string().into());
    add(headers::OFFSET, message.offset().to_string().into());
    if let Some(before) = record.key.replace(key.into_bytes())
        && declaration.guard_key_field.is_some()
    {
        record
            .headers
            .push((headers::KEY.into(), Some(before.into())));
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_keys_are_text() {
        assert_eq!(plain(b"order-1").as_deref(), Ok("order-1"));
        assert_eq!(plain("ключ".as_bytes()).as_deref(), Ok("ключ"));
        assert!(plain(&[0xff, 0xfe]).is_err());
        assert!(
            plain(b"\0\0\0\0\x07\x06abc")
                .unwrap_err()
                .contains("guard-key-field")
        );
    }
}
