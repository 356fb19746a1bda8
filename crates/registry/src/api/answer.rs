//! How requests are read and answers written.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::media::CONTENT_TYPE;
use crate::error::Refusal;
use crate::record::SchemaValue;

/// A successful answer.
pub struct Answer(String);

/// What a route returns.
pub type Result = std::result::Result<Answer, Refusal>;

/// An answer with this JSON.
pub fn answer(value: impl Serialize) -> Answer {
    Answer(serde_json::to_string(&value).unwrap_or_default())
}

/// An answer with text that is JSON already: a schema as it is.
pub fn verbatim(text: &str) -> Answer {
    Answer(text.to_owned())
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Who waits for the start asks often; that is no trouble.
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::warn!(code = self.code(), "{self}");
        }
        let body = json!({ "error_code": self.code(), "message": self.to_string() });
        (
            status,
            [(header::CONTENT_TYPE, CONTENT_TYPE)],
            body.to_string(),
        )
            .into_response()
    }
}

/// What a body says.
pub fn body<T: DeserializeOwned>(bytes: &Bytes) -> std::result::Result<T, Refusal> {
    // serde would take an array for the fields of an object.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::Body("expected an object".into()));
    }
    serde_json::from_slice(bytes).map_err(|error| Refusal::Body(error.to_string()))
}

/// The parameters of a query. Unknown ones are ignored, as other registries do.
#[derive(Debug, Default)]
pub struct Query(HashMap<String, String>);

/// What the query of a request is read by.
pub type QueryMap = axum::extract::Query<HashMap<String, String>>;

impl From<QueryMap> for Query {
    fn from(map: QueryMap) -> Self {
        Query(map.0)
    }
}

impl Query {
    /// Whether a flag is set; Python's clients write `True`.
    pub fn flag(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number, if the parameter is one.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.text(name)?.parse().ok()
    }

    /// A part of `items` by the parameters `offset` and `limit`; a limit below 0 is none.
    pub fn page<T>(&self, items: impl Iterator<Item = T>) -> Vec<T> {
        let limit = self.number("limit").unwrap_or(usize::MAX);
        items
            .skip(self.number("offset").unwrap_or(0))
            .take(limit)
            .collect()
    }
}

/// A version as the API shows it.
pub fn version_json(value: &SchemaValue) -> Value {
    let mut json = json!({ "subject": value.subject, "version": value.version, "id": value.id });
    extend(&mut json, value);
    json
}

/// Adds the schema to an answer: its text, and its type, references, metadata and rules where they
/// are not the usual ones.
pub fn extend(json: &mut Value, value: &SchemaValue) {
    if let Some(kind) = value.schema_type.as_ref().filter(|_| !value.is_avro()) {
        json["schemaType"] = json!(kind);
    }
    if !value.references.is_empty() {
        json["references"] = json!(value.references);
    }
    if let Some(metadata) = &value.metadata {
        json["metadata"] = metadata.clone();
    }
    if let Some(rules) = &value.rule_set {
        json["ruleSet"] = rules.clone();
    }
    json["schema"] = json!(value.schema);
}

/// A subject without the name of the default context, in which all subjects are.
pub fn plain(subject: &str) -> &str {
    subject
        .strip_prefix(":.:")
        .or_else(|| subject.strip_prefix(":*:"))
        .unwrap_or(subject)
}
