//! JSON as a value of a schema.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::types::Value;
use serde_json::Value as Json;

/// The value that `json` is in `schema`; the error says what was expected.
pub fn fixed(schema: &Schema, json: &Json) -> Result<Value, String> {
    let whole = || {
        json.as_i64()
            .ok_or_else(|| expected("a whole number", json))
    };
    let number = || json.as_f64().ok_or_else(|| expected("a number", json));
    let text = || json.as_str().ok_or_else(|| expected("text", json));
    let int = || i32::try_from(whole()?).map_err(|_| expected("a whole number of 32 bits", json));
    Ok(match schema {
        Schema::Null if json.is_null() => Value::Null,
        Schema::Null => return Err(expected("null", json)),
        Schema::Boolean => Value::Boolean(
            json.as_bool()
                .ok_or_else(|| expected("true or false", json))?,
        ),
        Schema::Int => Value::Int(int()?),
        Schema::Long => Value::Long(whole()?),
        Schema::Float => Value::Float(number()? as f32),
        Schema::Double => Value::Double(number()?),
        Schema::TimestampMillis => Value::TimestampMillis(whole()?),
        Schema::TimestampMicros => Value::TimestampMicros(whole()?),
        Schema::Date => Value::Date(int()?),
        Schema::String => Value::String(text()?.to_owned()),
        Schema::Bytes => Value::Bytes(text()?.as_bytes().to_vec()),
        Schema::Enum(of) => {
            let symbol = text()?;
            let at = of.symbols.iter().position(|known| known == symbol);
            let at =
                at.ok_or_else(|| expected(&format!("one of {}", of.symbols.join(", ")), json))?;
            Value::Enum(at as u32, symbol.to_owned())
        }
        Schema::Union(of) => {
            let mut branches = of.variants().iter().enumerate();
            let fits = branches.find_map(|(at, branch)| Some((at, fixed(branch, json).ok()?)));
            let (at, value) = fits.ok_or_else(|| expected("a value of one of the types", json))?;
            Value::Union(at as u32, Box::new(value))
        }
        Schema::Array(of) => {
            let items = json.as_array().ok_or_else(|| expected("a list", json))?;
            let items = items.iter().map(|item| fixed(&of.items, item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Schema::Map(of) => {
            let entries = json.as_object().ok_or_else(|| expected("a table", json))?;
            let entries = entries.iter();
            let entries = entries.map(|(name, json)| Ok((name.clone(), fixed(&of.types, json)?)));
            Value::Map(entries.collect::<Result<HashMap<_, _>, String>>()?)
        }
        Schema::Record(of) => {
            let entries = json.as_object().ok_or_else(|| expected("a table", json))?;
            let fields = of.fields.iter().map(|field| {
                let json = entries.get(&field.name).or(field.default.as_ref());
                let json = json.ok_or_else(|| format!("`{}` is missing", field.name))?;
                Ok((field.name.clone(), fixed(&field.schema, json)?))
            });
            Value::Record(fields.collect::<Result<_, String>>()?)
        }
        _ => return Err("values of this type cannot be made".into()),
    })
}

fn expected(what: &str, json: &Json) -> String {
    format!("expected {what}, not {json}")
}
