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
