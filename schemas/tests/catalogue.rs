//! Every example decodes, and every schema is one that was released.

#![allow(clippy::unwrap_used)]

use apache_avro::{reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use millstream_codegen::Catalog;
use millstream_events::{Decode, Event, Visit};
use millstream_schemas::{EVENTS, decode_and_visit};
use serde_json::Value;

/// An event in JSON.
struct Json(&'static str);

impl Decode for Json {
    type Error = serde_json::Error;

    fn decode<E: Event>(self) -> Result<E, Self::Error> {
        serde_json::from_str(self.0)
    }
}

/// Encodes in Avro and decodes again; yields the event before and after, in JSON.
struct RoundTrip;

impl Visit for RoundTrip {
    type Output = [Value; 2];

    fn event<E: Event>(self, event: &E) -> [Value; 2] {
        let schema = &E::schema().body;
        let writer = GenericDatumWriter::builder(schema).build().unwrap();
        let bytes = writer.write_ser_to_vec(event).unwrap();
        let reader = GenericDatumReader::builder(schema).build().unwrap();
        let read: E = reader.read_deser(&mut bytes.as_slice()).unwrap();
        [event, &read].map(|event| serde_json::to_value(event).unwrap())
    }
}

#[test]
fn every_example_decodes() {
    assert!(!EVENTS.is_empty());
    for schema in EVENTS.iter().map(|schema| schema()) {
        let name = schema.full_name;
        let decoded = decode_and_visit(name, Json(schema.example), RoundTrip);
        let decoded = decoded.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        let [before, after] = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn the_history_is_kept() {
    if let Err(problems) = Catalog::new().schemas(".").check_history() {
        panic!("\n{problems}");
    }
}
