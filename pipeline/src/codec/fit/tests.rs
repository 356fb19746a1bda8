use apache_avro::Schema;
use apache_avro::types::Value;
use serde_json::{Value as Json, json};

use crate::codec::{Payload, WriterSchema};
use millstream_avro::can_read;

/// A record with a field of this type.
fn record(kind: &Json) -> String {
    json!({"type": "record", "name": "t.R", "fields": [{"name": "f", "type": kind}]}).to_string()
}

/// What a reader of one type makes of the bytes that a writer of another wrote.
fn read(writer: &str, reader: &str, body: &[u8]) -> Result<Value, String> {
    let writer = WriterSchema::parse(1, writer).map_err(|failure| failure.message)?;
    let value = Payload::new(&writer, body).and_then(|payload| payload.generic());
    let (value, _) = value.map_err(|failure| failure.message)?;
    super::resolve(value, &Schema::parse_str(reader).unwrap())
}

fn only(value: Value) -> Value {
    match value {
        Value::Record(mut fields) if fields.len() == 1 => fields.remove(0).1,
        other => panic!("{other:?}"),
    }
}

fn zigzag(number: i64) -> Vec<u8> {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    let mut bytes = Vec::new();
    while rest > 0x7f {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [zigzag(text.len() as i64), text.as_bytes().to_vec()].concat()
}

fn long(logical: &str) -> Json {
    json!({"type": "long", "logicalType": logical})
}

fn int(logical: &str) -> Json {
    json!({"type": "int", "logicalType": logical})
}

/// Checks one pair: what is read, or `None`; and that whatever the registry takes for compatible is.
fn pair(writer: &Json, reader: &Json, body: &[u8], expected: Option<Value>) {
    let (writes, reads) = (record(writer), record(reader));
    let value = read(&writes, &reads, body);
    let compatible = can_read(&reads, &writes).unwrap();
    let told = format!("{writer} as {reader}: {value:?}");
    assert!(value.is_ok() || !compatible, "compatible, but {told}");
    assert_eq!(value.ok().map(only), expected, "{told}");
}

#[test]
fn numbers_with_a_unit_are_converted_to_ours() {
    const SECOND: i64 = 1_700_000_000;
    let millis = SECOND * 1_000 + 123;
    let micros = millis * 1_000 + 456;
    let nanos = micros * 1_000 + 789;
    let kinds = [("millis", millis), ("micros", micros), ("nanos", nanos)];
    let place = |at: usize, number: i64| match at {
        0 => Value::TimestampMillis(number),
        1 => Value::TimestampMicros(number),
        _ => Value::TimestampNanos(number),
    };
    for (from, (written, number)) in kinds.into_iter().enumerate() {
        for (to, (ours, exact)) in kinds.into_iter().enumerate() {
            // What the writer's unit does not say is zero; what ours does not say is left out.
            let unit = 10_i64.pow(3 * (to.saturating_sub(from)) as u32);
            let expected = place(to, exact / unit * unit);
            let ours = long(&format!("timestamp-{ours}"));
            for written in [
                format!("timestamp-{written}"),
                format!("local-timestamp-{written}"),
            ] {
                pair(
                    &long(&written),
                    &ours,
                    &zigzag(number),
                    Some(expected.clone()),
                );
            }
        }
    }
    let noon = 43_200_123;
    let micros = |number| Some(Value::TimestampMicros(number));
    let ours = long("timestamp-micros");
    for (writer, number, expected) in [
        // A time of day is one of the first day; a date is its midnight.
        (long("time-micros"), noon * 1_000, micros(noon * 1_000)),
        (int("time-millis"), noon, micros(noon * 1_000)),
        (int("date"), 2, micros(2 * 86_400_000_000)),
        // A number without unit is one of ours.
        (json!("long"), 7, micros(7)),
        (json!("int"), 7, micros(7)),
        (long("of-somebody-else"), 7, micros(7)),
        // What was earlier stays so.
        (long("timestamp-nanos"), -1, micros(-1)),
        (long("timestamp-nanos"), -1_000, micros(-1)),
    ] {
        pair(&writer, &ours, &zigzag(number), expected);
    }
    for (writer, reader, number, expected) in [
        (
            int("time-millis"),
            long("time-micros"),
            5,
            Value::TimeMicros(5_000),
        ),
        (int("date"), json!("int"), 5, Value::Int(5)),
        (json!("int"), int("date"), 5, Value::Date(5)),
        (
            int("date"),
            int("time-millis"),
            1,
            Value::TimeMillis(86_400_000),
        ),
        (int("time-millis"), int("date"), 86_400_000, Value::Date(1)),
        (int("date"), json!("long"), 5, Value::Long(5)),
        (int("date"), json!("double"), 5, Value::Double(5.0)),
        (long("timestamp-millis"), json!("long"), 5, Value::Long(5)),
        (
            long("timestamp-millis"),
            json!("float"),
            5,
            Value::Float(5.0),
        ),
        (
            long("local-timestamp-nanos"),
            json!("double"),
            5,
            Value::Double(5.0),
        ),
    ] {
        pair(&writer, &reader, &zigzag(number), Some(expected));
    }
    // Within unions, arrays and maps as well.
    let list = |kind: Json| json!(["null", {"type": "array", "items": ["null", kind]}]);
    let body = [zigzag(1), zigzag(1), zigzag(1), zigzag(5), zigzag(0)].concat();
    let some = |value: Value| Value::Union(1, Box::new(value));
    let expected = some(Value::Array(vec![some(Value::TimestampMicros(5_000))]));
    pair(
        &list(long("timestamp-millis")),
        &list(ours.clone()),
        &body,
        Some(expected),
    );
    let map = |kind: Json| json!({"type": "map", "values": kind});
    let body = [zigzag(1), text("k"), zigzag(5), zigzag(0)].concat();
    let expected = Value::Map([("k".to_owned(), Value::TimestampMicros(5_000))].into());
    pair(
        &map(long("timestamp-millis")),
        &map(ours),
        &body,
        Some(expected),
    );
}

/// No number of ours says it: the event is one that cannot be read.
#[test]
fn a_time_that_is_too_far_away_is_refused() {
    let far = zigzag(i64::MAX / 10);
    for (writer, reader) in [
        ("timestamp-millis", "timestamp-micros"),
        ("time-micros", "timestamp-nanos"),
    ] {
        let read = read(&record(&long(writer)), &record(&long(reader)), &far);
        assert!(read.unwrap_err().contains("f: the time is too far away"));
    }
    let days = read(
        &record(&int("date")),
        &record(&int("time-millis")),
        &zigzag(1_000),
    );
    assert!(days.unwrap_err().contains("is no int"));
}

#[test]
fn what_is_compatible_is_read_and_what_is_not_is_refused() {
    let uuid = "0191d0f7-2f0a-7c55-9e5c-0f5a1c0f5a1c";
    let string = |value: &str| Some(Value::String(value.into()));
    let bytes = |value: &[u8]| Some(Value::Bytes(value.to_vec()));
    let logical = |mut base: Json, logical: &str| {
        base["logicalType"] = logical.into();
        base
    };
    let of_text = |it: &str| logical(json!({"type": "string"}), it);
    let of_bytes = |it: &str| logical(json!({"type": "bytes", "precision": 4, "scale": 2}), it);
    let fixed = |size: u64| json!({"type": "fixed", "name": "F", "size": size});
    let symbols = |list: &[&str]| json!({"type": "enum", "name": "E", "symbols": list});
    let with_default = |list: &[&str], default: &str| {
        let mut symbols = symbols(list);
        symbols["default"] = default.into();
        symbols
    };
    for (writer, reader, body, expected) in [
        // Text that may be no UUID.
        (of_text("uuid"), json!("string"), text(uuid), string(uuid)),
        (
            of_text("uuid"),
            json!("string"),
            text("no uuid"),
            string("no uuid"),
        ),
        (
            of_text("uuid"),
            json!("bytes"),
            text("no uuid"),
            bytes(b"no uuid"),
        ),
        (
            of_bytes("uuid"),
            json!("bytes"),
            text("short"),
            bytes(b"short"),
        ),
        (of_text("decimal"), json!("string"), text("x"), string("x")),
        (json!("string"), json!("bytes"), text("x"), bytes(b"x")),
        (json!("bytes"), json!("string"), text("x"), string("x")),
        // Decimals of any scale are the bytes that they are.
        (
            of_bytes("decimal"),
            json!("bytes"),
            text("\u{1}\u{2}"),
            bytes(&[1, 2]),
        ),
        (
            of_bytes("decimal"),
            json!("bytes"),
            text("\0\0\u{2}"),
            bytes(&[0, 0, 2]),
        ),
        (of_bytes("decimal"), json!("bytes"), text(""), bytes(b"")),
        (of_bytes("decimal"), json!("string"), text("x"), string("x")),
        (
            of_bytes("big-decimal"),
            json!("bytes"),
            text("x"),
            bytes(b"x"),
        ),
        // Fixed of the same size.
        (
            fixed(2),
            fixed(2),
            b"ab".to_vec(),
            Some(Value::Fixed(2, b"ab".to_vec())),
        ),
        (fixed(3), fixed(2), b"abc".to_vec(), None),
        (
            logical(fixed(16), "uuid"),
            fixed(16),
            vec![7; 16],
            Some(Value::Fixed(16, vec![7; 16])),
        ),
        (
            logical(fixed(12), "duration"),
            fixed(12),
            vec![7; 12],
            Some(Value::Fixed(12, vec![7; 12])),
        ),
        (
            logical(fixed(2), "decimal"),
            fixed(2),
            vec![0, 7],
            Some(Value::Fixed(2, vec![0, 7])),
        ),
        (fixed(2), json!("bytes"), b"ab".to_vec(), None),
        // Enums: a symbol that ours lacks is its default, if it has one.
        (
            symbols(&["A", "B"]),
            symbols(&["B", "A"]),
            zigzag(1),
            Some(Value::Enum(0, "B".into())),
        ),
        (
            symbols(&["A", "x-l"]),
            with_default(&["A"], "A"),
            zigzag(1),
            Some(Value::Enum(0, "A".into())),
        ),
        (
            with_default(&["A", "B"], "A"),
            symbols(&["A"]),
            zigzag(1),
            None,
        ),
        (symbols(&["A"]), json!("string"), zigzag(0), None),
        // Numbers grow.
        (json!("int"), json!("long"), zigzag(7), Some(Value::Long(7))),
        (
            json!("int"),
            json!("float"),
            zigzag(7),
            Some(Value::Float(7.0)),
        ),
        (
            json!("long"),
            json!("double"),
            zigzag(7),
            Some(Value::Double(7.0)),
        ),
        (
            json!("float"),
            json!("double"),
            1.5_f32.to_le_bytes().to_vec(),
            Some(Value::Double(1.5)),
        ),
        (json!("boolean"), json!("int"), vec![1], None),
        (json!("string"), json!("long"), text("7"), None),
        // A union of one branch, and none.
        (
            json!("int"),
            json!(["null", "long"]),
            zigzag(7),
            Some(Value::Union(1, Box::new(Value::Long(7)))),
        ),
        (
            json!(["int", "long"]),
            json!("long"),
            [zigzag(1), zigzag(7)].concat(),
            Some(Value::Long(7)),
        ),
        (json!(["null", "int"]), json!("int"), zigzag(0), None),
    ] {
        pair(&writer, &reader, &body, expected);
    }
}

#[test]
fn what_others_wrote_is_found_by_aliases() {
    let writer =
        |fields: Json| json!({"type": "record", "name": "t.R", "fields": fields}).to_string();
    let written = writer(json!([
        {"name": "old", "type": {"type": "record", "name": "Before", "fields": [
            {"name": "was-called", "type": "string"}]}},
        {"name": "kept", "type": "string"},
        {"name": "ignored", "type": "string"}]));
    let reader = writer(json!([
        {"name": "kept", "aliases": ["ignored"], "type": "string"},
        {"name": "new", "aliases": ["older", "old"], "default": {"name": "default"}, "type":
            {"type": "record", "name": "After", "aliases": ["Before"], "fields": [
                {"name": "name", "aliases": ["was_called", "older_name"], "type": "string", "default": "x"}]}},
        {"name": "none", "aliases": ["nobody"], "type": "string", "default": "d"}]));
    let string = |text: &str| Value::String(text.into());
    let body = [text("m1"), text("k"), text("i")].concat();
    let read = |written: &str| read(written, &reader, &body).unwrap();
    let expected = |name: &str| {
        Value::Record(vec![
            ("kept".into(), string("k")),
            (
                "new".into(),
                Value::Record(vec![("name".into(), string(name))]),
            ),
            ("none".into(), string("d")),
        ])
    };
    assert_eq!(
        read(&written),
        expected("x"),
        "an alias is a name, not nearly one"
    );
    assert_eq!(
        read(&written.replace("was-called", "was_called")),
        expected("m1")
    );
    // A name of its own counts before an alias.
    let both = written
        .replace("was-called", "older_name")
        .replace("ignored", "older_kept");
    assert_eq!(read(&both), expected("m1"));
}
