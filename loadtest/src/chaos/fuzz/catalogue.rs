//! Values of the catalogue's own events, whole and damaged.

use std::collections::BTreeMap;

use anyhow::Context;
use millstream_pipeline::codec::{EncodedBody, WriterSchema};
use millstream_pipeline::events::{Decode, Event, EventMeta, Visit};
use millstream_pipeline::record::wire;
use millstream_schemas::{EVENTS, decode_and_visit};

use crate::random::Random;

/// Id of a schema of another writer, which is not byte for byte ours.
const FOREIGN: u32 = 500;

/// Schemas by their ids.
pub type Writers = BTreeMap<u32, WriterSchema>;

/// Every schema under an id, as ours and as another writer's, and a value of each.
pub fn catalogue() -> anyhow::Result<(Writers, Vec<Vec<u8>>)> {
    let (mut writers, mut examples) = (BTreeMap::new(), Vec::new());
    for (id, schema) in (1..).zip(EVENTS) {
        let schema = schema();
        writers.insert(id, WriterSchema::parse(id, schema.json)?);
        // A field more makes it another schema, which is resolved to ours.
        let mut foreign: serde_json::Value = serde_json::from_str(schema.json)?;
        let fields = foreign["fields"]
            .as_array_mut()
            .context("a record has fields")?;
        fields.insert(
            0,
            serde_json::json!({"name": "of_another_version", "type": "string"}),
        );
        let foreign = foreign.to_string();
        writers.insert(id + FOREIGN, WriterSchema::parse(id + FOREIGN, &foreign)?);
        let example = Example(schema.example);
        let body = decode_and_visit(schema.full_name, example, Encode)
            .context("an event of the catalogue")???;
        let meta = EventMeta {
            id: "id".into(),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            seq: Some(7),
            ..EventMeta::default()
        };
        for meta in [None, Some(&meta)] {
            let own = millstream_pipeline::codec::join(id, &body, meta);
            let mut foreign = wire::header(id + FOREIGN).to_vec();
            foreign.extend([6, b'a', b'b', b'c']);
            foreign.extend(&own[wire::HEADER_LENGTH..]);
            examples.extend([own, foreign]);
        }
    }
    Ok((writers, examples))
}

/// A random record, or a valid one that was damaged.
pub fn record(random: &mut Random, examples: &[Vec<u8>]) -> Vec<u8> {
    let mut value = examples[random.below(examples.len() as u64) as usize].clone();
    let length = random.below(200) as usize;
    match random.below(8) {
        0 => return random.bytes(length),
        1 => {
            value.truncate(wire::HEADER_LENGTH);
            value.extend(random.bytes(length));
        }
        2 => value.truncate(random.below(value.len() as u64 + 1) as usize),
        3 => value.extend(random.bytes(length)),
        4 => {
            let (from, to) = (
                random.below(value.len() as u64),
                random.below(value.len() as u64),
            );
            let part = value[from.min(to) as usize..from.max(to) as usize].to_vec();
            let at = random.below(value.len() as u64) as usize;
            value.splice(at..at, part);
        }
        5 => return value,
        _ => {
            let (_, body) = value.split_at_mut(wire::HEADER_LENGTH);
            damage(random, body);
        }
    }
    value
}

/// Changes some bytes.
pub fn damage(random: &mut Random, bytes: &mut [u8]) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() as u64);
        if let Some(byte) = bytes.get_mut(at as usize) {
            *byte = match random.below(3) {
                0 => *byte ^ (1 << random.below(8)),
                1 => [0x00, 0x01, 0x7f, 0x80, 0xff][random.below(5) as usize],
                _ => random.next() as u8,
            };
        }
    }
}

struct Example(&'static str);

impl Decode for Example {
    type Error = serde_json::Error;

    fn decode<E: Event>(self) -> Result<E, serde_json::Error> {
        serde_json::from_str(self.0)
    }
}

struct Encode;

impl Visit for Encode {
    type Output = anyhow::Result<Vec<u8>>;

    fn event<E: Event>(self, event: &E) -> Self::Output {
        let body = EncodedBody::of(event).context("an event is no set of none")??;
        Ok(body.bytes)
    }
}
