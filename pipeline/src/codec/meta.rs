//! The field `meta` in Avro's binary form, by hand: through the library, which goes field by field along
//! the schema, it took a tenth of what an event of the batch lane costs. Tests hold it to the library.
//!
//! Source: Avro 1.12.0, "Binary encoding".

use millstream_avro::binary::{long, put_long};
use millstream_events::EventMeta;

/// The branches of the union that the field is, and of its optional fields.
const NULL: i64 = 0;
const SOME: i64 = 1;

/// Appends `meta`.
pub(super) fn put(value: &mut Vec<u8>, meta: &EventMeta) {
    put_long(value, SOME);
    put_text(value, &meta.id);
    put_text(value, &meta.source);
    put_long(value, meta.time);
    put_text(value, &meta.correlation_id);
    put_texts(
        value,
        [
            &meta.causation_id,
            &meta.original_id,
            &meta.reply_to,
            &meta.reply_key,
            &meta.idempotency_key,
            &meta.principal,
            &meta.proof,
        ],
    );
    put_numbers(value, [meta.seq]);
    put_texts(value, [&meta.epoch]);
    put_numbers(value, [meta.not_before, meta.expires_at]);
    put_texts(value, [&meta.traceparent, &meta.tracestate]);
}

fn put_text(value: &mut Vec<u8>, text: &str) {
    // No text is longer than memory.
    put_long(value, text.len() as i64);
    value.extend_from_slice(text.as_bytes());
}

fn put_texts<const N: usize>(value: &mut Vec<u8>, texts: [&Option<String>; N]) {
    for text in texts {
        match text {
            Some(text) => {
                put_long(value, SOME);
                put_text(value, text);
            }
            None => put_long(value, NULL),
        }
    }
}

fn put_numbers<const N: usize>(value: &mut Vec<u8>, numbers: [Option<i64>; N]) {
    for number in numbers {
        match number {
            Some(number) => {
                put_long(value, SOME);
                put_long(value, number);
            }
            None => put_long(value, NULL),
        }
    }
}

/// Takes the field from the bytes that begin with it.
pub(super) fn take(rest: &mut &[u8]) -> Result<Option<EventMeta>, String> {
    if !is_some(rest)? {
        return Ok(None);
    }
    // In the order of the schema, which is that of the fields here.
    Ok(Some(EventMeta {
        id: text(rest)?,
        source: text(rest)?,
        time: number(rest)?,
        correlation_id: text(rest)?,
        causation_id: optional(rest, text)?,
        original_id: optional(rest, text)?,
        reply_to: optional(rest, text)?,
        reply_key: optional(rest, text)?,
        idempotency_key: optional(rest, text)?,
        principal: optional(rest, text)?,
        proof: optional(rest, text)?,
        seq: optional(rest, number)?,
        epoch: optional(rest, text)?,
        not_before: optional(rest, number)?,
        expires_at: optional(rest, number)?,
        traceparent: optional(rest, text)?,
        tracestate: optional(rest, text)?,
    }))
}

fn is_some(rest: &mut &[u8]) -> Result<bool, String> {
    match number(rest)? {
        NULL => Ok(false),
        SOME => Ok(true),
        other => Err(format!("a union of meta has no branch {other}")),
    }
}

fn optional<T>(
    rest: &mut &[u8],
    take: fn(&mut &[u8]) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match is_some(rest)? {
        true => take(rest).map(Some),
        false => Ok(None),
    }
}

fn number(rest: &mut &[u8]) -> Result<i64, String> {
    let (number, left) = long(rest)?;
    *rest = left;
    Ok(number)
}

fn text(rest: &mut &[u8]) -> Result<String, String> {
    let length = number(rest)?;
    let length = usize::try_from(length).map_err(|_| format!("a length is {length}"))?;
    let (text, left) = rest
        .split_at_checked(length)
        .ok_or("the bytes end before a text of meta does")?;
    *rest = left;
    let text = std::str::from_utf8(text).map_err(|_| "a text of meta is not UTF-8")?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::writer::datum::GenericDatumWriter;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn library_writes(meta: &EventMeta) -> Vec<u8> {
        let writer = GenericDatumWriter::builder(EventMeta::field_schema()).build();
        writer.unwrap().write_ser_to_vec(&Some(meta)).unwrap()
    }

    fn library_reads(rest: &mut &[u8]) -> Option<Option<EventMeta>> {
        let reader = GenericDatumReader::builder(EventMeta::field_schema()).build();
        reader.unwrap().read_deser(rest).ok()
    }

    prop_compose! {
        fn metas()(
            (id, source, correlation_id) in any::<(String, String, String)>(),
            texts in vec(option::of(any::<String>()), 10),
            (time, seq, not_before, expires_at) in any::<(i64, Option<i64>, Option<i64>, Option<i64>)>(),
        ) -> EventMeta {
            let mut texts = texts.into_iter();
            let mut next = || texts.next().flatten();
            EventMeta {
                id,
                source,
                time,
                correlation_id,
                causation_id: next(),
                original_id: next(),
                reply_to: next(),
                reply_key: next(),
                idempotency_key: next(),
                principal: next(),
                proof: next(),
                seq,
                epoch: next(),
                not_before,
                expires_at,
                traceparent: next(),
                tracestate: next(),
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_written_and_read_as_the_library_does(meta in metas()) {
            let mut value = Vec::new();
            put(&mut value, &meta);
            prop_assert_eq!(&value, &library_writes(&meta));
            value.extend_from_slice(b"behind");
            let mut rest = &value[..];
            prop_assert_eq!(take(&mut rest), Ok(Some(meta)));
            prop_assert_eq!(rest, b"behind");
        }

        /// What one of them reads, the other does, and to the same end.
        #[test]
        fn whatever_is_cut_or_changed_is_read_by_both_or_by_none(
            meta in metas(),
            cut: prop::sample::Index,
            (at, byte) in any::<(prop::sample::Index, u8)>(),
        ) {
            let mut value = library_writes(&meta);
            let place = at.index(value.len());
            value[place] = byte;
            value.truncate(cut.index(value.len() + 1));
            let (mut ours, mut theirs) = (&value[..], &value[..]);
            let (read, expected) = (take(&mut ours), library_reads(&mut theirs));
            prop_assert_eq!(read.clone().ok(), expected, "{:?}", read);
            if read.is_ok() {
                prop_assert_eq!(ours, theirs);
            }
        }
    }

    #[test]
    fn none_is_one_byte() {
        let mut rest = &[0, 7][..];
        assert_eq!(take(&mut rest), Ok(None));
        assert_eq!(rest, [7]);
        assert!(take(&mut &[4][..]).unwrap_err().contains("branch 2"));
    }
}
