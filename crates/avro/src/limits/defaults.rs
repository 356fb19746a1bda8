//! What the defaults of a schema come to. The Avro library puts each of them into its type when it
//! parses the schema, and fills the fields that it leaves out with their defaults, and so on: thirty
//! short records, each with two defaults `{}` of the one before, come to a thousand million values.

use serde_json::{Map, Value};

use super::MAX_JSON_DEPTH;

/// All defaults of a schema come to no more values.
const MAX_VALUES: u64 = 100_000;

/// Counts what defaults come to, from above: an object may be a record of any type that was seen.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    /// The most values that the defaults of any one record come to.
    largest: u64,
    total: u64,
}

impl Defaults {
    /// Checks all defaults of a schema, whose depth is known to be bounded.
    pub(super) fn check(&mut self, schema: &Value) -> Result<(), String> {
        match schema {
            Value::Array(branches) => branches.iter().try_for_each(|it| self.check(it)),
            Value::Object(members) => {
                for name in ["type", "items", "values"] {
                    if let Some(inner) = members.get(name) {
                        self.check(inner)?;
                    }
                }
                match members.get("fields") {
                    Some(Value::Array(fields)) => self.record(fields),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn record(&mut self, fields: &[Value]) -> Result<(), String> {
        let mut own = 0_u64;
        for field in fields.iter().filter_map(Value::as_object) {
            if let Some(kind) = field.get("type") {
                self.check(kind)?;
            }
            own = own.saturating_add(self.of_field(field)?);
        }
        self.largest = self.largest.max(own);
        Ok(())
    }

    fn of_field(&mut self, field: &Map<String, Value>) -> Result<u64, String> {
        let Some(default) = field.get("default") else {
            return Ok(0);
        };
        let (mut values, mut objects) = (0, 0);
        count(default, 0, &mut values, &mut objects)?;
        let branches = match field.get("type") {
            Some(Value::Array(branches)) => branches.len() as u64,
            _ => 1,
        };
        let all = u64::saturating_add(values, self.largest.saturating_mul(objects));
        self.total = self
            .total
            .saturating_add(all.saturating_mul(branches.max(1)));
        match self.total > MAX_VALUES {
            true => Err(format!(
                "its defaults come to more than {MAX_VALUES} values; leave out what others fill in"
            )),
            false => Ok(all),
        }
    }
}

/// Counts values and objects; each level counts twice as much as the one around it, for a union in
/// every level has the library look at what is in it twice.
fn count(json: &Value, depth: usize, values: &mut u64, objects: &mut u64) -> Result<(), String> {
    if depth > MAX_JSON_DEPTH {
        return Err(format!(
            "a default is nested deeper than {MAX_JSON_DEPTH} levels"
        ));
    }
    let weight = 1 << depth;
    *values += weight;
    match json {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| count(item, depth + 1, values, objects)),
        Value::Object(members) => {
            *objects += weight;
            members
                .values()
                .try_for_each(|value| count(value, depth + 1, values, objects))
        }
        _ => Ok(()),
    }
}
