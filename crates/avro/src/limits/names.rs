//! Names that the Avro library does not take although others write them.
//!
//! Java takes any letters in a name, and any text as a namespace: Debezium's are made of the names of
//! servers, such as `dbserver-1`. The bytes of a value do not hang on names, so the library is given
//! others in their place, and what shows in a value gets its own back.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{EnumSchema, RecordField, RecordSchema, UnionSchema};

/// What stands before the bytes of a name in another's place.
const MARK: &str = "__x_";

/// The names that were replaced.
#[derive(Debug, Default)]
pub(super) struct Names {
    originals: HashMap<String, String>,
}

impl Names {
    /// A name that the library takes: this one, or one that stands for it and no other.
    pub fn plain(&mut self, name: &str) -> String {
        if is_plain(name) && !name.starts_with(MARK) {
            return name.to_owned();
        }
        let mut plain = MARK.to_owned();
        for byte in name.bytes() {
            plain.push_str(&format!("{byte:02x}"));
        }
        self.originals.insert(plain.clone(), name.to_owned());
        plain
    }

    /// The same for the full name of a type. One without namespace gets one: the library looks for it
    /// within those of the types around it.
    pub fn full(&mut self, full_name: &str) -> String {
        let (space, name) = split(full_name);
        let parts = space.split('.').chain([name]);
        let parts: Vec<String> = parts.map(|part| self.plain(part)).collect();
        parts.join(".")
    }

    /// Gives fields and symbols, which values show, their own names back.
    pub fn restore(&self, schema: &mut Schema) -> Result<(), String> {
        if self.originals.is_empty() {
            return Ok(());
        }
        match schema {
            Schema::Record(RecordSchema { fields, lookup, .. }) => {
                for RecordField { name, schema, .. } in &mut *fields {
                    self.put_back(name);
                    self.restore(schema)?;
                }
                let names = fields.iter().map(|field| field.name.clone());
                *lookup = names.zip(0..).collect();
            }
            Schema::Enum(EnumSchema { symbols, .. }) => {
                symbols.iter_mut().for_each(|symbol| self.put_back(symbol));
            }
            Schema::Array(array) => self.restore(&mut array.items)?,
            Schema::Map(map) => self.restore(&mut map.types)?,
            Schema::Union(union) => {
                let mut branches = union.variants().to_vec();
                for branch in &mut branches {
                    self.restore(branch)?;
                }
                *union = UnionSchema::new(branches).map_err(|error| error.to_string())?;
            }
            _ => {}
        }
        Ok(())
    }

    fn put_back(&self, name: &mut String) {
        if let Some(original) = self.originals.get(name) {
            name.clone_from(original);
        }
    }
}

/// Namespace, which may be empty, and name.
pub(super) fn split(full_name: &str) -> (&str, &str) {
    full_name.rsplit_once('.').unwrap_or(("", full_name))
}

/// As the specification has names.
fn is_plain(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let mut bytes = name.bytes();
    bytes.next().is_some_and(letter) && bytes.all(|byte| letter(byte) || byte.is_ascii_digit())
}
