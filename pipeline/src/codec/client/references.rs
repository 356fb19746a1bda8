//! The schemas that a schema refers to, at first and second hand.
//!
//! `schema_registry_converter` would ask for them, too, but does not find those that were deleted
//! softly, as whose users may be, and puts a subject's name into the URL as it is.

use std::collections::HashSet;

use reqwest::{Client, StatusCode};
use schema_registry_converter::schema_registry_common::{
    RawError, RawRegisteredSchema, RegisteredReference, RegisteredSchema,
};
use serde::de::DeserializeOwned;

use super::{LIMIT, NOT_FOUND, replicas};
use crate::codec::{DecodeError, RegistryError, SchemaText};
use crate::failure::{self, Failure};
use crate::http::{self, Login};
use millstream_avro::limits::{MAX_REFERENCES, MAX_SCHEMA_BYTES};

/// An answer is not longer: a schema's text with all its quotes escaped, and what stands around it.
const MAX_ANSWER: usize = 2 * MAX_SCHEMA_BYTES + 64 * 1024;

/// Asks for versions of subjects.
#[derive(Clone)]
pub(super) struct Versions {
    replicas: Vec<String>,
    login: Option<Login>,
    client: Client,
}

impl Versions {
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        let (replicas, login) = replicas(url);
        let client = http::builder().timeout(LIMIT).build();
        let client = client.map_err(|error| RegistryError::new(url, http::reason(&error)))?;
        Ok(Self {
            replicas,
            login,
            client,
        })
    }

    /// A schema's text with those of all that it refers to: each name once, what a schema names first
    /// before what it names later, as Confluent's clients do. So references that lead in a circle end.
    /// A failure within is for good.
    pub async fn with_references(
        &self,
        id: u32,
        schema: RegisteredSchema,
    ) -> Result<Result<SchemaText, Failure>, DecodeError> {
        let mut text = SchemaText {
            text: schema.schema,
            references: Vec::new(),
        };
        let mut names = HashSet::new();
        let mut next = schema.references;
        next.reverse();
        while let Some(reference) = next.pop() {
            if !names.insert(reference.name.clone()) {
                continue;
            }
            if names.len() > MAX_REFERENCES {
                let more = format!("it refers to more than {MAX_REFERENCES} schemas");
                return Ok(Err(unusable(id, failure::UNDECODABLE, &more)));
            }
            let found = match self.reference(id, &reference).await? {
                Ok(found) => found,
                Err(failure) => return Ok(Err(failure)),
            };
            text.references.extend(found.schema);
            if text.size() > MAX_SCHEMA_BYTES {
                let long = format!(
                    "with those that it refers to it has more than {MAX_SCHEMA_BYTES} bytes"
                );
                return Ok(Err(unusable(id, failure::UNDECODABLE, &long)));
            }
            next.extend(found.references.into_iter().flatten().rev());
        }
        Ok(Ok(text))
    }

    /// "There is none" is believed when it is said twice, as with ids.
    async fn reference(
        &self,
        id: u32,
        reference: &RegisteredReference,
    ) -> Result<Result<RawRegisteredSchema, Failure>, DecodeError> {
        let RegisteredReference {
            name,
            subject,
            version,
            ..
        } = reference;
        if let Err(failure) = http::check_segment(subject) {
            return Ok(Err(unusable(id, failure::UNDECODABLE, &failure.message)));
        }
        let mut found = self.version(subject, *version).await?;
        if found.is_none() {
            found = self.version(subject, *version).await?;
        }
        let Some(found) = found else {
            let missing = format!(
                "the registry has no version {version} of subject {subject}, where it finds {name}"
            );
            // It may come: a registry that was restored has not read its log to the end.
            return Err(unusable(id, failure::UNKNOWN_SCHEMA, &missing).into());
        };
        Ok(match found.schema_type.as_deref() {
            None | Some("AVRO") => Ok(found),
            Some(kind) => {
                let other = format!("version {version} of subject {subject} is of type {kind}");
                Err(unusable(id, failure::UNDECODABLE, &other))
            }
        })
    }

    /// A version of a subject, also a deleted one; `None`: the registry says that there is none.
    async fn version(
        &self,
        subject: &str,
        version: u32,
    ) -> Result<Option<RawRegisteredSchema>, RegistryError> {
        let mut failed = None;
        for replica in &self.replicas {
            match self.ask(replica, subject, version).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(reason) => failed = Some(RegistryError::new(replica, reason)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn ask(
        &self,
        replica: &str,
        subject: &str,
        version: u32,
    ) -> Result<Option<RawRegisteredSchema>, String> {
        let version = version.to_string();
        let segments = ["subjects", subject, "versions", &version];
        let mut url = http::address(replica, segments).map_err(|error| error.to_string())?;
        url.set_query(Some("deleted=true"));
        let mut request = self.client.get(url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.name, login.secret.as_ref());
        }
        let reason = |error| http::reason(&error);
        let mut response = request.send().await.map_err(reason)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(reason)? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER {
                return Err(format!("its answer has more than {MAX_ANSWER} bytes"));
            }
        }
        if status.is_success() {
            return json(&body).map(Some);
        }
        match (status, json::<RawError>(&body)) {
            (StatusCode::NOT_FOUND, Ok(error)) if NOT_FOUND.contains(&error.error_code) => Ok(None),
            (_, Ok(error)) => Err(format!("status {status}: {}", error.message)),
            (_, Err(_)) => Err(format!("status {status}")),
        }
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("its answer is not understood: {error}"))
}

fn unusable(id: u32, code: &'static str, reason: &str) -> Failure {
    Failure::new(code, format!("schema {id} cannot be used: {reason}"))
}

#[cfg(test)]
mod tests;
