//! How the values of a schema are made, with what the workload says of single fields.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use apache_avro::types::Value;
use serde_json::{Map, Value as Json};

use super::Make;
use super::fixed::fixed;
use super::text::Template;

/// What a workload says of fields: values, or how they vary; of nested records a table.
pub type Fields = Map<String, Json>;

/// Numbers without an example lie between 1 and this.
const MOST: i64 = 1000;
/// Length of text without an example.
const LENGTH: usize = 16;

/// Makes of a record with this schema and example. `payload` fills a field with so many bytes: the
/// named one, or the first text or bytes that `fields` says nothing of. Every problem is told.
pub fn compile(
    schema: &Schema,
    example: &str,
    fields: &Fields,
    payload: Option<(usize, Option<&str>)>,
) -> Result<Make, Vec<String>> {
    let Schema::Record(schema) = schema else {
        return Err(vec!["the schema is not a record".into()]);
    };
    let example: Json = serde_json::from_str(example).unwrap_or(Json::Null);
    let mut compiler = Compiler {
        payload,
        problems: Vec::new(),
    };
    let make = compiler.record(schema, Some(&example), fields, "");
    match compiler.payload {
        Some((_, Some(name))) => compiler.problems.push(format!(
            "`payload-field` {name} is no text or bytes field that is free"
        )),
        Some((_, None)) => compiler.problems.push(
            "`payload` has no field to fill: the event has no text or bytes field that is free"
                .into(),
        ),
        None => {}
    }
    match compiler.problems.is_empty() {
        true => Ok(make),
        false => Err(compiler.problems),
    }
}

struct Compiler<'p> {
    /// What is still to be placed.
    payload: Option<(usize, Option<&'p str>)>,
    problems: Vec<String>,
}

impl Compiler<'_> {
    fn record(
        &mut self,
        schema: &RecordSchema,
        example: Option<&Json>,
        given: &Fields,
        path: &str,
    ) -> Make {
        let fields = schema.fields.iter().map(|field| {
            let path = match path {
                "" => field.name.clone(),
                path => format!("{path}.{}", field.name),
            };
            let example = example.and_then(|example| example.get(&field.name));
            let make = self.field(&field.schema, example, given.get(&field.name), &path);
            (field.name.clone(), make)
        });
        let fields: Vec<_> = fields.collect();
        for name in given.keys() {
            if !fields.iter().any(|(known, _)| known == name) {
                let known: Vec<&str> = fields.iter().map(|(known, _)| known.as_str()).collect();
                let known = match known.is_empty() {
                    true => "it has none".to_owned(),
                    false => format!("there are {}", known.join(", ")),
                };
                let what = match path {
                    "" => "the event".to_owned(),
                    path => format!("`{path}`"),
                };
                self.problems
                    .push(format!("{what} has no field `{name}`; {known}"));
            }
        }
        Make::Record(fields)
    }

    fn field(
        &mut self,
        schema: &Schema,
        example: Option<&Json>,
        given: Option<&Json>,
        path: &str,
    ) -> Make {
        match (schema, given) {
            (Schema::Record(record), Some(Json::Object(given))) => {
                self.record(record, example, given, path)
            }
            (Schema::Union(union), Some(given)) => {
                // The first branch that takes what is given.
                let mut problem = String::new();
                for (at, branch) in union.variants().iter().enumerate() {
                    match asked(branch, given) {
                        Ok(make) => return Make::Branch(at as u32, Box::new(make)),
                        Err(_) if *branch == Schema::Null => {}
                        Err(error) => problem = error,
                    }
                }
                self.problems.push(format!("`{path}`: {problem}"));
                Make::Fixed(Value::Null)
            }
            (schema, Some(given)) => asked(schema, given).unwrap_or_else(|problem| {
                self.problems.push(format!("`{path}`: {problem}"));
                Make::Fixed(Value::Null)
            }),
            (schema, None) => self.varied(schema, example, path),
        }
    }

    /// A field that the workload says nothing of.
    fn varied(&mut self, schema: &Schema, example: Option<&Json>, path: &str) -> Make {
        let text = example.and_then(Json::as_str);
        match schema {
            Schema::Null => Make::Fixed(Value::Null),
            Schema::Boolean => Make::Boolean,
            Schema::Int => whole(example, |value| {
                Value::Int(i32::try_from(value).unwrap_or(i32::MAX))
            }),
            Schema::Long => whole(example, Value::Long),
            Schema::Float => number(example, |value| Value::Float(value as f32)),
            Schema::Double => number(example, Value::Double),
            Schema::TimestampMillis => Make::Now(1_000, Value::TimestampMillis),
            Schema::TimestampMicros => Make::Now(1, Value::TimestampMicros),
            Schema::Date => Make::Now(86_400_000_000, |days| {
                Value::Date(i32::try_from(days).unwrap_or(i32::MAX))
            }),
            Schema::String | Schema::Bytes => match (self.payload(path), schema) {
                (Some(length), Schema::Bytes) => Make::Bytes(length),
                (Some(length), _) => Make::Text(length),
                (None, Schema::Bytes) => Make::Bytes(text.map_or(LENGTH, str::len)),
                (None, _) => match text {
                    Some(text) if is_id(path) => Make::Id(text.to_owned()),
                    Some(text) => Make::Fixed(Value::String(text.to_owned())),
                    None => Make::Text(LENGTH),
                },
            },
            Schema::Enum(of) => Make::Symbol(of.symbols.clone()),
            Schema::Array(of) => {
                let examples = example.and_then(Json::as_array);
                let examples = examples.map_or(&[][..], Vec::as_slice).iter();
                Make::Array(
                    examples
                        .map(|item| self.varied(&of.items, Some(item), path))
                        .collect(),
                )
            }
            Schema::Map(of) => {
                let examples = example.and_then(Json::as_object);
                let examples = examples.into_iter().flatten();
                let entry = |(name, item): (&String, &Json)| {
                    (name.clone(), self.varied(&of.types, Some(item), path))
                };
                Make::Map(examples.map(entry).collect())
            }
            Schema::Record(record) => self.record(record, example, &Fields::new(), path),
            Schema::Union(union) => {
                // The branch of the example, so that what handlers take as optional stays so.
                let example = example.unwrap_or(&Json::Null);
                let branches = union.variants();
                let at = branches
                    .iter()
                    .position(|branch| fixed(branch, example).is_ok())
                    .unwrap_or(0);
                match branches.get(at) {
                    Some(branch) => {
                        let make = self.varied(branch, Some(example), path);
                        Make::Branch(at as u32, Box::new(make))
                    }
                    None => Make::Fixed(Value::Null),
                }
            }
            _ => {
                self.problems
                    .push(format!("`{path}`: values of its type cannot be made"));
                Make::Fixed(Value::Null)
            }
        }
    }

    /// The length that this text or bytes field is to have, if the payload goes here.
    fn payload(&mut self, path: &str) -> Option<usize> {
        let (length, name) = self.payload?;
        name.is_none_or(|name| name == path).then(|| {
            self.payload = None;
            length
        })
    }
}

fn is_id(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    name == "id" || name.ends_with("_id")
}

/// Between half of the example and one and a half of it.
fn whole(example: Option<&Json>, make: fn(i64) -> Value) -> Make {
    match example.and_then(Json::as_i64) {
        Some(0) => Make::Fixed(make(0)),
        Some(example) => {
            let (half, more) = (example / 2, example.saturating_add(example / 2));
            // An example of 1 or -1 has no half.
            let half = if half == 0 { example } else { half };
            Make::Whole(half.min(more), half.max(more), make)
        }
        None => Make::Whole(1, MOST, make),
    }
}

fn number(example: Option<&Json>, make: fn(f64) -> Value) -> Make {
    match example.and_then(Json::as_f64) {
        Some(example) => Make::Number(example * 0.5, example * 1.5, make),
        None => Make::Number(0.0, MOST as f64, make),
    }
}

/// A value that the workload asks for: `{ range = [1, 9] }`, `{ one-of = [..] }`, `{ random = 20 }`,
/// text with placeholders, or any other value as it is.
fn asked(schema: &Schema, given: &Json) -> Result<Make, String> {
    let way = match given {
        Json::Object(table) if table.len() == 1 => table.iter().next(),
        _ => None,
    };
    match way.map(|(name, value)| (name.as_str(), value)) {
        Some(("one-of", Json::Array(choices))) if !choices.is_empty() => {
            let choices = choices.iter().map(|choice| asked(schema, choice));
            return Ok(Make::OneOf(choices.collect::<Result<_, _>>()?));
        }
        Some(("range", Json::Array(ends))) => return range(schema, ends),
        Some(("random", length)) => {
            let length = length
                .as_u64()
                .and_then(|length| usize::try_from(length).ok());
            return match (schema, length) {
                (Schema::String, Some(length)) => Ok(Make::Text(length)),
                (Schema::Bytes, Some(length)) => Ok(Make::Bytes(length)),
                _ => Err("`random` is a length, of text or bytes".into()),
            };
        }
        _ => {}
    }
    match (schema, given) {
        (Schema::String, Json::String(text)) => Template::parse(text).map(Make::Template),
        _ => fixed(schema, given).map(Make::Fixed),
    }
}

fn range(schema: &Schema, ends: &[Json]) -> Result<Make, String> {
    let [least, most] = ends else {
        return Err("`range` is the least and the most: [1, 100]".into());
    };
    let ends = match (fixed(schema, least)?, fixed(schema, most)?) {
        (Value::Int(least), Value::Int(most)) if least <= most => {
            Make::Whole(least.into(), most.into(), |value| {
                Value::Int(i32::try_from(value).unwrap_or(i32::MAX))
            })
        }
        (Value::Long(least), Value::Long(most)) if least <= most => {
            Make::Whole(least, most, Value::Long)
        }
        (Value::Float(least), Value::Float(most)) if least <= most => {
            Make::Number(least.into(), most.into(), |value| {
                Value::Float(value as f32)
            })
        }
        (Value::Double(least), Value::Double(most)) if least <= most => {
            Make::Number(least, most, Value::Double)
        }
        _ => return Err("`range` is of numbers, the least first".into()),
    };
    Ok(ends)
}
