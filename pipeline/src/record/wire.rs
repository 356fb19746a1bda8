//! Confluent's wire format: byte 0, the schema's id in four bytes, big end first, then the body.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format>

/// Bytes before the body.
pub const HEADER_LENGTH: usize = 5;

/// Splits a value into schema id and body; the error says what is wrong with it.
pub fn split(value: &[u8]) -> Result<(u32, &[u8]), String> {
    match value {
        [] => Err(
            "the value is null or empty; send an event in Confluent's wire format, or declare \
             `tombstones = \"skip\"` in the topic's file where a null only deletes a key"
                .into(),
        ),
        [0, a, b, c, d, body @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        [0, ..] => Err(format!(
            "the value has {} bytes; Confluent's wire format has a header of {HEADER_LENGTH}",
            value.len()
        )),
        [first, ..] => Err(format!(
            "the value starts with byte {first:#04x} instead of 0x00; \
             is its producer using Confluent's Avro serializer?"
        )),
    }
}

/// The header of a value with this schema id.
pub fn header(schema_id: u32) -> [u8; HEADER_LENGTH] {
    let [a, b, c, d] = schema_id.to_be_bytes();
    [0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_joined_is_split(id: u32, body: Vec<u8>) {
            let value = [&header(id)[..], &body].concat();
            prop_assert_eq!(split(&value), Ok((id, &body[..])));
        }

        #[test]
        fn any_bytes_are_split_or_refused(value: Vec<u8>) {
            let well_formed = value.len() >= HEADER_LENGTH && value[0] == 0;
            prop_assert_eq!(split(&value).is_ok(), well_formed);
        }
    }
}
