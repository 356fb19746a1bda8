//! The schema step: which subjects are declared, and what the registry has of them.

use futures::{StreamExt, TryStreamExt, stream};
use millstream_schemas::EventSchema;
use millstream_topics::{Declaration, Subjects};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Error;
use super::http::Api;

/// How many subjects are asked about at once.
const PARALLEL: usize = 8;
/// What a subject may hold that a path may not.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'/')
    .add(b'?')
    .add(b'#')
    .add(b'%')
    .add(b'"');

/// A subject and the schema that it should hold.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredSubject {
    pub subject: String,
    pub schema: &'static EventSchema,
}

/// What the registry says about a declared subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectState {
    /// This very schema is registered.
    Registered,
    /// It is not, and may be.
    Missing { first: bool },
    /// It is not, and may not be.
    Incompatible { reasons: Vec<String> },
}

/// The subjects of all topics and their result topics, each once.
pub(crate) fn declared(declarations: &[&Declaration]) -> Vec<DeclaredSubject> {
    let mut subjects: Vec<DeclaredSubject> = Vec::new();
    let mut add = |subject: String, schema: &'static EventSchema| {
        if !subjects.iter().any(|known| known.subject == subject) {
            subjects.push(DeclaredSubject { subject, schema });
        }
    };
    for declaration in declarations {
        for event in declaration.events {
            let subject = declaration
                .subjects
                .subject(declaration.name, event.full_name);
            add(subject, (event.schema)());
        }
        for results in declaration.results.iter() {
            for schema in results.schemas {
                let schema = schema();
                add(
                    Subjects::TopicRecord.subject(results.name, schema.full_name),
                    schema,
                );
            }
        }
    }
    subjects
}

/// Client of a Confluent-compatible registry, for declaring; handlers use a caching one.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    api: Api,
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
        let body = json!({ "schema": declared.schema.json });
        let found = self
            .api
            .call(Method::POST, &format!("/subjects/{subject}"), Some(&body))
            .await?;
        if found.status.is_success() {
            return Ok(SubjectState::Registered);
        }
        if found.status != StatusCode::NOT_FOUND {
            return Err(found.refused());
        }
        let versions = format!("/subjects/{subject}/versions");
        let versions = self.api.call(Method::GET, &versions, None).await?;
        if versions.status == StatusCode::NOT_FOUND {
            return Ok(SubjectState::Missing { first: true });
        }
        #[derive(Deserialize)]
        struct Verdict {
            is_compatible: bool,
            #[serde(default)]
            messages: Vec<String>,
        }
        let check = format!("/compatibility/subjects/{subject}/versions");
        let all = format!("{check}?verbose=true");
        let mut checked = self.api.call(Method::POST, &all, Some(&body)).await?;
        if checked.status == StatusCode::NOT_FOUND {
            // The subject is there, so the registry does not know this call. Karapace compares with
            // one version at a time, and the last one is what the usual levels ask for.
            let last = format!("{check}/latest?verbose=true");
            checked = self.api.call(Method::POST, &last, Some(&body)).await?;
        }
        let verdict: Verdict = checked.parse()?;
        if verdict.is_compatible {
            return Ok(SubjectState::Missing { first: false });
        }
        Ok(SubjectState::Incompatible {
            reasons: reasons(verdict.messages),
        })
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
}

/// The messages that say what is wrong. Registries add others, which repeat the whole schema.
fn reasons(messages: Vec<String>) -> Vec<String> {
    let added = ["{oldSchema", "{validateFields", "{compatibility"];
    messages
        .into_iter()
        .filter(|message| !added.iter().any(|start| message.starts_with(start)))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::Value;

    use super::*;

    /// What Karapace 6.2 answers: it has no check against all versions.
    async fn karapace(versions: Option<Value>) -> Registry {
        let not_found = |code: u16| (StatusCode::NOT_FOUND, Json(json!({ "error_code": code })));
        let versions = move || async move {
            match versions {
                Some(versions) => (StatusCode::OK, Json(versions)),
                None => not_found(40401),
            }
        };
        let verdict = json!({ "is_compatible": false, "messages": ["a field is gone"] });
        let router = Router::new()
            .route(
                "/subjects/{subject}",
                post(move || async move { not_found(40403) }),
            )
            .route("/subjects/{subject}/versions", get(versions))
            .route(
                "/compatibility/subjects/{subject}/versions/latest",
                post(|| async { Json(verdict) }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, router).into_future());
        Registry::new(&url).unwrap()
    }

    #[tokio::test]
    async fn a_registry_that_compares_with_one_version_at_a_time_will_do() {
        let subject = declared(millstream_topics::TOPICS).remove(0);
        let registry = karapace(Some(json!([1]))).await;
        let reasons = vec!["a field is gone".to_owned()];
        let expected = SubjectState::Incompatible { reasons };
        assert_eq!(registry.state(&subject).await.unwrap(), expected);
        let registry = karapace(None).await;
        let expected = SubjectState::Missing { first: true };
        assert_eq!(registry.state(&subject).await.unwrap(), expected);
    }
}
