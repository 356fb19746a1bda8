//! Random events that fit their schemas.
//!
//! [`compile`] makes a [`Make`] out of a schema, its example and what the workload says of fields;
//! [`Make::value`] makes as many values as are needed. A schema does not say which texts make sense
//! to a handler, its example does: so text is the example's unless the workload says otherwise, and
//! everything else varies around it.

mod compile;
mod fixed;
mod text;

use std::collections::HashMap;

use apache_avro::types::Value;

use crate::probe::process::now_micros;
use crate::random::Random;

pub use compile::{Fields, compile};
use text::Template;

/// What values may say about their event.
#[derive(Debug, Clone, Copy)]
pub struct Event<'e> {
    /// Its number in the run, from 0.
    pub number: usize,
    /// Its key.
    pub key: &'e str,
    /// Name of the run.
    pub run: &'e str,
}

/// How a value is made.
#[derive(Debug, Clone)]
pub enum Make {
    /// Always this one.
    Fixed(Value),
    /// Text with placeholders.
    Template(Template),
    /// An id: the text, a hyphen and some random characters.
    Id(String),
    /// Random text of so many bytes.
    Text(usize),
    /// So many random bytes.
    Bytes(usize),
    /// A whole number between two.
    Whole(i64, i64, fn(i64) -> Value),
    /// A number between two.
    Number(f64, f64, fn(f64) -> Value),
    /// Either truth value.
    Boolean,
    /// One of an enum's symbols.
    Symbol(Vec<String>),
    /// Now, in units of so many microseconds.
    Now(i64, fn(i64) -> Value),
    /// One of these.
    OneOf(Vec<Make>),
    /// A branch of a union.
    Branch(u32, Box<Make>),
    /// As many of these in turn as a random number between one and all.
    Array(Vec<Make>),
    /// All of these entries.
    Map(Vec<(String, Make)>),
    /// The fields of a record.
    Record(Vec<(String, Make)>),
}

impl Make {
    /// A value.
    pub fn value(&self, random: &mut Random, event: Event<'_>) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Template(template) => Value::String(template.fill(random, event)),
            Self::Id(text) => Value::String(format!("{text}-{}", text::random(random, 10))),
            Self::Text(length) => Value::String(text::random(random, *length)),
            Self::Bytes(length) => Value::Bytes(random.bytes(*length)),
            Self::Whole(least, most, make) => {
                let span = most.abs_diff(*least).saturating_add(1);
                make(least.saturating_add_unsigned(random.below(span)))
            }
            Self::Number(least, most, make) => make(least + random.unit() * (most - least)),
            Self::Boolean => Value::Boolean(random.below(2) == 1),
            Self::Symbol(symbols) => {
                let at = random.below(symbols.len() as u64) as usize;
                Value::Enum(at as u32, symbols[at].clone())
            }
            Self::Now(unit, make) => make(now_micros() / unit),
            Self::OneOf(choices) => {
                let at = random.below(choices.len() as u64) as usize;
                choices[at].value(random, event)
            }
            Self::Branch(at, make) => Value::Union(*at, Box::new(make.value(random, event))),
            Self::Array(items) if items.is_empty() => Value::Array(Vec::new()),
            Self::Array(items) => {
                let length = 1 + random.below(items.len() as u64) as usize;
                let items = &items[..length];
                Value::Array(items.iter().map(|item| item.value(random, event)).collect())
            }
            Self::Map(entries) => {
                let entries = named(entries, random, event);
                Value::Map(entries.collect::<HashMap<_, _>>())
            }
            Self::Record(fields) => Value::Record(named(fields, random, event).collect()),
        }
    }
}

fn named<'m>(
    makes: &'m [(String, Make)],
    random: &'m mut Random,
    event: Event<'m>,
) -> impl Iterator<Item = (String, Value)> + 'm {
    let make = move |(name, make): &(String, Make)| (name.clone(), make.value(random, event));
    makes.iter().map(make)
}

#[cfg(test)]
mod tests;
