//! Ed25519 keys: private ones in files (PKCS8, PEM), public ones as text.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, str};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signer as _, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::record::digest::hex;

/// What the text of a public key begins with: Restate's form of it.
const PREFIX: &str = "publickeyv1_";
const LENGTH: usize = 32;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or made.
    #[error("cannot {what} the key file {}: {source}", path.display())]
    File {
        /// Read or make.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} is not an Ed25519 key in PKCS8 PEM; `{program} identity --create FILE` makes one",
        path.display(), program = crate::program::name()
    )]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
    /// The text is not a public key.
    #[error("{text:?} is not a public key such as `{program} identity FILE` prints: {reason}", program = crate::program::name())]
    NotPublic {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No key was given where requests are to be signed.
    #[error(
        "anybody who reaches the handlers could call them, for no key is named that Restate signs its \
         requests with; name its public key, which `{program} identity FILE` prints, or say in so many \
         words that any request is taken",
        program = crate::program::name()
    )]
    NoneNamed,
    /// The system has no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// A private key. `Debug` shows the public one.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new one, kept nowhere.
    pub fn generate() -> Result<Self, KeyError> {
        let mut secret = [0; LENGTH];
        getrandom::fill(&mut secret).map_err(KeyError::Random)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&secret)))
    }

    /// The one in this file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = std::fs::read_to_string(path).map_err(in_file("read", path))?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).ok();
        let path = path.to_owned();
        key.map(Self).ok_or(KeyError::NotPrivate { path })
    }

    /// A new one in this file, which must not exist and which its owner alone may read.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let key = Self::generate()?;
        let pair = KeypairBytes {
            secret_key: key.0.to_bytes(),
            // The first version of PKCS8, as openssl writes it: every program reads that.
            public_key: None,
        };
        let pem = pair.to_pkcs8_pem(LineEnding::LF);
        let pem = pem.map_err(|error| in_file("make", path)(io::Error::other(error)))?;
        let mut open = OpenOptions::new();
        let file = open.write(true).create_new(true).mode(0o600).open(path);
        file.and_then(|mut file| file.write_all(pem.as_bytes()))
            .map_err(in_file("make", path))?;
        Ok(key)
    }

    /// The one in this file, which is made if it is not there.
    pub fn read_or_create(path: &Path) -> Result<Self, KeyError> {
        match path.exists() {
            true => Self::read(path),
            false => Self::create(path),
        }
    }

    /// The public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signature of a message: the same each time.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl From<ed25519_dalek::SigningKey> for SigningKey {
    fn from(key: ed25519_dalek::SigningKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey of {}", self.public())
    }
}

/// A public key. Its text is `publickeyv1_` and the key in base58, which is also what Restate's SDKs
/// take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Names the key in proofs: the first 8 bytes of its SHA-256, in hexadecimal.
    pub fn id(&self) -> String {
        hex::<8>(&Sha256::digest(self.0.as_bytes()).into())
    }

    /// Whether the signature of this message is the key's.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = bs58::encode(self.0.as_bytes()).into_string();
        write!(formatter, "{PREFIX}{key}")
    }
}

impl str::FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let refused = |reason: String| KeyError::NotPublic {
            text: text.to_owned(),
            reason,
        };
        let key = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| refused(format!("it does not begin with {PREFIX}")))?;
        let key = bs58::decode(key).into_vec();
        let key = key.map_err(|error| refused(error.to_string()))?;
        let key: [u8; LENGTH] = key
            .try_into()
            .map_err(|_| refused(format!("it is not of {LENGTH} bytes")))?;
        let key = VerifyingKey::from_bytes(&key).ok();
        // Anybody could sign for a weak one.
        key.filter(|key| !key.is_weak())
            .map(Self)
            .ok_or_else(|| refused("it is no usable point of the curve".into()))
    }
}

fn in_file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::File { what, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let made = SigningKey::read_or_create(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().public(), made.public());
        assert!(matches!(
            SigningKey::create(&path),
            Err(KeyError::File { .. })
        ));
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(
            SigningKey::read(&path),
            Err(KeyError::NotPrivate { .. })
        ));
    }

    /// As `openssl genpkey -algorithm ed25519` writes it.
    #[test]
    fn keys_of_openssl_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let pem = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
        std::fs::write(&path, pem).unwrap();
        // The key pair of RFC 8032, 7.1, test 1.
        let public = SigningKey::read(&path).unwrap().public();
        let hex: String = public
            .0
            .as_bytes()
            .iter()
            .map(|it| format!("{it:02x}"))
            .collect();
        assert_eq!(
            hex,
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
    }

    #[test]
    fn a_public_key_is_text_and_back() {
        let public = SigningKey::generate().unwrap().public();
        let text = public.to_string();
        assert_eq!(text.parse::<PublicKey>().unwrap(), public);
        for broken in ["", "publickeyv1_", "publickeyv1_0", &text[..20], &text[1..]] {
            assert!(broken.parse::<PublicKey>().is_err(), "{broken}");
        }
    }
}
