//! Whether two releases of a schema go together: each can read what the other wrote, and numbers go on
//! counting what they counted.
//!
//! Units are no matter of compatibility to Avro nor to a registry. Types are put in place of their names
//! before they are compared.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{Name, UnionSchema};

use crate::Tree;
use crate::compatibility::problems;

/// What keeps programs with one of them from reading what those with the other wrote.
///
/// # Errors
/// Why they do not go together.
pub fn check(current: &str, version: &str) -> Result<(), String> {
    let (one, other) = (Tree::parse(current)?, Tree::parse(version)?);
    let (forth, back) = (problems(&one, &other), problems(&other, &one));
    if let Some(problem) = forth.first().or(back.first()) {
        return Err(format!("{}, at {}", problem.reason, problem.path));
    }
    units(&whole(current)?, &whole(version)?)
}

/// The schema in a text, with each type where it is used.
fn whole(text: &str) -> Result<Schema, String> {
    let mut schema = Schema::parse_str(text).map_err(|error| error.to_string())?;
    replace(&mut schema, &mut HashMap::new())?;
    Ok(schema)
}

/// Puts types in place of their names. None contains itself: that is refused before.
fn replace(schema: &mut Schema, known: &mut HashMap<Name, Schema>) -> Result<(), String> {
    match schema {
        Schema::Ref { name } => {
            if let Some(definition) = known.get(name) {
                *schema = definition.clone();
            }
        }
        Schema::Record(record) => {
            for field in &mut record.fields {
                replace(&mut field.schema, known)?;
            }
            known.insert(record.name.clone(), schema.clone());
        }
        Schema::Enum(definition) => {
            known.insert(definition.name.clone(), schema.clone());
        }
        Schema::Array(array) => replace(&mut array.items, known)?,
        Schema::Map(map) => replace(&mut map.types, known)?,
        Schema::Union(union) => {
            let mut branches = union.variants().to_vec();
            for branch in &mut branches {
                replace(branch, known)?;
            }
            *union = UnionSchema::new(branches).map_err(|error| error.to_string())?;
        }
        _ => {}
    }
    Ok(())
}

/// Reports a number that counts something else than before. Our own programs convert it; those that
/// others wrote in other languages take it for what they know.
fn units(current: &Schema, version: &Schema) -> Result<(), String> {
    match (current, version) {
        (Schema::Record(current), Schema::Record(version)) => {
            for field in &current.fields {
                let names = [&field.name].into_iter().chain(&field.aliases);
                let mut names = names.filter_map(|name| version.lookup.get(name));
                if let Some(other) = names.next().and_then(|at| version.fields.get(*at)) {
                    units(&field.schema, &other.schema)
                        .map_err(|reason| within(&field.name, &reason))?;
                }
            }
            Ok(())
        }
        (Schema::Array(current), Schema::Array(version)) => units(&current.items, &version.items),
        (Schema::Map(current), Schema::Map(version)) => units(&current.types, &version.types),
        (Schema::Union(union), other) => match something(union) {
            Some(current) => units(current, other),
            None => Ok(()),
        },
        (current, Schema::Union(union)) => match something(union) {
            Some(version) => units(current, version),
            None => Ok(()),
        },
        (current, version) => match (unit(current), unit(version)) {
            (Some(current), Some(version)) if current != version => {
                Err(format!("it was {version} and is {current}"))
            }
            _ => Ok(()),
        },
    }
}

fn within(field: &str, reason: &str) -> String {
    match reason.split_once("the field ") {
        Some((_, inner)) => format!("the field {field}.{inner}"),
        None => format!("the field {field}: {reason}"),
    }
}

/// What an optional value is, if it is there.
fn something(union: &UnionSchema) -> Option<&Schema> {
    let mut branches = union.variants().iter();
    branches.find(|branch| !matches!(branch, Schema::Null))
}

fn unit(schema: &Schema) -> Option<&'static str> {
    Some(match schema {
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampMicros => "timestamp-micros",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::check;

    /// A record whose one field, which has a default of null, is of this type.
    fn record(rest: &str) -> String {
        format!(r#"{{"type": "record", "name": "t.R", "fields": [{rest}]}}"#)
    }

    fn field(kind: &str) -> String {
        record(&format!(r#"{{"name": "f", "type": {kind}}}"#))
    }

    #[test]
    fn a_number_goes_on_counting_what_it_counted() {
        let long = r#""long""#;
        let of = |logical: &str| match logical {
            "date" => r#"{"type": "int", "logicalType": "date"}"#.to_owned(),
            logical => format!(r#"{{"type": "long", "logicalType": "{logical}"}}"#),
        };
        let micros = of("timestamp-micros");
        assert!(check(&field(&micros), &field(&of("date"))).is_err());
        for other in ["timestamp-millis", "local-timestamp-micros", "time-micros"] {
            let other = of(other);
            assert!(check(&field(&micros), &field(&other)).is_err(), "{other}");
            let lists = [&micros, &other]
                .map(|it| field(&format!(r#"["null", {{"type": "array", "items": {it}}}]"#)));
            let error = check(&lists[0], &lists[1]).unwrap_err();
            assert!(error.starts_with("the field f: it was"), "{error}");
        }
        // What says nothing may be made to say something.
        for (one, other) in [(long, &*micros), (&*micros, long), (&*micros, &*micros)] {
            check(&field(one), &field(other)).unwrap();
        }
    }

    #[test]
    fn a_renamed_field_is_compared_with_what_it_was() {
        let old = r#"{"name": "old", "type": ["null", "KIND"], "default": null}"#;
        let new =
            r#"{"name": "new", "aliases": ["old"], "type": ["null", "KIND"], "default": null}"#;
        let of = |field: &str, kind: &str| record(&field.replace("\"KIND\"", kind));
        let millis = r#"{"type": "long", "logicalType": "timestamp-millis"}"#;
        let micros = r#"{"type": "long", "logicalType": "timestamp-micros"}"#;
        check(&of(new, millis), &of(old, millis)).unwrap();
        assert!(check(&of(new, micros), &of(old, millis)).is_err());
        assert!(check(&of(new, r#""string""#), &of(old, millis)).is_err());
    }

    /// Both mention the type below `b`; what they say of it stands elsewhere.
    #[test]
    fn a_type_that_is_mentioned_is_compared_as_well() {
        let side = |symbols: &str| {
            format!(r#"{{"type": "enum", "name": "Side", "symbols": [{symbols}]}}"#)
        };
        let of = |name: &str, symbols: &str| {
            record(&format!(
                r#"{{"name": "{name}", "type": ["null", {}], "default": null}},
                   {{"name": "b", "type": "Side"}}"#,
                side(symbols)
            ))
        };
        check(&of("a", r#""L", "R""#), &of("c", r#""L", "R""#)).unwrap();
        assert!(check(&of("a", r#""L", "R""#), &of("c", r#""L""#)).is_err());
        // One of them says it below `b` itself.
        let alone = record(&format!(
            r#"{{"name": "b", "type": {}}}"#,
            side(r#""L", "R""#)
        ));
        check(&of("a", r#""L", "R""#), &alone).unwrap();
    }

    #[test]
    fn an_enum_without_default_keeps_its_symbols() {
        let side = |rest: &str| field(&format!(r#"{{"type": "enum", "name": "S", {rest}}}"#));
        let two = r#""symbols": ["L", "R"]"#;
        let three = r#""symbols": ["L", "R", "M"]"#;
        assert!(check(&side(three), &side(two)).is_err());
        let defaults = [three, two].map(|it| side(&format!(r#"{it}, "default": "L""#)));
        check(&defaults[0], &defaults[1]).unwrap();
    }
}
