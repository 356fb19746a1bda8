//! What a record's key may be: it is the id of an entity.

use crate::failure::{self, Failure};

/// A longer key is `invalid-key`. Restate keeps the key of an object with everything that concerns the
/// object, and sends it with every attempt.
pub const MAX_KEY_BYTES: usize = 1024;

/// Checks the length of a key, which must be `what`.
pub fn check(key: &str, what: &str) -> Result<(), Failure> {
    let reason = match key.len() {
        0 => format!("the key is empty; it must be the {what}"),
        length if length > MAX_KEY_BYTES => format!(
            "the key has {length} bytes and may have {MAX_KEY_BYTES}; it must be the {what}"
        ),
        _ => return Ok(()),
    };
    Err(Failure::new(failure::INVALID_KEY, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_length_and_an_end() {
        assert!(check("product1", "id").is_ok() && check(&"k".repeat(MAX_KEY_BYTES), "id").is_ok());
        for bad in [String::new(), "k".repeat(MAX_KEY_BYTES + 1)] {
            assert_eq!(check(&bad, "id").unwrap_err().code, failure::INVALID_KEY);
        }
    }
}
