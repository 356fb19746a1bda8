//! Whole numbers that are written with a fraction or an exponent: `1545.0` and `1e3` are integers
//! (JSON Schema), so clients may send them for one.
//!
//! They are made integers in the text, before it is read: a number that has been read as floating
//! point has no more than 53 bits, and may be rounded to a whole one that nobody wrote.

use std::borrow::Cow;

use serde_json::Number;

/// Digits of the largest integer of 64 bits.
const MAX_DIGITS: usize = 20;

/// The integer that a number is, if it is one of 64 bits.
pub fn integer(number: &Number) -> Option<i64> {
    let is_zero = || number.as_f64() == Some(0.0);
    // -0 is read as floating point.
    number.as_i64().or_else(|| is_zero().then_some(0))
}

/// The text with all whole numbers written as integers. What is no JSON is none afterwards either,
/// and what is wrong with it stays in its place as far as there is room.
pub fn written_plainly(text: &[u8]) -> Cow<'_, [u8]> {
    let mut plain: Option<Vec<u8>> = None;
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'-' | b'0'..=b'9' => {
                let rest = &text[at..];
                let length = rest.iter().position(|it| !is_of_number(*it));
                let number = &rest[..length.unwrap_or(rest.len())];
                if let Some(whole) = whole(number) {
                    let plain = plain.get_or_insert_with(|| Vec::with_capacity(text.len()));
                    plain.extend_from_slice(&text[copied..at]);
                    plain.extend_from_slice(whole.as_bytes());
                    // Spaces may follow a number.
                    let room = number.len().saturating_sub(whole.len());
                    plain.resize(plain.len() + room, b' ');
                    copied = at + number.len();
                }
                at += number.len();
            }
            _ => at += 1,
        }
    }
    match plain {
        None => Cow::Borrowed(text),
        Some(mut plain) => {
            plain.extend_from_slice(&text[copied..]);
            Cow::Owned(plain)
        }
    }
}

/// Where a string that begins here has ended.
fn end_of_string(text: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')
}

/// An integer's text for a number of another form, if it is whole and has not too many digits.
fn whole(number: &[u8]) -> Option<String> {
    let number = std::str::from_utf8(number).ok()?;
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (number, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    if exponent.is_none() && fraction.is_none() {
        return None;
    }
    let (sign, integer) = match integer.strip_prefix('-') {
        Some(integer) => ("-", integer),
        None => ("", integer),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    // Else it is no number at all, which the reader is to see.
    let is_number = are_digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(are_digits);
    if !is_number {
        return None;
    }
    let exponent: i64 = match exponent {
        Some(text) => {
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            are_digits(digits).then(|| text.parse().ok()).flatten()?
        }
        None => 0,
    };
    let fraction = fraction.unwrap_or_default();
    let digits = [integer, fraction].concat();
    let significant = digits.trim_start_matches('0');
    let trimmed = significant.trim_end_matches('0');
    if trimmed.is_empty() {
        // -0 is no integer to the reader.
        return sign.is_empty().then(|| "0".to_owned());
    }
    // The value is `trimmed` with so many zeros behind it.
    let dropped = i64::try_from(significant.len() - trimmed.len()).ok()?;
    let zeros = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(dropped)?;
    let zeros = usize::try_from(zeros).ok()?;
    let fits = trimmed.len().saturating_add(zeros) <= MAX_DIGITS;
    fits.then(|| format!("{sign}{trimmed}{}", "0".repeat(zeros)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Value {
        super::super::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        for (text, number) in [
            ("1545.0", 1545),
            ("1e3", 1000),
            ("1.20E+2", 120),
            ("100e-2", 1),
            ("-7.000", -7),
            ("0.0", 0),
            ("0e99999999999", 0),
            ("0.5e1", 5),
            // 2^53 + 1, which floating point has not.
            ("9007199254740993.0", 9_007_199_254_740_993),
            ("9223372036854775807.0", i64::MAX),
            ("-9.223372036854775808e18", i64::MIN),
        ] {
            assert_eq!(
                integer(read(text).as_number().unwrap()),
                Some(number),
                "{text}"
            );
        }
        assert_eq!(read("18446744073709551615.0"), json!(u64::MAX));
    }

    #[test]
    fn other_numbers_stay_what_they_are() {
        for text in [
            "1.5",
            "1e-1",
            "4503599627370497.2",
            "1e300",
            "0.1",
            "-0",
            "-0.0",
            "9223372036854775808.5",
            "123456789012345678901.0",
        ] {
            let read = read(text);
            assert!(read.is_f64(), "{text}");
            assert_eq!(read, serde_json::from_str::<Value>(text).unwrap(), "{text}");
            let is_zero = text.starts_with("-0");
            let expected = is_zero.then_some(0);
            assert_eq!(integer(read.as_number().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_left_alone() {
        let text = r#"{"1.0":"2.0 \" 3.0","list":[1.0,"\\",2.0e0 ,{"a":3.00}]}"#;
        let expected = json!({ "1.0": "2.0 \" 3.0", "list": [1, "\\", 2, { "a": 3 }] });
        assert_eq!(read(text), expected);
        for broken in [
            "01.0", "1.", "1.0.0", "1e", "+1.0", "--1.0", "1e+", "\"1.0", "[1.0", "1.0e0e0",
        ] {
            assert!(super::super::parse(broken.as_bytes()).is_err(), "{broken}");
        }
        // What is wrong is found where it is.
        let error = super::super::parse(br#"{"a":1.0,"b":x}"#).unwrap_err();
        assert_eq!((error.line(), error.column()), (1, 14));
    }

    proptest! {
        #[test]
        fn any_integer_is_itself_in_any_spelling(number: i64, zeros in 0usize..6, shift in 0u32..6) {
            let plain = number.to_string();
            let zeros = "0".repeat(zeros);
            prop_assert_eq!(read(&format!("{plain}.0{zeros}")), json!(number));
            if number != 0 {
                prop_assert_eq!(read(&format!("{plain}{zeros}e-{}", zeros.len())), json!(number));
            }
            let part = number / 10_i64.pow(shift);
            prop_assert_eq!(read(&format!("{part}e{shift}")), json!(part * 10_i64.pow(shift)));
        }

        /// Whatever is not JSON is none, and nothing else changes.
        #[test]
        fn any_bytes_are_read_as_before(text in "[-+0-9.eE\"\\\\\\[\\], a]{0,24}") {
            let before = serde_json::from_str::<Value>(&text);
            let after = super::super::parse(text.as_bytes());
            prop_assert_eq!(before.is_ok(), after.is_ok(), "{}", text);
        }
    }
}
