//! How every HTTP client of ours is made: it speaks http and https.
//!
//! The certificate authorities are the system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
//! name instead. They are read once.

mod address;
pub mod status;

use std::fmt;
use std::sync::OnceLock;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use reqwest::{Client, ClientBuilder};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};

pub use address::{AddressError, address, check_segment};

/// A client with the usual settings.
pub fn client() -> Client {
    builder().build().unwrap_or_default()
}

/// A client's settings, to be added to.
// The one place where that is allowed: a client made elsewhere has no certificates.
#[allow(clippy::disallowed_methods)]
pub fn builder() -> ClientBuilder {
    Client::builder().tls_backend_preconfigured(tls().clone())
}

/// Lets clients that a crate of somebody else's makes speak https.
pub fn install() {
    tls();
}

/// What went wrong, down to the cause: the error alone does not say that a certificate was refused.
pub fn reason(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        reason = format!("{reason}: {inner}");
        source = inner.source();
    }
    reason
}

fn tls() -> &'static ClientConfig {
    static TLS: OnceLock<ClientConfig> = OnceLock::new();
    TLS.get_or_init(|| {
        // Also for clients that a crate of somebody else's makes. One that is there stays.
        let _ = ring::default_provider().install_default();
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(%error, "certificate authorities cannot be read; check SSL_CERT_FILE");
        }
        // A system without any speaks http all the same.
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(found.certs);
        ClientConfig::builder()
            .with_root_certificates(authorities)
            .with_no_client_auth()
    })
}

/// The name and the secret that an address may carry: `https://NAME:SECRET@host`.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub name: String,
    /// The secret that proves it.
    pub secret: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Login(***)")
    }
}

/// An address without its login, and this. What comes out first can be shown.
pub fn split_login(url: &str) -> (String, Option<Login>) {
    let Some((scheme, login, rest)) = parts(url) else {
        return (url.to_owned(), None);
    };
    let (name, secret) = match login.split_once(':') {
        Some((name, secret)) => (name, Some(secret)),
        None => (login, None),
    };
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let login = Login {
        name: decoded(name),
        secret: secret.map(decoded),
    };
    (format!("{scheme}://{rest}"), Some(login))
}

/// An address that carries `login`, which is `NAME:SECRET`; one that has its own keeps it.
pub fn with_login(url: &str, login: &str) -> String {
    match (parts(url), url.split_once("://")) {
        (None, Some((scheme, rest))) => {
            let (name, secret) = login.split_once(':').unwrap_or((login, ""));
            let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
            format!("{scheme}://{}:{}@{rest}", encoded(name), encoded(secret))
        }
        _ => url.to_owned(),
    }
}

/// An address as it may be shown: with `***` for its login.
pub fn masked(url: &str) -> String {
    match parts(url) {
        Some((scheme, _, rest)) => format!("{scheme}://***@{rest}"),
        None => url.to_owned(),
    }
}

/// Scheme, login and the rest of an address that carries a login. The last `@` ends it, since
/// secrets with `/` and `@` are pasted as they are.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (login, rest) = rest.rsplit_once('@')?;
    Some((scheme, login, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_split_off_and_put_back() {
        let login = |name: &str, secret: &str| Login {
            name: name.into(),
            secret: Some(secret.into()),
        };
        let (url, found) = split_login("https://KEY:a%2Fb+c%3D@registry.example:443/x");
        assert_eq!(url, "https://registry.example:443/x");
        assert_eq!(found, Some(login("KEY", "a/b+c=")));
        let pasted = split_login("https://KEY:a/b@c@registry.example").1;
        assert_eq!(pasted, Some(login("KEY", "a/b@c")));

        let joined = with_login("http://registry.example", "KEY:a/b:c@%2F");
        let (url, found) = split_login(&joined);
        assert_eq!(url, "http://registry.example");
        assert_eq!(found, Some(login("KEY", "a/b:c@%2F")));
        assert_eq!(with_login(&joined, "other:one"), joined);

        assert_eq!(split_login("http://localhost:8081").1, None);
    }

    #[test]
    fn a_login_is_not_shown() {
        for url in ["https://KEY:hunter2@host/x", "https://KEY:hun/ter2@host/x"] {
            assert_eq!(masked(url), "https://***@host/x");
            let (shown, login) = split_login(url);
            let shown = format!("{shown} {login:?}");
            assert!(!shown.contains("ter2") && !shown.contains("KEY"), "{shown}");
        }
        assert_eq!(masked("http://localhost:8081"), "http://localhost:8081");
    }
}
