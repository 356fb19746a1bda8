//! Client of a Confluent-compatible registry, for declaring; handlers use a caching one.

use std::collections::HashSet;

use futures::{StreamExt, TryStreamExt, stream};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Error;
use super::http::Api;
use super::schemas::{DeclaredSubject, LEVEL, Misfit, SubjectState, Version};
use millstream_avro::Tree;

/// How many subjects are asked about at once.
const PARALLEL: usize = 8;
/// References of a version that are followed.
const MAX_REFERENCES: usize = 100;
/// What a subject may hold that a path may not.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'/')
    .add(b'?')
    .add(b'#')
    .add(b'%')
    .add(b'"');

#[derive(Debug, Clone)]
pub(crate) struct Registry {
    api: Api,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    version: i64,
}

/// A version as the registry tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    schema: String,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Deserialize, Clone, PartialEq, Eq, Hash)]
struct Reference {
    subject: String,
    version: i64,
}

impl Registry {
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self {
            api: Api::new("The schema registry", url)?,
        })
    }

    /// How many subjects it holds: a call that shows that it answers.
    pub async fn subject_count(&self) -> Result<usize, Error> {
        Ok(self.api.get::<Vec<String>>("/subjects").await?.len())
    }

    /// The state of every subject, in the same order.
    pub async fn states(&self, subjects: &[DeclaredSubject]) -> Result<Vec<SubjectState>, Error> {
        stream::iter(subjects)
            .map(|subject| self.state(subject))
            .buffered(PARALLEL)
            .try_collect()
            .await
    }

    async fn state(&self, declared: &DeclaredSubject) -> Result<SubjectState, Error> {
        let subject = utf8_percent_encode(&declared.subject, PATH);
        let path = format!("/subjects/{subject}");
        let body = json!({ "schema": declared.schema.json });
        let found = self.api.call(Method::POST, &path, Some(&body)).await?;
        let ours = match found.status {
            StatusCode::NOT_FOUND => None,
            _ => Some(found.parse::<Found>()?.version),
        };
        let versions = self.ask::<Vec<i64>>(&format!("{path}/versions")).await?;
        let versions = versions.unwrap_or_default();
        let mut misfits = Vec::new();
        for version in versions.iter().filter(|version| Some(**version) != ours) {
            if let Some(found) = self.version(&declared.subject, *version).await? {
                misfits.extend(Misfit::of(declared, &found));
            }
        }
        Ok(SubjectState {
            registered: ours.is_some(),
            first: versions.is_empty(),
            level: self.level(&declared.subject).await?,
            misfits,
        })
    }

    /// A version with the types of its references; `None` if it is gone by now.
    async fn version(&self, subject: &str, version: i64) -> Result<Option<Version>, Error> {
        let Some(told) = self.told(subject, version).await? else {
            return Ok(None);
        };
        let tree = match &told.schema_type {
            Some(other) if other != "AVRO" => Err(format!("it is {other}")),
            _ => Tree::parse(&told.schema),
        };
        let Ok(mut tree) = tree else {
            return Ok(Some(Version { version, tree }));
        };
        let mut open = told.references.unwrap_or_default();
        let mut seen = HashSet::new();
        while let Some(reference) = open.pop() {
            if seen.len() == MAX_REFERENCES || !seen.insert(reference.clone()) {
                continue;
            }
            if let Some(told) = self.told(&reference.subject, reference.version).await? {
                if let Ok(types) = Tree::parse(&told.schema) {
                    tree.import(&types);
                }
                open.extend(told.references.unwrap_or_default());
            }
        }
        let tree = Ok(tree);
        Ok(Some(Version { version, tree }))
    }

    async fn told(&self, subject: &str, version: i64) -> Result<Option<Told>, Error> {
        let subject = utf8_percent_encode(subject, PATH);
        self.ask(&format!("/subjects/{subject}/versions/{version}"))
            .await
    }

    /// The level that counts for a subject; an error says why the registry does not tell.
    async fn level(&self, subject: &str) -> Result<Result<String, String>, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Level {
            compatibility_level: String,
        }
        let subject = utf8_percent_encode(subject, PATH);
        let own = format!("/config/{subject}?defaultToGlobal=true");
        // Karapace knows no level of a subject without versions.
        for path in [own.as_str(), "/config"] {
            let answer = self.api.call(Method::GET, path, None).await?;
            match answer.status {
                StatusCode::NOT_FOUND => {}
                status if status.is_success() => {
                    return Ok(Ok(answer.parse::<Level>()?.compatibility_level));
                }
                // Whoever may not look at levels can use the registry all the same.
                status if status.is_client_error() => {
                    return Ok(Err(answer.refused().to_string()));
                }
                _ => return Err(answer.refused()),
            }
        }
        Ok(Err(
            "The schema registry knows no compatibility levels".into()
        ))
    }

    /// GET `path`; `None` if there is no such thing.
    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        let answer = self.api.call(Method::GET, path, None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => answer.parse().map(Some),
        }
    }

    /// Registers a schema; answers its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<i64, Error> {
        #[derive(Deserialize)]
        struct Registered {
            id: i64,
        }
        let subject = utf8_percent_encode(subject, PATH);
        let path = format!("/subjects/{subject}/versions");
        let answer = self
            .api
            .call(Method::POST, &path, Some(&json!({ "schema": schema })))
            .await?;
        Ok(answer.parse::<Registered>()?.id)
    }

    /// Holds a subject to [`LEVEL`].
    pub async fn set_level(&self, subject: &str) -> Result<(), Error> {
        let subject = utf8_percent_encode(subject, PATH);
        let body = json!({ "compatibility": LEVEL });
        let path = format!("/config/{subject}");
        let answer = self.api.call(Method::PUT, &path, Some(&body)).await?;
        answer.success().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Path;
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::Value;

    use super::super::schemas::declared;
    use super::*;

    type Reply = (StatusCode, Json<Value>);

    fn not_found(code: u16) -> Reply {
        (StatusCode::NOT_FOUND, Json(json!({ "error_code": code })))
    }

    /// A registry with these versions of every subject, none of them ours. It knows as little as
    /// Karapace 6.2: no check against all versions, no level of a subject without versions.
    async fn karapace(versions: Vec<Value>) -> Registry {
        let count = versions.len();
        let list = move || async move {
            match count {
                0 => not_found(40401),
                _ => (StatusCode::OK, Json(json!((1..=count).collect::<Vec<_>>()))),
            }
        };
        let version = move |Path((subject, version)): Path<(String, usize)>| {
            let found = versions.get(version - 1).cloned();
            async move {
                match (subject.as_str(), found) {
                    ("shared", _) => {
                        let text = r#"{"type":"enum","name":"n.Shared","symbols":["A"]}"#;
                        (StatusCode::OK, Json(json!({ "schema": text })))
                    }
                    (_, Some(found)) => (StatusCode::OK, Json(found)),
                    _ => not_found(40402),
                }
            }
        };
        let level = move || async move {
            match count {
                0 => not_found(40401),
                _ => (
                    StatusCode::OK,
                    Json(json!({ "compatibilityLevel": "FULL" })),
                ),
            }
        };
        let global = || async { Json(json!({ "compatibilityLevel": "BACKWARD" })) };
        let router = Router::new()
            .route("/subjects/{subject}", post(|| async { not_found(40403) }))
            .route("/subjects/{subject}/versions", get(list))
            .route("/subjects/{subject}/versions/{version}", get(version))
            .route("/config", get(global))
            .route("/config/{subject}", get(level));
        serve(router).await
    }

    async fn serve(router: Router) -> Registry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        Registry::new(&url).unwrap()
    }

    #[tokio::test]
    async fn every_version_is_compared_whatever_the_registry_can() {
        let subject = declared(millstream_topics::TOPICS).remove(0);
        let state = karapace(Vec::new()).await.state(&subject).await.unwrap();
        let expected = SubjectState {
            registered: false,
            first: true,
            level: Ok("BACKWARD".into()),
            misfits: Vec::new(),
        };
        assert_eq!(state, expected);
        assert!(state.is_open());

        let mut newer: Value = serde_json::from_str(subject.schema.json).unwrap();
        let shared = json!({ "name": "s", "type": "n.Shared", "default": "A" });
        newer["fields"].as_array_mut().unwrap().push(shared);
        let versions = vec![
            json!({ "schema": "\"string\"" }),
            json!({
                "schema": newer.to_string(),
                "references": [{ "name": "n.Shared", "subject": "shared", "version": 1 }],
            }),
            json!({ "schema": "syntax", "schemaType": "PROTOBUF" }),
        ];
        let state = karapace(versions).await.state(&subject).await.unwrap();
        assert_eq!((state.first, state.level.as_deref()), (false, Ok("FULL")));
        let misfits: Vec<i64> = state.misfits.iter().map(|it| it.version).collect();
        assert_eq!(misfits, [1, 3], "the second has all that it refers to");
    }

    #[tokio::test]
    async fn a_registry_that_does_not_tell_levels_will_do() {
        let subject = declared(millstream_topics::TOPICS).remove(0);
        let forbidden = || async { (StatusCode::FORBIDDEN, Json(json!({ "message": "no" }))) };
        let router = Router::new()
            .route(
                "/subjects/{subject}",
                post(|| async { Json(json!({ "version": 1, "id": 1 })) }),
            )
            .route("/subjects/{subject}/versions", get(|| async { Json([1]) }))
            .route("/config/{subject}", get(forbidden));
        let state = serve(router).await.state(&subject).await.unwrap();
        assert!(state.registered && !state.is_open());
        let why = state.level.unwrap_err();
        assert!(why.contains("403"), "{why}");
    }
}
