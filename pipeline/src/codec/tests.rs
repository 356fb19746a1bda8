use super::{Payload, WriterSchema};

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
