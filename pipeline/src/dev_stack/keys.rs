//! The keys of a dev stack, made once for each folder.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use millstream_topics::{PaymentWebhooks, Topic as _};
use serde_json::json;
use uuid::Uuid;

use super::error::DevStackError;
use crate::identity::{PublicKey, SigningKey};

/// The private keys of the parts that sign something, as files that their owner alone may read.
#[derive(Debug)]
pub struct Keys {
    /// Restate's, for its requests to the handlers.
    pub restate: Key,
    /// The gateway's, for the events that it sends on behalf of clients.
    pub gateway: Key,
    /// The handlers', for the events that they emit on somebody's behalf.
    pub handlers: Key,
    /// Where the secret is that the stand-in for the payment provider signs its webhooks with, in
    /// the form of `--webhook-secrets`.
    pub webhooks: PathBuf,
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
    /// Those in `<folder>/keys`, made if they are not there.
    pub fn open(folder: &Path) -> Result<Self, DevStackError> {
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
            webhooks: webhooks(folder.join("webhooks.json"))?,
        })
    }
}

fn webhooks(path: PathBuf) -> Result<PathBuf, DevStackError> {
    if path.exists() {
        return Ok(path);
    }
    let secret = format!(
        "whsec_{}{}",
        Uuid::new_v4().simple(),
        Uuid::new_v4().simple()
    );
    let secrets = json!({ (PaymentWebhooks::DECLARATION.name): [secret] });
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(secrets.to_string().as_bytes()))
        .map_err(DevStackError::file("cannot write", &path))?;
    Ok(path)
}
