//! Requests to handlers as Restate makes them: for tests that forge them.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millstream_pipeline::identity::SigningKey;
use millstream_pipeline::record::source_offset::SourceOffset;

/// Version of the service protocol.
pub const CONTENT_TYPE: &str = "application/vnd.restate.invocation.v5";

/// A token for a request to `path`, issued so many seconds from now, as Restate makes it.
pub fn token(key: &SigningKey, path: &str, seconds: i64) -> String {
    let issued = jiff::Timestamp::now().as_second() + seconds;
    let header = serde_json::json!({
        "typ": "JWT", "alg": "EdDSA", "kid": key.public().to_string(),
    });
    let claims = serde_json::json!({
        "aud": path, "iat": issued, "nbf": issued - 60, "exp": issued + 60,
    });
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", encode(&signature))
}

/// The body of a request that makes an object's handler handle a record, with no state before.
pub fn invocation(key: &str, position: &SourceOffset, record: &[u8]) -> Vec<u8> {
    // Protocol buffers: fields with a length (wire type 2), and one number.
    let start = [
        field(1, b"forged-invocation-id"),
        field(2, b"inv_forged"),
        vec![3 << 3, 1],
        field(6, key.as_bytes()),
    ];
    let headers = [
        ("kafka.topic", position.topic.clone().into_owned()),
        ("kafka.partition", position.partition.to_string()),
        ("kafka.offset", position.offset.to_string()),
        ("kafka.timestamp", position.timestamp_ms.to_string()),
    ];
    let headers = headers.map(|(name, value)| {
        let header = [field(1, name.as_bytes()), field(2, value.as_bytes())];
        field(1, &header.concat())
    });
    let input = [headers.concat(), field(14, &field(1, record))];
    [message(0, &start.concat()), message(0x400, &input.concat())].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

/// A message of the service protocol: type, no flags, length.
fn message(kind: u16, bytes: &[u8]) -> Vec<u8> {
    let header = u64::from(kind) << 48 | bytes.len() as u64;
    [&header.to_be_bytes(), bytes].concat()
}
