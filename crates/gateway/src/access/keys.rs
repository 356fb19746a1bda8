//! API keys: `ms_<id>_<secret>`, of which a file holds the digests.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Limit, Refusal, Scope};
use crate::principal;
use millstream_pipeline::record::digest::hex;

/// What all keys begin with, so that scanners for leaked secrets find them.
pub const PREFIX: &str = "ms_";
/// Keys of one principal that are neither expired nor revoked: the old one and the new one.
const MAX_LIVE: usize = 2;

/// A key as its file holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its id, the middle part of its text: no secret.
    pub id: String,
    /// Who has it.
    pub principal: String,
    /// SHA-256 of its whole text, in hexadecimal.
    pub digest: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Requests a second, instead of the gateway's own limit; 0: as many as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Requests at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

impl ApiKey {
    /// Whether it may be used at this time.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.refusal(now).is_none()
    }

    /// Why it may not be used at this time, if it may not.
    pub fn refusal(&self, now: Timestamp) -> Option<Refusal> {
        if self.revoked_at.is_some() {
            return Some(Refusal::RevokedKey);
        }
        self.expires_at
            .is_some_and(|end| now >= end)
            .then_some(Refusal::ExpiredKey)
    }

    /// Its limit.
    pub fn limit(&self, default: Limit) -> Limit {
        Limit {
            rate: self.rate.unwrap_or(default.rate),
            burst: self.burst.unwrap_or(default.burst),
        }
    }
}

/// What is wrong with keys or their file.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the file of keys {}: {source}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not what `millstream keys` writes.
    #[error("the file of keys {} cannot be used: {reason}; correct it", .path.display())]
    Content {
        /// Its path.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Somebody else is writing the file.
    #[error(
        "{} is there: another `{program} keys` is writing; if none runs, one was killed: remove it",
        .0.display(), program = millstream_pipeline::program::name()
    )]
    Busy(PathBuf),
    /// The principal has two keys that can be used.
    #[error("{0} has two live keys already; revoke one first (`{program} keys list`)", program = millstream_pipeline::program::name())]
    TooMany(String),
    /// No such key.
    #[error("there is no key with the id {0} that could be revoked (`{program} keys list`)", program = millstream_pipeline::program::name())]
    NoKey(String),
    /// A principal's name that cannot be used.
    #[error("{0:?} cannot be a principal: {rule}", rule = principal::RULE)]
    Principal(String),
    /// There is no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// The content of a file of keys.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// All keys, those that have ended among them.
    pub keys: Vec<ApiKey>,
}

/// What a new key is to be.
#[derive(Debug)]
pub struct NewKey {
    /// Who is to have it.
    pub principal: String,
    /// What it is to allow.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// See [`ApiKey::rate`].
    pub rate: Option<u32>,
    /// See [`ApiKey::burst`].
    pub burst: Option<u32>,
}

impl KeyFile {
    /// Reads a file; one that is not there has no keys.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        match fs::read(path) {
            Ok(bytes) => parse(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(file_error(path, source)),
        }
    }

    /// Changes a file in one step, readable to its owner alone; two changes do not mix.
    pub fn change<T>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, KeyError>,
    ) -> Result<T, KeyError> {
        let new = path.with_added_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut written = options.open(&new).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Busy(new.clone()),
            _ => file_error(&new, error),
        })?;
        let changed = Self::read(path).and_then(|mut file| {
            let out = change(&mut file)?;
            let text = serde_json::to_vec_pretty(&file).map_err(io::Error::from);
            let text = text.and_then(|mut text| {
                text.push(b'\n');
                written.write_all(&text)?;
                written.sync_all()?;
                fs::rename(&new, path)
            });
            text.map_err(|source| file_error(path, source))?;
            Ok(out)
        });
        if changed.is_err() {
            let _ = fs::remove_file(&new);
        }
        changed
    }

    /// Adds a key; its text, which is nowhere else.
    pub fn create(&mut self, new: NewKey, now: Timestamp) -> Result<String, KeyError> {
        if !principal::is_allowed(&new.principal) {
            return Err(KeyError::Principal(new.principal));
        }
        let same = |key: &&ApiKey| key.principal == new.principal && key.is_live(now);
        if self.keys.iter().filter(same).count() >= MAX_LIVE {
            return Err(KeyError::TooMany(new.principal));
        }
        let mut random = [0; 40];
        getrandom::fill(&mut random).map_err(KeyError::Random)?;
        let (mut id, mut secret) = ([0; 32], [0; 32]);
        id[..8].copy_from_slice(&random[..8]);
        secret.copy_from_slice(&random[8..]);
        let id = hex::<8>(&id);
        let text = format!("{PREFIX}{id}_{}", hex::<32>(&secret));
        self.keys.push(ApiKey {
            id,
            principal: new.principal,
            digest: hex::<32>(&Sha256::digest(&text).into()),
            scopes: new.scopes,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            rate: new.rate,
            burst: new.burst,
        });
        Ok(text)
    }

    /// Ends a key.
    pub fn revoke(&mut self, id: &str, now: Timestamp) -> Result<(), KeyError> {
        let mut keys = self.keys.iter_mut();
        let key = keys
            .find(|key| key.id == id && key.revoked_at.is_none())
            .ok_or_else(|| KeyError::NoKey(id.to_owned()))?;
        key.revoked_at = Some(now);
        Ok(())
    }
}

fn file_error(path: &Path, source: io::Error) -> KeyError {
    KeyError::File {
        path: path.to_owned(),
        source,
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<KeyFile, KeyError> {
    serde_json::from_slice(bytes).map_err(|error| KeyError::Content {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Keys by their ids.
#[derive(Debug, Default)]
pub struct Keys(HashMap<String, Known>);

/// A key, ready to be compared.
#[derive(Debug)]
pub struct Known {
    digest: [u8; 32],
    /// Its scopes, to be shared by those who use it.
    pub scopes: Arc<[Scope]>,
    /// The rest.
    pub key: ApiKey,
}

/// The keys of a file that was read; it must be there.
pub fn load(path: &Path, bytes: io::Result<&[u8]>) -> Result<Keys, KeyError> {
    let bytes = bytes.map_err(|source| file_error(path, source))?;
    let mut keys = HashMap::new();
    for key in parse(path, bytes)?.keys {
        let content = |reason: &str| KeyError::Content {
            path: path.to_owned(),
            reason: format!("key {}: {reason}", key.id),
        };
        let digest = unhex(&key.digest).ok_or_else(|| content("`digest` is no SHA-256 in hex"))?;
        if !principal::is_allowed(&key.principal) {
            return Err(content(&format!("`principal`: {}", principal::RULE)));
        }
        if keys.contains_key(&key.id) {
            return Err(content("the id is there twice"));
        }
        let scopes = key.scopes.as_slice().into();
        let id = key.id.clone();
        keys.insert(
            id,
            Known {
                digest,
                scopes,
                key,
            },
        );
    }
    Ok(Keys(keys))
}

impl Keys {
    /// The key with this id.
    pub fn known(&self, id: &str) -> Option<&Known> {
        self.0.get(id)
    }

    /// The key with this text. An unknown one costs the same work as a known one.
    pub fn verify(&self, text: &str, now: Timestamp) -> Result<&Known, Refusal> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let id = text.strip_prefix(PREFIX).and_then(|it| it.split_once('_'));
        let known = id.and_then(|(id, _)| self.0.get(id));
        let expected = known.map_or([0; 32], |known| known.digest);
        let is_equal = bool::from(digest.ct_eq(&expected));
        match known {
            Some(known) if is_equal => match known.key.refusal(now) {
                Some(refusal) => Err(refusal),
                None => Ok(known),
            },
            _ => Err(Refusal::UnknownKey),
        }
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn new(principal: &str) -> NewKey {
        NewKey {
            principal: principal.into(),
            scopes: vec!["*:*".parse().unwrap()],
            expires_at: None,
            rate: None,
            burst: None,
        }
    }

    fn keys(file: &KeyFile) -> Keys {
        let text = serde_json::to_vec(file).unwrap();
        load(Path::new("keys.json"), Ok(&text)).unwrap()
    }

    #[test]
    fn a_key_is_known_by_its_whole_text_while_it_lives() {
        let mut file = KeyFile::default();
        let text = file.create(new("alice"), NOW).unwrap();
        let other = file.create(new("alice"), NOW).unwrap();
        assert!(text.len() == 3 + 16 + 1 + 64 && text != other, "{text}");
        let stored = serde_json::to_string(&file).unwrap();
        let secret = text.rsplit('_').next().unwrap();
        assert!(!stored.contains(secret), "the secret is not stored");
        let known = keys(&file);
        assert_eq!(known.verify(&text, NOW).unwrap().key.principal, "alice");
        let swapped = format!("{}_{secret}", other.rsplit_once('_').unwrap().0);
        for wrong in ["", "ms_", "ms__", &text[..text.len() - 1], &swapped] {
            let refused = known.verify(wrong, NOW).unwrap_err();
            assert_eq!(refused, Refusal::UnknownKey, "{wrong}");
        }
        let id = file.keys[0].id.clone();
        file.revoke(&id, NOW).unwrap();
        assert!(file.revoke(&id, NOW).is_err());
        file.keys[1].expires_at = Some(NOW);
        let known = keys(&file);
        assert_eq!(known.verify(&text, NOW).unwrap_err(), Refusal::RevokedKey);
        assert_eq!(known.verify(&other, NOW).unwrap_err(), Refusal::ExpiredKey);
    }

    #[test]
    fn a_principal_has_two_live_keys_at_most() {
        let mut file = KeyFile::default();
        file.create(new("alice"), NOW).unwrap();
        file.create(new("alice"), NOW).unwrap();
        let refused = file.create(new("alice"), NOW).unwrap_err();
        assert!(matches!(refused, KeyError::TooMany(_)), "{refused}");
        file.create(new("bob"), NOW).unwrap();
        let first = file.keys[0].id.clone();
        file.revoke(&first, NOW).unwrap();
        file.create(new("alice"), NOW).unwrap();
        for bad in ["", "webhook:stripe", "a\nb"] {
            assert!(file.create(new(bad), NOW).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_change_in_one_step_and_bad_ones_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let create = |file: &mut KeyFile| file.create(new("alice"), NOW);
        KeyFile::change(&path, create).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let lock = path.with_added_extension("new");
        fs::write(&lock, "").unwrap();
        let busy = KeyFile::change(&path, create).unwrap_err();
        assert!(matches!(busy, KeyError::Busy(_)), "{busy}");
        fs::remove_file(&lock).unwrap();
        KeyFile::change(&path, create).unwrap();
        assert!(KeyFile::change(&path, create).is_err(), "a third live key");
        assert!(!lock.exists());
        assert_eq!(KeyFile::read(&path).unwrap().keys.len(), 2);
        for bad in ["", "{}", "[]", r#"{"keys":[{"id":"a"}]}"#] {
            assert!(load(&path, Ok(bad.as_bytes())).is_err(), "{bad}");
        }
    }
}
