//! Where the parts of an installation are.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::http::masked;

/// Folder of the dev stack, in the working directory.
pub const DEV_FOLDER: &str = ".millstream";

/// The addresses of one installation. The dev stack writes them to `.millstream/dev.json`.
/// `Debug` shows no logins.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Bootstrap servers, `host:port[,host:port]`.
    pub kafka: String,
    /// URL of the schema registry; it may carry a login.
    pub schema_registry: String,
    /// URL of Restate's ingress.
    pub restate_ingress: String,
    /// URL of Restate's admin API.
    pub restate_admin: String,
    /// URL of the handlers' metrics.
    pub metrics: String,
    /// Public key of Restate's request identity, where it signs its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_key: Option<String>,
    /// URL of the gateway, where one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// URL of the console, where one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// Connection URL of Postgres, where one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
    /// URL of the stand-ins for systems outside, in a dev stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_ins: Option<String>,
    /// Process ids of the dev stack, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pids: BTreeMap<String, u32>,
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = [
            ("kafka", Some(&self.kafka)),
            ("schema_registry", Some(&self.schema_registry)),
            ("restate_ingress", Some(&self.restate_ingress)),
            ("restate_admin", Some(&self.restate_admin)),
            ("metrics", Some(&self.metrics)),
            ("identity_key", self.identity_key.as_ref()),
            ("gateway", self.gateway.as_ref()),
            ("console", self.console.as_ref()),
            ("postgres", self.postgres.as_ref()),
            ("stand_ins", self.stand_ins.as_ref()),
        ];
        let mut shown = formatter.debug_struct("Endpoints");
        for (name, address) in addresses {
            shown.field(name, &address.map(|address| masked(address)));
        }
        shown.field("pids", &self.pids).finish()
    }
}

impl Default for Endpoints {
    /// The usual ports on this machine.
    fn default() -> Self {
        Self {
            kafka: "localhost:9092".into(),
            schema_registry: "http://localhost:8081".into(),
            restate_ingress: "http://localhost:8080".into(),
            restate_admin: "http://localhost:9070".into(),
            metrics: "http://localhost:9464/metrics".into(),
            identity_key: None,
            gateway: None,
            console: None,
            postgres: None,
            stand_ins: None,
            pids: BTreeMap::new(),
        }
    }
}

/// Why the addresses could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what `dev` writes.
    #[error(
        "{path} is not a description of a dev stack ({source}); delete it and start `{program} dev` again", program = crate::program::name()
    )]
    Parse {
        /// The file.
        path: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
}

impl Endpoints {
    /// The dev stack's addresses from `<folder>/dev.json`; `None` when no stack is described there.
    pub fn read(folder: &Path) -> Result<Option<Self>, ConfigError> {
        let path = folder.join("dev.json");
        let shown = path.display().to_string();
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes)
                    .map(Some)
                    .map_err(|source| ConfigError::Parse {
                        path: shown,
                        source,
                    })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ConfigError::Read {
                path: shown,
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_not_shown() {
        let endpoints = Endpoints {
            schema_registry: "https://KEY:hunter2@registry.example".into(),
            restate_admin: "https://admin:hunter2@restate.example".into(),
            postgres: Some("postgresql://user:hunter2@localhost/database".into()),
            ..Endpoints::default()
        };
        let shown = format!("{endpoints:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("https://***@registry.example"), "{shown}");
    }
}
