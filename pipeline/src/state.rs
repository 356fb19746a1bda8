//! An object's one state entry: JSON with the business fields, and the bookkeeping under `_m`.

use bytes::Bytes;
use restate_sdk::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::bookkeeping::Bookkeeping;

/// Name of the entry.
pub const STATE_ENTRY: &str = "state";

/// Business state: a struct with named fields. Its default is the state of an object that no
/// event has reached yet.
pub trait State: Serialize + DeserializeOwned + Default + Send + Sync {}

impl<S: Serialize + DeserializeOwned + Default + Send + Sync> State for S {}

/// The entry as it is stored. Fields that this version does not know are kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(bound = "S: State")]
pub struct Stored<S: State> {
    /// Business fields.
    #[serde(flatten)]
    pub state: S,
    /// `None` until the first event.
    #[serde(rename = "_m", default, skip_serializing_if = "Option::is_none")]
    pub bookkeeping: Option<Bookkeeping>,
    /// Fields of another version.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// The entry cannot be read: a person has to look at it. The object waits until then.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state of this object cannot be read ({0}); look at it with `restate kv get`, mend it \
     with `restate kv edit` or go back to the version that wrote it"
)]
pub struct UnreadableState(serde_json::Error);

impl<S: State> Stored<S> {
    /// Reads an entry. Its bytes are decoded here and not by the SDK, which would lose the event.
    pub fn parse(entry: Option<&Bytes>) -> Result<Self, UnreadableState> {
        match entry {
            None => Ok(Self::default()),
            Some(bytes) => serde_json::from_slice(bytes).map_err(UnreadableState),
        }
    }

    /// The entry's bytes.
    pub fn to_bytes(&self) -> Result<Bytes, HandlerError> {
        Ok(Bytes::from(serde_json::to_vec(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Counter {
        #[serde(default)]
        count: u32,
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
