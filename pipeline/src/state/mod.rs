//! An object's one state entry: JSON with the business fields, and the bookkeeping under `_m`.

pub mod dedup;
pub(crate) mod idempotency;
pub(crate) mod reserved;

use std::fmt;

use bytes::Bytes;
use restate_sdk::prelude::*;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value};

use crate::failure::{self, Failure};
use crate::state::dedup::Bookkeeping;

/// Name of the entry.
pub const STATE_ENTRY: &str = "state";

/// Business state: a struct with named fields. Its default is the state of an object that no
/// event has reached yet.
pub trait State: Serialize + DeserializeOwned + Default + Send + Sync + 'static {}

impl<S: Serialize + DeserializeOwned + Default + Send + Sync + 'static> State for S {}

/// The entry as it is stored. Fields that this version does not know are kept.
#[derive(Debug, Default)]
pub struct Stored<S: State> {
    /// Business fields.
    pub state: S,
    /// `None` until the first event.
    pub bookkeeping: Option<Bookkeeping>,
    /// Fields of another version.
    other: Map<String, Value>,
}

/// What an entry has besides the bookkeeping.
#[derive(Serialize)]
#[serde(bound = "S: State")]
struct Business<'s, S: State> {
    #[serde(flatten)]
    state: &'s S,
    #[serde(flatten)]
    other: &'s Map<String, Value>,
}

/// The business fields of an entry as JSON, written before anything is published: an object that
/// outgrew its limit would be paused by the engine, and hold its key for good.
#[derive(Debug, Clone)]
pub(crate) struct Fields(Bytes);

impl Fields {
    /// The entry with these fields.
    pub fn with(&self, bookkeeping: Option<&Bookkeeping>) -> Result<Bytes, serde_json::Error> {
        let (Some(bookkeeping), Some((_, open))) = (bookkeeping, self.0.split_last()) else {
            return Ok(self.0.clone());
        };
        let mut text = open.to_vec();
        text.extend_from_slice(match text.len() {
            1 => b"\"_m\":".as_slice(),
            _ => b",\"_m\":".as_slice(),
        });
        serde_json::to_writer(&mut text, bookkeeping)?;
        text.push(b'}');
        Ok(Bytes::from(text))
    }

    /// Bytes that they take.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// What has these fields.
    pub fn parse<S: State>(&self) -> Result<Stored<S>, UnreadableState> {
        Stored::parse(Some(&self.0))
    }

    /// Refuses fields that are larger than allowed, and than they were `before`.
    pub fn check(
        &self,
        before: impl FnOnce() -> Option<usize>,
        limit: usize,
    ) -> Result<(), Failure> {
        let size = self.size();
        if size <= limit || before().is_some_and(|before| size <= before) {
            return Ok(());
        }
        Err(Failure::passing(
            failure::TOO_LARGE,
            format!(
                "the state of this key would have {size} bytes, {limit} are allowed (`state-limit`); \
                 take something away first, or use another key"
            ),
        ))
    }
}

/// The entry cannot be read: a person has to look at it. The object waits until then.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state of this object cannot be read ({0}); look at it with `restate kv get` and \
     go back to the version that wrote it, or kill this invocation, mend the state with `restate kv \
     edit` and produce the event again"
)]
pub struct UnreadableState(serde_json::Error);

impl<S: State> Stored<S> {
    /// Reads an entry. Its bytes are decoded here and not by the SDK, which would lose the event.
    pub fn parse(entry: Option<&Bytes>) -> Result<Self, UnreadableState> {
        match entry {
            None => Ok(Self::default()),
            Some(bytes) => Self::read(bytes).map_err(UnreadableState),
        }
    }

    /// By hand, because serde's `flatten` cannot read a map whose keys are numbers.
    fn read(bytes: &Bytes) -> Result<Self, serde_json::Error> {
        let mut text = serde_json::Deserializer::from_slice(bytes);
        let (bookkeeping, mut fields) = text.deserialize_map(Parts)?;
        text.end()?;
        let state = S::deserialize(Known(&mut fields))?;
        Ok(Self {
            state,
            bookkeeping,
            other: fields,
        })
    }

    /// The entry's bytes.
    pub fn to_bytes(&self) -> Result<Bytes, HandlerError> {
        Ok(self.fields()?.with(self.bookkeeping.as_ref())?)
    }

    /// The business fields, and those of another version.
    pub(crate) fn fields(&self) -> Result<Fields, serde_json::Error> {
        let business = Business {
            state: &self.state,
            other: &self.other,
        };
        serde_json::to_vec(&business).map(|text| Fields(text.into()))
    }
}

/// The bookkeeping, and all other fields.
struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = (Option<Bookkeeping>, Map<String, Value>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object's state")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut bookkeeping, mut fields) = (None, Map::new());
        while let Some(name) = map.next_key::<String>()? {
            if name == "_m" {
                bookkeeping = map.next_value()?;
            } else {
                fields.insert(name, map.next_value()?);
            }
        }
        Ok((bookkeeping, fields))
    }
}

/// Gives a struct the fields that it knows, and leaves the others.
struct Known<'f>(&'f mut Map<String, Value>);

impl<'de> Deserializer<'de> for Known<'_> {
    type Error = serde_json::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let known = fields.iter().filter_map(|name| self.0.remove_entry(*name));
        let known = Value::Object(known.collect());
        known.deserialize_struct(name, fields, visitor)
    }

    /// A struct that keeps all fields itself.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        Value::Object(std::mem::take(self.0)).deserialize_any(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Counter {
        #[serde(default, alias = "number")]
        count: u32,
    }

    #[test]
    fn a_renamed_field_is_read_once_and_no_state_is_state_too() {
        let bytes = Bytes::from_static(br#"{"number":1}"#);
        let stored = Stored::<Counter>::parse(Some(&bytes)).unwrap();
        assert_eq!(stored.to_bytes().unwrap(), &br#"{"count":1}"#[..]);
        let stored = Stored::<()>::parse(Some(&bytes)).unwrap();
        assert_eq!(stored.to_bytes().unwrap(), bytes);
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Numbered {
        by_number: std::collections::BTreeMap<u64, i64>,
    }

    #[test]
    fn maps_with_numbers_for_keys_are_read_back() {
        let mut stored = Stored::<Numbered>::default();
        stored.state.by_number.insert(7, 8);
        let bytes = stored.to_bytes().unwrap();
        assert_eq!(
            Stored::<Numbered>::parse(Some(&bytes)).unwrap().state,
            stored.state
        );
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct List {
        #[serde(default)]
        items: Vec<String>,
    }

    #[test]
    fn fields_grow_up_to_their_limit_and_shrink_from_beyond_it() {
        let of = |count: usize| {
            let items = vec!["12345678".to_owned(); count];
            Stored {
                state: List { items },
                bookkeeping: Some(serde_json::from_str(r#"{"e":"ab"}"#).unwrap()),
                other: Map::new(),
            }
        };
        let size = |count| of(count).fields().unwrap().size();
        let check = |count, before: Option<usize>, limit| {
            let before = || before.map(size);
            of(count).fields().unwrap().check(before, limit)
        };
        let limit = size(3);
        assert_eq!(check(3, None, limit), Ok(()), "the bookkeeping is no part");
        assert_eq!(check(3, Some(2), limit), Ok(()));
        for before in [None, Some(3)] {
            let refused = check(4, before, limit).unwrap_err();
            assert_eq!(refused.code, failure::TOO_LARGE);
            assert!(refused.may_be_repeated, "once something was taken away");
        }
        // A limit that was lowered holds up nothing that asks or takes away.
        assert_eq!(check(5, Some(5), limit), Ok(()));
        assert_eq!(check(4, Some(5), limit), Ok(()));
        assert!(check(6, Some(5), limit).is_err());
    }

    #[test]
    fn an_entry_is_json_whatever_it_has() {
        for text in [
            r#"{"_m":{"e":"ab","o":{}}}"#,
            r#"{"later":1,"_m":{"e":"ab","o":{}}}"#,
            "{}",
            r#"{"later":1}"#,
        ] {
            let bytes = Bytes::from_static(text.as_bytes());
            let stored = Stored::<()>::parse(Some(&bytes)).unwrap();
            assert_eq!(stored.to_bytes().unwrap(), text);
        }
    }

    #[test]
    fn fields_of_another_version_are_kept() {
        let bytes = Bytes::from_static(br#"{"count":1,"later":{"x":[1,null]},"_m":{"e":"ab"}}"#);
        let mut stored = Stored::<Counter>::parse(Some(&bytes)).unwrap();
        stored.state.count += 1;
        let written: Value = serde_json::from_slice(&stored.to_bytes().unwrap()).unwrap();
        assert_eq!(written["count"], 2);
        assert_eq!(written["later"], serde_json::json!({"x": [1, null]}));
        assert_eq!(written["_m"]["e"], "ab");
    }
}
