//! The records of the log, in the format of Confluent's registry: JSON keys and values whose fields
//! stand in its order, so that either registry can go on with a topic of the other.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::level::{Level, Mode};

/// What a record is about. The key of a compacted topic: one record per key survives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "keytype", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Key {
    /// A version of a subject.
    Schema {
        /// Subject.
        subject: String,
        /// Version.
        version: i32,
        /// 1
        magic: u8,
    },
    /// A compatibility level.
    Config {
        /// Subject; `null` is the global setting.
        subject: Option<String>,
        /// 0
        magic: u8,
    },
    /// A mode.
    Mode {
        /// Subject; `null` is the global setting.
        subject: Option<String>,
        /// 0
        magic: u8,
    },
    /// The soft deletion of a subject.
    DeleteSubject {
        /// Subject.
        subject: String,
        /// 0
        magic: u8,
    },
    /// Says nothing. It is written to learn where the log ends.
    Noop {
        /// 0
        magic: u8,
    },
}

impl Key {
    /// The key of a version.
    pub fn schema(subject: &str, version: i32) -> Self {
        Key::Schema {
            subject: subject.to_owned(),
            version,
            magic: 1,
        }
    }

    /// The key of a compatibility level.
    pub fn config(subject: Option<&str>) -> Self {
        Key::Config {
            subject: subject.map(str::to_owned),
            magic: 0,
        }
    }

    /// The key of a mode.
    pub fn mode(subject: Option<&str>) -> Self {
        Key::Mode {
            subject: subject.map(str::to_owned),
            magic: 0,
        }
    }

    /// The key of the soft deletion of a subject.
    pub fn delete_subject(subject: &str) -> Self {
        Key::DeleteSubject {
            subject: subject.to_owned(),
            magic: 0,
        }
    }

    /// The key of a record that says nothing.
    pub fn noop() -> Self {
        Key::Noop { magic: 0 }
    }
}

/// A schema that another one uses types of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// The name of the type, as the schema uses it.
    pub name: String,
    /// Where it is registered.
    pub subject: String,
    /// Its version there.
    pub version: i32,
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchemaValue {
    /// Subject.
    pub subject: String,
    /// Version, from 1.
    pub version: i32,
    /// The id of the schema, the same under every subject.
    pub id: i32,
    /// Absent for Avro.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_type: Option<String>,
    /// The schemas that this one uses types of.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub references: Vec<Reference>,
    /// Words about the schema ([`super::contract::Metadata`]); as another registry wrote it, even
    /// where this one does not understand it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Rules that clients carry out ([`super::contract::RuleSet`]), likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_set: Option<Value>,
    /// The text.
    pub schema: String,
    /// Whether the version is soft deleted.
    #[serde(default)]
    pub deleted: bool,
    /// What other registries store; kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl SchemaValue {
    /// Whether this is an Avro schema.
    pub fn is_avro(&self) -> bool {
        self.schema_type
            .as_deref()
            .is_none_or(|kind| kind == "AVRO")
    }
}

/// A compatibility level.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigValue {
    /// Subject; absent for the global setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The level; absent means that of the level above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility_level: Option<Level>,
    /// Whether schemas are normalized unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<bool>,
    /// What other registries store; kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl ConfigValue {
    /// Members that would change what is registered, and are not applied here: those that another
    /// registry has written.
    pub fn ignored(&self) -> Vec<&'static str> {
        let members = [
            "defaultMetadata",
            "overrideMetadata",
            "defaultRuleSet",
            "overrideRuleSet",
        ];
        let is_set = |name: &&str| self.other.get(*name).is_some_and(|it| !it.is_null());
        members.into_iter().filter(is_set).collect()
    }
}

/// A mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModeValue {
    /// Subject; absent for the global setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The mode.
    pub mode: Mode,
}

/// The soft deletion of a subject's versions up to one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeleteSubjectValue {
    /// Subject.
    pub subject: String,
    /// The last version that is deleted.
    pub version: i32,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A version is there, or deleted softly.
    Schema(SchemaValue),
    /// A version is gone for good.
    NoSchema {
        /// Subject.
        subject: String,
        /// Version.
        version: i32,
    },
    /// A compatibility level is set.
    Config(ConfigValue),
    /// A compatibility level is no longer set.
    NoConfig(Option<String>),
    /// A mode is set.
    Mode(ModeValue),
    /// A mode is no longer set.
    NoMode(Option<String>),
    /// A subject is deleted softly.
    DeleteSubject(DeleteSubjectValue),
    /// Nothing that concerns us.
    Noop,
}

impl Record {
    /// Reads a record; a key of a type that this registry does not know is [`Record::Noop`].
    pub fn read(key: &[u8], value: Option<&[u8]>) -> Result<Record, serde_json::Error> {
        let raw: Value = serde_json::from_slice(key)?;
        let known = ["SCHEMA", "CONFIG", "MODE", "DELETE_SUBJECT"];
        if !raw
            .get("keytype")
            .and_then(Value::as_str)
            .is_some_and(|kind| known.contains(&kind))
        {
            return Ok(Record::Noop);
        }
        let value = value.filter(|value| !value.is_empty());
        Ok(match (serde_json::from_value(raw)?, value) {
            (Key::Schema { .. }, Some(value)) => Record::Schema(serde_json::from_slice(value)?),
            (
                Key::Schema {
                    subject, version, ..
                },
                None,
            ) => Record::NoSchema { subject, version },
            (Key::Config { subject, .. }, Some(value)) => Record::Config(ConfigValue {
                subject,
                ..serde_json::from_slice(value)?
            }),
            (Key::Config { subject, .. }, None) => Record::NoConfig(subject),
            (Key::Mode { subject, .. }, Some(value)) => Record::Mode(ModeValue {
                subject,
                ..serde_json::from_slice(value)?
            }),
            (Key::Mode { subject, .. }, None) => Record::NoMode(subject),
            (Key::DeleteSubject { .. }, Some(value)) => {
                Record::DeleteSubject(serde_json::from_slice(value)?)
            }
            (Key::DeleteSubject { .. }, None) | (Key::Noop { .. }, _) => Record::Noop,
        })
    }

    /// Key and value as they stand in the log; a value of `None` is a tombstone.
    pub fn write(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), serde_json::Error> {
        let (key, value) = match self {
            Record::Schema(value) => (
                Key::schema(&value.subject, value.version),
                Some(serde_json::to_vec(value)?),
            ),
            Record::NoSchema { subject, version } => (Key::schema(subject, *version), None),
            Record::Config(value) => (
                Key::config(value.subject.as_deref()),
                Some(serde_json::to_vec(value)?),
            ),
            Record::NoConfig(subject) => (Key::config(subject.as_deref()), None),
            Record::Mode(value) => (
                Key::mode(value.subject.as_deref()),
                Some(serde_json::to_vec(value)?),
            ),
            Record::NoMode(subject) => (Key::mode(subject.as_deref()), None),
            Record::DeleteSubject(value) => (
                Key::delete_subject(&value.subject),
                Some(serde_json::to_vec(value)?),
            ),
            Record::Noop => (Key::noop(), None),
        };
        Ok((serde_json::to_vec(&key)?, value))
    }
}

/// Other registries write `null` where a list is empty.
fn nullable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Reference>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(key: &str, value: Option<&str>) {
        let record = Record::read(key.as_bytes(), value.map(str::as_bytes)).unwrap();
        let (wrote_key, wrote_value) = record.write().unwrap();
        assert_eq!(String::from_utf8(wrote_key).unwrap(), key);
        assert_eq!(
            wrote_value
                .map(|v| String::from_utf8(v).unwrap())
                .as_deref(),
            value
        );
    }

    /// Records as they stand in a topic that Confluent's registry wrote; only the members of a rule
    /// have another order there.
    #[test]
    fn confluents_records_are_read_and_written_byte_for_byte() {
        same(
            r#"{"keytype":"SCHEMA","subject":"t-value","version":1,"magic":1}"#,
            Some(
                r#"{"subject":"t-value","version":1,"id":1,"schema":"\"string\"","deleted":false}"#,
            ),
        );
        same(
            r#"{"keytype":"SCHEMA","subject":"t-value","version":2,"magic":1}"#,
            Some(
                r#"{"subject":"t-value","version":2,"id":7,"schemaType":"PROTOBUF","references":[{"name":"o.proto","subject":"o","version":1}],"schema":"syntax","deleted":true}"#,
            ),
        );
        same(
            r#"{"keytype":"SCHEMA","subject":"t-value","version":3,"magic":1}"#,
            Some(
                r#"{"subject":"t-value","version":3,"id":8,"metadata":{"properties":{"owner":"me"}},"ruleSet":{"domainRules":[{"disabled":false,"kind":"TRANSFORM","mode":"WRITEREAD","name":"e","tags":["PII"],"type":"ENCRYPT"}]},"schema":"\"int\"","deleted":false}"#,
            ),
        );
        same(
            r#"{"keytype":"SCHEMA","subject":"t-value","version":1,"magic":1}"#,
            None,
        );
        same(
            r#"{"keytype":"CONFIG","subject":null,"magic":0}"#,
            Some(r#"{"compatibilityLevel":"FULL_TRANSITIVE"}"#),
        );
        same(
            r#"{"keytype":"CONFIG","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s","compatibilityLevel":"NONE"}"#),
        );
        same(
            r#"{"keytype":"MODE","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s","mode":"READONLY_OVERRIDE"}"#),
        );
        same(
            r#"{"keytype":"DELETE_SUBJECT","subject":"s","magic":0}"#,
            Some(r#"{"subject":"s","version":3}"#),
        );
        same(r#"{"keytype":"NOOP","magic":0}"#, None);
    }

    #[test]
    fn what_others_store_is_kept_and_unknown_keys_are_skipped() {
        let value = r#"{"subject":"s","version":1,"id":1,"md5":"x","references":null,"metadata":{"a":1},"schema":"\"int\"","deleted":false}"#;
        let key = r#"{"keytype":"SCHEMA","subject":"s","version":1,"magic":1}"#;
        let Record::Schema(read) = Record::read(key.as_bytes(), Some(value.as_bytes())).unwrap()
        else {
            panic!("not a schema")
        };
        assert_eq!(read.other.keys().collect::<Vec<_>>(), ["md5"]);
        assert_eq!(read.metadata, Some(serde_json::json!({ "a": 1 })));
        let context = br#"{"keytype":"CONTEXT","tenant":"default","context":".c","magic":0}"#;
        assert_eq!(Record::read(context, Some(b"{}")).unwrap(), Record::Noop);
        assert!(Record::read(b"not json", None).is_err());
    }
}
