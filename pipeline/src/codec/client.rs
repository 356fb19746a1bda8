//! The questions we ask a schema registry, through `schema_registry_converter` and for references
//! by ourselves ([`references`]).

mod references;

use std::error::Error;
use std::time::Duration;

use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, perform_sr_call,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{
    RawError, RegisteredSchema, SchemaType, SrCall,
};

use super::{DecodeError, RegistryError, SchemaText, looked_up};
use crate::failure::{self, Failure};
use crate::http::{self, Login};
use references::Versions;

/// Confluent's code for a schema that the registry does not have.
const SCHEMA_NOT_FOUND: u32 = 40403;
/// Confluent's codes for a subject, a version and a schema that the registry does not have.
const NOT_FOUND: [u32; 3] = [40401, 40402, SCHEMA_NOT_FOUND];

/// A registry answers within this time.
const LIMIT: Duration = Duration::from_secs(5);

/// The replicas in a comma-separated list, and the login for all of them: replicas of one registry
/// know the same users.
fn replicas(url: &str) -> (Vec<String>, Option<Login>) {
    let urls = url.split(',').map(|url| http::split_login(url.trim()));
    let (urls, logins): (Vec<_>, Vec<_>) = urls.unzip();
    let urls = urls.iter().map(|url| url.trim_end_matches('/').to_owned());
    (urls.collect(), logins.into_iter().flatten().next())
}

/// Settings for the registry at `url`, a comma-separated list of replicas.
pub fn settings(url: &str) -> Result<SrSettings, RegistryError> {
    let (urls, login) = replicas(url);
    let mut urls = urls.into_iter();
    let mut builder = SrSettings::new_builder(urls.next().unwrap_or_default());
    for replica in urls {
        builder.add_url(replica);
    }
    if let Some(login) = login {
        builder.set_basic_authorization(&login.name, login.secret.as_deref());
    }
    builder.set_timeout(LIMIT);
    builder
        .build_with(http::builder())
        .map_err(|error| registry_error(url, &error))
}

/// A registry to be asked.
#[derive(Clone)]
pub struct Registry {
    url: String,
    settings: SrSettings,
    versions: Versions,
}

impl Registry {
    /// The registry at `url`, as in [`settings`].
    pub fn new(url: &str) -> Result<Self, RegistryError> {
        Ok(Self {
            url: url.to_owned(),
            settings: settings(url)?,
            versions: Versions::new(url)?,
        })
    }

    /// The text of the schema with this id, and those of the schemas that it refers to; or why it can
    /// never be used.
    pub async fn schema_by_id(self, id: u32) -> Result<Result<SchemaText, Failure>, DecodeError> {
        let found = match self.known_schema(id).await {
            Ok(found) => self.usable(id, found).await,
            Err(error) => Err(error),
        };
        looked_up(match found {
            Err(DecodeError::Registry(_)) => "failed",
            _ => "asked",
        });
        found
    }

    async fn usable(
        &self,
        id: u32,
        found: RegisteredSchema,
    ) -> Result<Result<SchemaText, Failure>, DecodeError> {
        if found.schema_type != SchemaType::Avro {
            let kind = found.schema_type;
            let message = format!("schema {id} is of type {kind:?}; send the event in Avro");
            return Ok(Err(Failure::new(failure::UNDECODABLE, message)));
        }
        self.versions.with_references(id, found).await
    }

    /// "No such id" is believed only when the registry says it twice in a row: one that has just
    /// started or fallen back to a replica may not know yet what it has. An id beyond Java's `int`
    /// is never asked for: registries do not count that far, and answer such a question with an
    /// error that says nothing about schemas.
    async fn known_schema(&self, id: u32) -> Result<RegisteredSchema, DecodeError> {
        if i32::try_from(id).is_err() {
            return Err(DecodeError::UnknownSchema(id));
        }
        let mut denied = false;
        loop {
            match get_schema_by_id(id, &self.settings).await {
                Ok(found) => return Ok(found),
                Err(error) if says_not_found(&error) && denied => {
                    return Err(DecodeError::UnknownSchema(id));
                }
                Err(error) if says_not_found(&error) => denied = true,
                Err(error) => return Err(registry_error(&self.url, &error).into()),
            }
        }
    }

    /// The id of one of our schemas, which `millstream apply` has registered under any of these
    /// subjects: not all of the topics need be there.
    pub async fn id_of_schema(
        self,
        subjects: Vec<String>,
        schema: &str,
    ) -> Result<u32, RegistryError> {
        let body = serde_json::json!({ "schema": schema }).to_string();
        let mut why = None;
        for subject in subjects {
            let call = SrCall::PostForVersion(&subject, &body);
            let found = perform_sr_call(&self.settings, call).await;
            looked_up(if found.is_ok() { "asked" } else { "failed" });
            let error = match found.map(|found| found.id) {
                Ok(Some(id)) => return Ok(id),
                Ok(None) => format!("the answer for subject {subject} has no id"),
                Err(error) if is_not_found(&error) => {
                    let (reason, program) = (reason(&error), crate::program::name());
                    format!("subject {subject} lacks our schema ({reason}); run `{program} apply`")
                }
                // One that may not be asked says nothing of the others.
                Err(error) => reason(&error),
            };
            why.get_or_insert(error);
        }
        let why = why.unwrap_or_else(|| "no topic declares this event".to_owned());
        Err(RegistryError::new(&self.url, why))
    }
}

/// Whether the registry has no such subject, or no such schema there.
fn is_not_found(error: &SRCError) -> bool {
    error_code(error).is_some_and(|code| NOT_FOUND.contains(&code))
}

fn says_not_found(error: &SRCError) -> bool {
    error_code(error) == Some(SCHEMA_NOT_FOUND)
}

/// The code that the registry answered with.
fn error_code(error: &SRCError) -> Option<u32> {
    let source = error.source()?.downcast_ref::<RawError>()?;
    Some(source.error_code)
}

fn reason(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}

/// An answer, or the lack of one, that says nothing about the schema asked for.
pub fn registry_error(url: &str, error: &SRCError) -> RegistryError {
    RegistryError::new(url, reason(error))
}
