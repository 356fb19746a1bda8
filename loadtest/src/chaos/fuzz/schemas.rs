//! Writer's schemas that nobody would write, with values of theirs.

use serde_json::{Value, json};

use super::catalogue::damage;
use crate::random::Random;

/// Deeper than this no schema is made; what refers to itself has no end of its own.
const DEPTH: u32 = 6;
/// A body has no more values: of what refers to itself twice there would be exponentially many.
const VALUES: usize = 20_000;

const LEAVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// A schema's text and a body.
pub fn pair(random: &mut Random, names: &[&str]) -> (String, Vec<u8>) {
    let mut made = Made {
        random,
        count: 0,
        values: 0,
    };
    let name = names[made.below(names.len())];
    let fields: Vec<_> = (0..made.below(4))
        .map(|it| json!({"name": format!("f{it}"), "type": made.kind(0)}))
        .collect();
    let mut schema = json!({"type": "record", "name": name, "fields": fields});
    if made.below(4) == 0 {
        // One of several types of a topic, which may use the types of one another.
        let kind = made.kind(0);
        let other = json!({"type": "record", "name": "acme-1.Other", "fields": [
            {"name": "f-1", "type": kind}]});
        schema = match made.below(2) {
            0 => json!([other, schema]),
            _ => json!(["null", schema, "acme-1.Other", other]),
        };
    }
    let mut body = Vec::new();
    made.value(&schema, &mut Vec::new(), &mut body, 0);
    let mut text = schema.to_string();
    match random.below(8) {
        0 => damage(random, &mut body),
        1 => body.truncate(random.below(body.len() as u64 + 1) as usize),
        2 => body = random.bytes(40),
        // One byte after another: the way into what refers to itself.
        3 => body.extend(std::iter::repeat_n(
            random.below(8) as u8,
            random.below(2_000) as usize,
        )),
        4 => {
            let mut bytes = text.into_bytes();
            damage(random, &mut bytes);
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        _ => {}
    }
    (text, body)
}

struct Made<'r> {
    random: &'r mut Random,
    /// Named types so far.
    count: usize,
    /// Values in the body so far.
    values: usize,
}

impl Made<'_> {
    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn size(&mut self) -> u64 {
        match self.below(6) {
            0 => self.random.next(),
            1 => 9_223_372_036_854_775_807,
            2 => self.random.below(1 << 26),
            _ => self.random.below(20),
        }
    }

    /// Any type.
    fn kind(&mut self, depth: u32) -> Value {
        let leaf = depth >= DEPTH || self.below(2) == 0;
        if leaf {
            return match self.below(14) {
                0 if self.count > 0 => json!(format!("R{}", 1 + self.below(self.count))),
                1 => json!({"type": "fixed", "name": self.name("F"), "size": self.size()}),
                2 => {
                    let fixed =
                        json!({"type": "fixed", "name": self.name("F"), "size": self.size()});
                    let logical = ["decimal", "uuid", "duration"][self.below(3)];
                    let precision = self.random.below(40);
                    json!({"type": fixed, "logicalType": logical, "precision": precision})
                }
                3 => {
                    let logical = ["decimal", "big-decimal", "uuid"][self.below(3)];
                    json!({"type": "bytes", "logicalType": logical, "precision": 4, "scale": 2})
                }
                4 => json!({"type": "enum", "name": self.name("E"), "symbols": ["A", "B-C"]}),
                5 => {
                    let logical = ["timestamp-nanos", "time-micros", "date"][self.below(3)];
                    json!({"type": "long", "logicalType": logical})
                }
                6 => json!({"type": "string", "logicalType": "uuid"}),
                _ => json!(LEAVES[self.below(LEAVES.len())]),
            };
        }
        match self.below(4) {
            0 => json!({"type": "array", "items": self.kind(depth + 1)}),
            1 => json!({"type": "map", "values": self.kind(depth + 1)}),
            2 => json!(["null", self.kind(depth + 1)]),
            _ => {
                let name = self.name("R");
                let count = self.below(4);
                let mut fields: Vec<_> = (0..count)
                    .map(|it| json!({"name": format!("f{it}"), "type": self.kind(depth + 1)}))
                    .collect();
                if self.below(2) == 0 {
                    fields.push(json!({"name": "again", "type": ["null", name]}));
                }
                json!({"type": "record", "name": name, "fields": fields})
            }
        }
    }

    /// A value of `schema`, mostly.
    fn value(&mut self, schema: &Value, named: &mut Vec<Value>, body: &mut Vec<u8>, depth: u32) {
        self.values += 1;
        if depth > 40 || self.values > VALUES {
            return;
        }
        match schema {
            Value::Array(branches) => {
                let branch = self.below(branches.len());
                number(body, branch as i64);
                self.value(&branches[branch], named, body, depth + 1);
            }
            Value::Object(members) => match members["type"].as_str() {
                Some("record") => {
                    if !named.iter().any(|it| it["name"] == members["name"]) {
                        named.push(schema.clone());
                    }
                    for field in members["fields"].as_array().into_iter().flatten() {
                        self.value(&field["type"], named, body, depth + 1);
                    }
                }
                Some("array") => self.block(&members["items"], false, named, body, depth),
                Some("map") => self.block(&members["values"], true, named, body, depth),
                Some("enum") => number(body, self.random.below(2) as i64),
                Some("fixed") => {
                    let size = members["size"].as_u64().unwrap_or(0).min(64);
                    body.extend(self.random.bytes(size as usize));
                }
                _ => self.value(&members["type"], named, body, depth + 1),
            },
            Value::String(kind) => {
                let known = named.iter().find(|it| it["name"] == *kind).cloned();
                match (known, kind.as_str()) {
                    (Some(known), _) => self.value(&known, named, body, depth + 1),
                    (_, "null") => {}
                    (_, "boolean") => body.push(self.random.below(2) as u8),
                    (_, "int") => number(body, i64::from(self.random.next() as i32)),
                    (_, "float") => body.extend(self.random.bytes(4)),
                    (_, "double") => body.extend(self.random.bytes(8)),
                    (_, "bytes" | "string") => {
                        let length = self.below(20);
                        number(body, length as i64);
                        body.extend(std::iter::repeat_n(b'x', length));
                    }
                    _ => number(body, self.random.next() as i64),
                }
            }
            _ => {}
        }
    }

    fn block(
        &mut self,
        of: &Value,
        has_keys: bool,
        named: &mut Vec<Value>,
        body: &mut Vec<u8>,
        depth: u32,
    ) {
        let count = match self.below(5_000) {
            // More than there is, and of nulls as many as that.
            0..500 => self.random.next() as i64 >> self.random.below(60),
            500 => 290_000,
            _ => self.random.below(4) as i64,
        };
        number(body, count);
        for _ in 0..count.clamp(0, 4) {
            if has_keys {
                number(body, 1);
                body.push(b'k');
            }
            self.value(of, named, body, depth + 1);
        }
        if count != 0 {
            number(body, 0);
        }
    }
}

/// A number as Avro writes it.
pub fn number(body: &mut Vec<u8>, number: i64) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag > 0x7F {
        body.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    body.push(zigzag as u8);
}
