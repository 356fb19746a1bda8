//! Numbers in Avro's binary form.
//!
//! Source: Avro 1.12.0, "Binary encoding": zig-zag, and seven bits to a byte with the lowest first.

/// A number, and what is behind it.
#[inline]
pub fn long(bytes: &[u8]) -> Result<(i64, &[u8]), String> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((
                (number >> 1) as i64 ^ -((number & 1) as i64),
                &bytes[index + 1..],
            ));
        }
    }
    Err("a number does not end".into())
}

/// Appends a number.
#[inline]
pub fn put_long(bytes: &mut Vec<u8>, number: i64) {
    let mut left = ((number << 1) ^ (number >> 63)).cast_unsigned();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for (number, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[127]),
            (64, &[128, 1]),
        ] {
            let mut bytes = Vec::new();
            put_long(&mut bytes, number);
            assert_eq!(bytes, expected);
        }
        for number in [i64::MIN, i64::MAX, 1 << 40, -(1 << 40)] {
            let mut bytes = Vec::new();
            put_long(&mut bytes, number);
            bytes.push(7);
            assert_eq!(long(&bytes), Ok((number, &[7][..])));
        }
        assert!(long(&[0x80; 11]).is_err() && long(&[]).is_err());
    }
}
