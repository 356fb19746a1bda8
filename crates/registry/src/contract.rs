//! What goes with a schema besides its text: metadata, and the rules that clients carry out, such as
//! encryption. The registry keeps both and gives them back; it carries out none. A client that is not
//! given its rules writes plain text, so they are part of what a schema is.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A rule's name is not longer.
const MAX_NAME: usize = 256;

/// The property that counts a subject's versions, where a client keeps one.
pub const VERSION: &str = "confluent:version";

/// Words about a schema.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Tags of what a path in the schema names.
    #[serde(default, deserialize_with = "null", skip_serializing_if = "no_items")]
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// Any properties.
    #[serde(default, deserialize_with = "null", skip_serializing_if = "no_items")]
    pub properties: BTreeMap<String, String>,
    /// Names of properties that are secret.
    #[serde(default, deserialize_with = "null", skip_serializing_if = "no_words")]
    pub sensitive: BTreeSet<String>,
    /// What newer clients send; kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Rules of a schema.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleSet {
    /// Between versions.
    #[serde(
        default,
        deserialize_with = "null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub migration_rules: Vec<Rule>,
    /// On values before they are written and after they are read.
    #[serde(
        default,
        deserialize_with = "null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub domain_rules: Vec<Rule>,
    /// On bytes.
    #[serde(
        default,
        deserialize_with = "null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub encoding_rules: Vec<Rule>,
    /// What newer clients send; kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Unique among the rules of a schema.
    #[serde(default, deserialize_with = "null")]
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
    /// What it does.
    #[serde(default, deserialize_with = "null")]
    pub kind: Kind,
    /// When it does it.
    #[serde(default, deserialize_with = "null")]
    pub mode: Mode,
    /// Who carries it out, such as `ENCRYPT`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Tags of the fields that it applies to.
    #[serde(default, deserialize_with = "null", skip_serializing_if = "no_words")]
    pub tags: BTreeSet<String>,
    /// Parameters of the executor.
    #[serde(default, deserialize_with = "null", skip_serializing_if = "no_items")]
    pub params: BTreeMap<String, String>,
    /// Its expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expr: Option<String>,
    /// Action when it succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_success: Option<String>,
    /// Action when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<String>,
    /// Whether it is left out.
    #[serde(default, deserialize_with = "null")]
    pub disabled: bool,
    /// What newer clients send; kept as it is.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Changes values.
    #[default]
    Transform,
    /// Allows or refuses them.
    Condition,
}

/// When a rule is carried out. The first three are for migration rules.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// To a newer version.
    Upgrade,
    /// To an older one.
    Downgrade,
    /// Both.
    UpDown,
    /// When a value is written.
    Write,
    /// When it is read.
    Read,
    /// Both.
    #[default]
    WriteRead,
}

impl RuleSet {
    /// Checks the rules as Confluent's registry does; the reason why they are refused.
    pub fn check(&self) -> Result<(), String> {
        let mut names = HashSet::new();
        let migration = self.migration_rules.iter().map(|rule| (rule, true));
        let others = self.domain_rules.iter().chain(&self.encoding_rules);
        for (rule, migrates) in migration.chain(others.map(|rule| (rule, false))) {
            rule.check()?;
            let name = &rule.name;
            if !names.insert(name) {
                return Err(format!("two rules are called {name}"));
            }
            let fits = matches!(rule.mode, Mode::Upgrade | Mode::Downgrade | Mode::UpDown);
            if fits != migrates {
                return Err(format!(
                    "rule {name} has a mode of another sort: migration rules have UPGRADE, DOWNGRADE \
                     or UPDOWN, others WRITE, READ or WRITEREAD"
                ));
            }
        }
        Ok(())
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let first = name.chars().next();
        let is_name = first.is_some_and(|it| it.is_alphabetic() || it == '_')
            && name
                .chars()
                .all(|it| it.is_alphanumeric() || it == '_' || it == '-');
        if !is_name || name.chars().count() > MAX_NAME {
            return Err(format!(
                "{name:?} is no name of a rule: letters, digits, _ and -, at most {MAX_NAME}"
            ));
        }
        if self.executor.is_none() {
            return Err(format!("rule {name} has no type"));
        }
        let one = !matches!(self.mode, Mode::WriteRead | Mode::UpDown);
        let several = [&self.on_success, &self.on_failure]
            .into_iter()
            .flatten()
            .any(|action| action.contains(','));
        match one && several {
            true => Err(format!(
                "rule {name} has two actions, which only WRITEREAD and UPDOWN can have"
            )),
            false => Ok(()),
        }
    }
}

/// As it is stored and shown; `None` where it says nothing.
pub fn stored<T: Default + PartialEq + Serialize>(part: &T) -> Option<Value> {
    let value = (*part != T::default()).then(|| serde_json::to_value(part));
    value?.ok()
}

/// A stored part in the form that equal ones share, whoever wrote it; empty where it says nothing.
pub fn canonical<T>(part: Option<&Value>) -> String
where
    T: Default + PartialEq + Serialize + DeserializeOwned,
{
    let Some(part) = part.filter(|part| !part.is_null()) else {
        return String::new();
    };
    match T::deserialize(part) {
        Ok(part) => stored(&part).map(|it| it.to_string()).unwrap_or_default(),
        Err(_) => part.to_string(),
    }
}

/// Clients write `null` where they have nothing.
fn null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn no_items<K, V>(items: &BTreeMap<K, V>) -> bool {
    items.is_empty()
}

fn no_words(words: &BTreeSet<String>) -> bool {
    words.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_what_confluents_registry_fills_in() {
        let short =
            json!({ "domainRules": [{ "name": "e", "type": "ENCRYPT", "tags": ["b", "a"] }] });
        let long = json!({ "migrationRules": null, "domainRules": [{
            "name": "e", "doc": null, "kind": "TRANSFORM", "mode": "WRITEREAD", "type": "ENCRYPT",
            "tags": ["a", "b"], "params": {}, "disabled": false,
        }] });
        let form = |rules: &Value| canonical::<RuleSet>(Some(rules));
        assert_eq!(form(&short), form(&long));
        assert!(form(&short).contains("ENCRYPT"));
        let disabled = json!({ "domainRules": [{ "name": "e", "type": "ENCRYPT", "tags": ["b", "a"], "disabled": true }] });
        assert_ne!(form(&short), form(&disabled));
        for nothing in [json!({}), json!({ "domainRules": [] }), Value::Null] {
            assert_eq!(form(&nothing), "");
        }
        let newer = json!({ "domainRules": [], "enableAt": "SERVER" });
        assert!(form(&newer).contains("SERVER"), "kept");
        assert_eq!(
            form(&json!([1])),
            "[1]",
            "what is not understood is kept, too"
        );
    }

    #[test]
    fn rules_are_checked_as_confluents_registry_does() {
        let rule = |more: Value| {
            let mut rule = json!({ "name": "a-1", "type": "CEL" });
            for (name, value) in more.as_object().unwrap() {
                rule[name] = value.clone();
            }
            rule
        };
        let domain = |rules: Value| json!({ "domainRules": rules });
        let table = [
            (domain(json!([rule(json!({}))])), None),
            (
                domain(json!([rule(json!({ "onFailure": "NONE,ERROR" }))])),
                None,
            ),
            (
                domain(json!([rule(json!({ "name": "" }))])),
                Some("no name"),
            ),
            (
                domain(json!([rule(json!({ "name": "1" }))])),
                Some("no name"),
            ),
            (domain(json!([{ "name": "a" }])), Some("no type")),
            (
                domain(json!([rule(json!({})), rule(json!({}))])),
                Some("two rules"),
            ),
            (
                domain(json!([rule(json!({ "mode": "UPGRADE" }))])),
                Some("another sort"),
            ),
            (
                json!({ "migrationRules": [rule(json!({}))] }),
                Some("another sort"),
            ),
            (
                json!({ "migrationRules": [rule(json!({ "mode": "UPDOWN" }))] }),
                None,
            ),
            (
                domain(json!([rule(
                    json!({ "mode": "READ", "onFailure": "NONE,ERROR" })
                )])),
                Some("two actions"),
            ),
        ];
        for (rules, expected) in table {
            let rules: RuleSet = serde_json::from_value(rules).unwrap();
            let refused = rules.check().err();
            match expected {
                None => assert_eq!(refused, None),
                Some(part) => assert!(refused.as_ref().unwrap().contains(part), "{refused:?}"),
            }
        }
        assert!(
            serde_json::from_value::<RuleSet>(domain(json!([rule(json!({ "mode": "SOME" }))])))
                .is_err()
        );
    }
}
