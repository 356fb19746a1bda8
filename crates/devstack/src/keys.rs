//! The keys of a dev stack, made once for each folder.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use millstream_events::Declaration;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::DevStackError;
use millstream_pipeline::identity::{PublicKey, SigningKey};

/// The private keys of the parts that sign something, as files that their owner alone may read.
#[derive(Debug)]
pub struct Keys {
    /// Restate's, for its requests to the handlers.
    pub restate: Key,
    /// The gateway's, for the events that it sends on behalf of clients.
    pub gateway: Key,
    /// The handlers', for the events that they emit on somebody's behalf.
    pub handlers: Key,
    /// Where the secrets are that stand-ins sign their webhooks with, in the form of
    /// `--webhook-secrets`; none, if no topic takes webhooks.
    pub webhooks: Option<PathBuf>,
}

/// One of them.
#[derive(Debug)]
pub struct Key {
    /// Where the private key is.
    pub path: PathBuf,
    /// The public one.
    pub public: PublicKey,
}

impl Keys {
    /// Those in `<folder>/keys`, made if they are not there; with a secret for each of these topics
    /// that takes webhooks.
    pub fn open(folder: &Path, topics: &[&Declaration]) -> Result<Self, DevStackError> {
        let folder = folder.join("keys");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(DevStackError::file("cannot make", &folder))?;
        let key = |name: &str| {
            let path = folder.join(format!("{name}.pem"));
            let public = SigningKey::read_or_create(&path)?.public();
            Ok::<_, DevStackError>(Key { path, public })
        };
        Ok(Self {
            restate: key("restate")?,
            gateway: key("gateway")?,
            handlers: key("handlers")?,
            webhooks: webhooks(folder.join("webhooks.json"), topics)?,
        })
    }
}

/// The file of secrets with those that were missing.
fn webhooks(path: PathBuf, topics: &[&Declaration]) -> Result<Option<PathBuf>, DevStackError> {
    let is_signed = |topic: &&&Declaration| topic.http.iter().any(|it| it.signature.is_some());
    let signed: Vec<&str> = topics.iter().filter(is_signed).map(|it| it.name).collect();
    if signed.is_empty() {
        return Ok(None);
    }
    let mut secrets: Map<String, Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(std::io::Error::from)
            .map_err(DevStackError::file(
                "not a file of webhooks' secrets:",
                &path,
            ))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(DevStackError::file("cannot read", &path)(error)),
    };
    let known = secrets.len();
    for topic in signed {
        secrets
            .entry(topic)
            .or_insert_with(|| json!([new_secret()]));
    }
    if secrets.len() > known {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(Value::Object(secrets).to_string().as_bytes()))
            .map_err(DevStackError::file("cannot write", &path))?;
    }
    Ok(Some(path))
}

fn new_secret() -> String {
    format!(
        "whsec_{}{}",
        Uuid::new_v4().simple(),
        Uuid::new_v4().simple()
    )
}

#[cfg(test)]
mod tests {
    use millstream_events::Topic as _;
    use millstream_topics::{PaymentWebhooks, ProductReservations};

    use super::*;

    #[test]
    fn each_topic_that_takes_webhooks_has_a_secret_that_stays() {
        let folder = tempfile::tempdir().unwrap();
        let plain = [ProductReservations::DECLARATION];
        assert_eq!(Keys::open(folder.path(), &plain).unwrap().webhooks, None);

        let both = [
            ProductReservations::DECLARATION,
            PaymentWebhooks::DECLARATION,
        ];
        let path = Keys::open(folder.path(), &both).unwrap().webhooks.unwrap();
        let first = std::fs::read(&path).unwrap();
        let secrets: Map<String, Value> = serde_json::from_slice(&first).unwrap();
        assert_eq!(secrets.keys().collect::<Vec<_>>(), ["payment-webhooks"]);
        Keys::open(folder.path(), &both).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);

        // A topic that came later.
        std::fs::write(&path, r#"{"other": ["whsec_1"]}"#).unwrap();
        Keys::open(folder.path(), &both).unwrap();
        let now: Map<String, Value> =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(now["other"], json!(["whsec_1"]));
        assert!(now.contains_key("payment-webhooks"));
    }
}
