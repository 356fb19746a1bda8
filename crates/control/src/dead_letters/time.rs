//! Times as people write them.

/// The text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time: write 2026-11-21T08:00:00Z, or how long ago, such as 30m, 2h or 7d")]
pub struct TimeError(String);

/// Reads a time (RFC 3339), or how long before `now_ms` it was (`90s`, `30m`, `2h`, `7d`); in
/// milliseconds since 1970-01-01 UTC.
pub fn parse(text: &str, now_ms: i64) -> Result<i64, TimeError> {
    let wrong = || TimeError(text.to_owned());
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: i64 = match &text[digits.len()..] {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let ago = number.checked_mul(unit).filter(|ago| *ago >= 0);
    now_ms.checked_sub(ago.ok_or_else(wrong)?).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        assert_eq!(parse("1970-01-01T00:00:01Z", 0), Ok(1000));
        assert_eq!(parse("1970-01-01T01:00:00+01:00", 0), Ok(0));
        assert_eq!(parse("2h", 7_300_000), Ok(100_000));
        for wrong in [
            "",
            "h",
            "2",
            "2w",
            "-1h",
            "yesterday",
            "9999999999999999999d",
        ] {
            assert!(parse(wrong, 0).is_err(), "{wrong}");
        }
    }
}
