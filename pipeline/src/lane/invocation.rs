//! What the id of an invocation tells, as Restate shows it.
//!
//! It has 8 bytes and 16 bytes, each as a number whose lowest byte comes first, in base62 of 11 and 22
//! digits. Of an invocation that a subscription makes the 16 bytes are a ULID: the first six are the
//! milliseconds since 1970-01-01 UTC, by Restate's clock, at which Restate took the record. Those of a
//! workflow's `run` are a digest.
//!
//! Source: restate, crates/types/src/identifiers.rs (`InvocationUuid::generate`) and base62_util.rs.

use std::time::{SystemTime, UNIX_EPOCH};

/// What an id begins with.
const PREFIX: &str = "inv_1";
/// Digits of the first number.
const KEY_DIGITS: usize = 11;
/// Digits of the second one.
const UUID_DIGITS: usize = 22;

/// 2020-01-01: there was no Restate before.
const FIRST_MS: i64 = 1_577_836_800_000;
/// A day: so much the clocks of an installation may differ before an id is not believed.
const SKEW_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether this is an invocation's id.
pub fn is_id(text: &str) -> bool {
    uuid(text).is_some()
}

/// When an invocation was made, in milliseconds since 1970-01-01 UTC; the same at every attempt.
/// `None`: its id does not tell.
pub fn made_ms(id: &str) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    made_by(i64::try_from(now.as_millis()).ok()?, id)
}

/// The same of an id that is looked at `now`. A digest gives some time within the next 8,900 years.
fn made_by(now: i64, id: &str) -> Option<i64> {
    let [a, b, c, d, e, f, ..] = uuid(id)?;
    let made = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    (FIRST_MS..=now.saturating_add(SKEW_MS))
        .contains(&made)
        .then_some(made)
}

/// The 16 bytes of an id.
fn uuid(id: &str) -> Option<[u8; 16]> {
    let digits = id.strip_prefix(PREFIX)?;
    if digits.len() != KEY_DIGITS + UUID_DIGITS || !digits.is_ascii() {
        return None;
    }
    let (key, uuid) = digits.split_at(KEY_DIGITS);
    u64::try_from(base62(key)?).ok()?;
    Some(base62(uuid)?.to_le_bytes())
}

/// A number in base62 (digits, small letters, capitals), unless it has more than 128 bits.
fn base62(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'z' => digit - b'a' + 10,
            b'A'..=b'Z' => digit - b'A' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

/// An id that tells this time, for tests.
#[cfg(test)]
pub fn id_made(ms: i64) -> String {
    const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut bytes = [7; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    let mut rest = u128::from_le_bytes(bytes);
    let mut digits = [b'0'; UUID_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[usize::try_from(rest % 62).unwrap()];
        rest /= 62;
    }
    let uuid = str::from_utf8(&digits).unwrap();
    format!("{PREFIX}{}{uuid}", "1".repeat(KEY_DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_record_was_taken() {
        // Made by Restate 1.7.12.
        for (id, ms) in [
            ("inv_1j4BILaw2lc92dRWUuOgNyA5mPv1NziRRn", 1_795_947_693_990),
            ("inv_1kAfDxGWsTAX53Z7iTiLojpmiCXpz5JN85", 1_795_947_694_291),
        ] {
            assert_eq!(made_by(ms, id), Some(ms));
        }
        let now = jiff::Timestamp::now().as_millisecond();
        for ms in [FIRST_MS, 1_763_686_800_000, now, now + 3_600_000] {
            assert_eq!(made_ms(&id_made(ms)), Some(ms));
        }
        let days = |days: i64| days * 24 * 3_600_000;
        for ms in [0, FIRST_MS - 1, now + days(2), now + days(365_000)] {
            let id = id_made(ms);
            assert!(is_id(&id));
            assert_eq!(made_ms(&id), None, "{ms}: a digest, or another clock");
        }
    }

    #[test]
    fn what_is_no_id_tells_nothing() {
        // The largest numbers that an id can hold.
        assert!(is_id("inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC7"));
        for bad in [
            "",
            "inv_1",
            "inv_1lYGhA16ahyg0000000000000000000000",
            "inv_1000000000007N42dgm5tFLK9N8MT7fHC8",
            "inv_1ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "inv_1dqhEx4aQPXV7sn6BMfgGJwsh0ofK4uLZ-",
            "inv_1dqhEx4aQPXV7sn6BMfgGJwsh0ofK4uLZL0",
            "sign_1dqhEx4aQPXV7sn6BMfgGJwsh0ofK4uLZL",
        ] {
            assert!(!is_id(bad), "{bad}");
            assert_eq!(made_ms(bad), None, "{bad}");
        }
    }
}
