//! JSON in which no object has two members of one name.
//!
//! Which of the two counts is not said (RFC 8259, 4): two readers may take one text for two events.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::integers::written_plainly;

/// Reads a text that is one value, and refuses it if a member comes twice. Whole numbers are integers,
/// also those written as `1545.0`.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    let text = written_plainly(text);
    let mut deserializer = serde_json::Deserializer::from_slice(&text);
    let value = Unique.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                let message = format!("the member {name:?} comes twice; send it once");
                return Err(A::Error::custom(message));
            }
            let value = members.next_value_seed(self)?;
            map.insert(name, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_member_that_comes_twice_is_refused_wherever_it_is() {
        for text in [
            r#"{"type":"Deposit","type":"Withdraw"}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"a":[{"b":null,"b":null}]}"#,
            r#"[{"a":{"b":{"c":1,"d":2,"c":1}}}]"#,
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("comes twice"), "{text}: {error}");
        }
        let same = r#"{"a":{"a":1},"A":1}"#;
        assert!(parse(same.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_none_here_either() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "{", "1 2", "{\"a\":1}x", "nul", "\u{feff}1", &deep] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        /// All else is read as the library reads it.
        #[test]
        fn other_texts_are_read_as_they_are(number: f64, text: String, whole: i64, flag: bool) {
            let value = serde_json::json!({
                "list": [number, whole, flag, null, { "text": text }], text: {},
            });
            let written = value.to_string();
            let library: Value = serde_json::from_str(&written).unwrap();
            let read = parse(written.as_bytes()).unwrap();
            // A whole number is an integer here.
            let floating = |value: &Value| value["list"][0].as_f64();
            prop_assert_eq!(floating(&read), floating(&library));
            let others = |mut value: Value| {
                value["list"][0].take();
                value
            };
            prop_assert_eq!(others(read), others(library));
        }
    }
}
