//! Bytes that must all be there.

use std::io::{Error, ErrorKind, Read, Result};

/// A reader over `0` that fails where a value ends too early. To the Avro library an end is a null:
/// it would read a body that was cut off as one with nulls in it.
pub struct Whole<'b>(pub &'b [u8]);

impl Read for Whole<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some((head, rest)) = self.0.split_at_checked(buffer.len()) else {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the bytes end before the value does",
            ));
        };
        buffer.copy_from_slice(head);
        self.0 = rest;
        Ok(head.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Payload, WriterSchema};

    /// Each kind that the Avro library reads as null at the end of the bytes.
    #[test]
    fn a_body_that_is_cut_off_is_undecodable_wherever_the_cut_is() {
        let schema = r#"{"type": "record", "name": "t.T", "fields": [
            {"name": "text", "type": "string"},
            {"name": "flag", "type": "boolean"},
            {"name": "maybe", "type": ["null", "string"]}]}"#;
        let writer = WriterSchema::parse(1, schema).unwrap();
        let body = [2, b'x', 1, 2, 2, b'y'];
        let generic = |body| Payload::new(&writer, body).and_then(|it| it.generic());
        assert!(generic(&body).is_ok());
        for end in 0..body.len() {
            let cut = generic(&body[..end]);
            assert!(cut.is_err(), "{end}: {cut:?}");
        }
    }
}
