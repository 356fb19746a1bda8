//! Digests that ids and windows are made of.

use sha2::{Digest, Sha256};

/// [`digest`] of the one part that these make together, without a copy of them.
pub fn digest_of_joined(parts: &[&[u8]]) -> [u8; 32] {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut hash = Sha256::new();
    hash.update((length as u64).to_be_bytes());
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// SHA-256 over `parts`, each preceded by its length so that no two lists run into each other.
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The first `N` bytes of a digest in lower-case hexadecimal.
pub fn hex<const N: usize>(digest: &[u8; 32]) -> String {
    let mut text = vec![0; 2 * N];
    put_hex(&mut text, &digest[..N]);
    // It has no other letters.
    String::from_utf8(text).unwrap_or_default()
}

/// Writes bytes in lower-case hexadecimal, as far as there is room.
pub fn put_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (text, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
        *text = [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]);
    }
}

/// The id of an event that a handler emits: the same at every attempt.
pub fn derived_id(input_id: &str, handler: &str, output: u32) -> String {
    hex::<16>(&digest(&[
        input_id.as_bytes(),
        handler.as_bytes(),
        &output.to_be_bytes(),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_has_the_digest_of_the_whole() {
        let whole = digest(&[b"body and meta"]);
        assert_eq!(digest_of_joined(&[b"body", b" and meta"]), whole);
        assert_ne!(digest(&[b"body", b" and meta"]), whole);
    }
}
