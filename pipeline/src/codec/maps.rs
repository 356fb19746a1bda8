//! Maps in a value, whose entries the Avro library keeps in no order.

use apache_avro::types::Value;
use sha2::{Digest, Sha256};

/// Empties the maps in a value; a digest of what each held is added to `digests`.
pub fn take_maps(value: &mut Value, digests: &mut Vec<[u8; 32]>) {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<_> = std::mem::take(entries).into_iter().collect();
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            let mut digest = Sha256::new();
            for (key, mut value) in entries {
                put(&mut digest, key.as_bytes());
                let mut inner = Vec::new();
                take_maps(&mut value, &mut inner);
                put(&mut digest, &inner.concat());
                // Without maps, equal values look equal.
                put(&mut digest, format!("{value:?}").as_bytes());
            }
            digests.push(digest.finalize().into());
        }
        Value::Record(fields) => {
            for (_, value) in fields {
                take_maps(value, digests);
            }
        }
        Value::Array(items) => {
            for value in items {
                take_maps(value, digests);
            }
        }
        Value::Union(_, value) => take_maps(value, digests),
        _ => {}
    }
}

fn put(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}
