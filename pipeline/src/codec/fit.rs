//! From a writer's value to one of ours.
//!
//! The Avro library resolves values by the rules of the specification, but knows neither aliases of
//! fields nor two logical types on one base. So a value is made to fit first ([`fit`]): fields get the
//! names that our schema has for them, and numbers with a unit are converted.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{NamesRef, RecordSchema, ResolvedSchema};
use apache_avro::types::Value;

/// Resolves a value to a schema of ours.
pub fn resolve(value: Value, ours: &Schema) -> Result<Value, String> {
    let types = ResolvedSchema::new(ours).map_err(|error| error.to_string())?;
    let names = types.get_names();
    let resolved = fit(value, ours, names)?.resolve_with_names(ours, names);
    resolved.map_err(|error| error.to_string())
}

fn fit(value: Value, ours: &Schema, names: &NamesRef<'_>) -> Result<Value, String> {
    Ok(match (value, ours) {
        (Value::Union(_, inner), ours) => fit(*inner, ours, names)?,
        (value, Schema::Ref { name }) => match names.get(name) {
            Some(ours) => fit(value, ours, names)?,
            None => value,
        },
        (Value::Null, _) => Value::Null,
        (value, Schema::Union(union)) => {
            let mut others = union
                .variants()
                .iter()
                .filter(|it| !matches!(it, Schema::Null));
            match (others.next(), others.next()) {
                (Some(ours), None) => fit(value, ours, names)?,
                // Our schemas have no other unions.
                _ => value,
            }
        }
        (Value::Record(fields), Schema::Record(ours)) => record(fields, ours, names)?,
        (Value::Array(items), Schema::Array(ours)) => {
            let items = items.into_iter().map(|it| fit(it, &ours.items, names));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        (Value::Map(entries), Schema::Map(ours)) => {
            let entries = entries.into_iter();
            let entries = entries.map(|(key, it)| Ok((key, fit(it, &ours.types, names)?)));
            Value::Map(entries.collect::<Result<_, String>>()?)
        }
        (value, ours) => leaf(value, ours)?,
    })
}

/// The fields that our record has, by the names that it has for them: a field's own, or else the
/// first of its aliases that the writer has.
fn record(
    fields: Vec<(String, Value)>,
    ours: &RecordSchema,
    names: &NamesRef<'_>,
) -> Result<Value, String> {
    let mut written: HashMap<String, Value> = fields.into_iter().collect();
    let mut fields = Vec::with_capacity(ours.fields.len());
    for field in &ours.fields {
        let mut known = [&field.name].into_iter().chain(&field.aliases);
        // What is not there gets its default from the library.
        if let Some(value) = known.find_map(|name| written.remove(name)) {
            let value = fit(value, &field.schema, names);
            let value = value.map_err(|error| format!("{}: {error}", field.name))?;
            fields.push((field.name.clone(), value));
        }
    }
    Ok(Value::Record(fields))
}

/// Nanoseconds of a day, a millisecond, a microsecond and a nanosecond: what a number may count.
const DAY: i64 = 86_400_000_000_000;
const MILLI: i64 = 1_000_000;
const MICRO: i64 = 1_000;
const NANO: i64 = 1;

/// A value that holds no others, without the logical type that the library would not resolve.
fn leaf(value: Value, ours: &Schema) -> Result<Value, String> {
    let (number, unit) = match value {
        Value::Date(number) => (number.into(), DAY),
        Value::TimeMillis(number) => (number.into(), MILLI),
        Value::TimestampMillis(number) | Value::LocalTimestampMillis(number) => (number, MILLI),
        Value::TimeMicros(number)
        | Value::TimestampMicros(number)
        | Value::LocalTimestampMicros(number) => (number, MICRO),
        Value::TimestampNanos(number) | Value::LocalTimestampNanos(number) => (number, NANO),
        Value::Decimal(digits) => {
            // Only one without any digit has no bytes.
            let bytes = Vec::try_from(digits).unwrap_or_default();
            return Ok(match ours {
                Schema::Fixed(_) => Value::Fixed(bytes.len(), bytes),
                _ => Value::Bytes(bytes),
            });
        }
        Value::Uuid(uuid) if matches!(ours, Schema::Fixed(_)) => {
            let bytes = uuid.as_bytes().to_vec();
            return Ok(Value::Fixed(bytes.len(), bytes));
        }
        other => return Ok(other),
    };
    let number = match unit_of(ours) {
        Some(ours) if ours != unit => {
            // Down, so that what was earlier stays so.
            let number = (i128::from(number) * i128::from(unit)).div_euclid(ours.into());
            i64::try_from(number)
                .map_err(|_| "the time is too far away for the unit of ours".to_owned())?
        }
        _ => number,
    };
    Ok(match ours {
        Schema::Int | Schema::Date | Schema::TimeMillis => {
            Value::Int(i32::try_from(number).map_err(|_| format!("{number} is no int"))?)
        }
        _ => Value::Long(number),
    })
}

/// What the numbers of a schema count.
fn unit_of(schema: &Schema) -> Option<i64> {
    Some(match schema {
        Schema::Date => DAY,
        Schema::TimeMillis | Schema::TimestampMillis | Schema::LocalTimestampMillis => MILLI,
        Schema::TimeMicros | Schema::TimestampMicros | Schema::LocalTimestampMicros => MICRO,
        Schema::TimestampNanos | Schema::LocalTimestampNanos => NANO,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
