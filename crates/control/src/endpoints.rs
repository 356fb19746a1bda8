//! Where the installation is: what the flags say, else the environment, else the running dev
//! stack, else the usual ports.

use std::path::{Path, PathBuf};

use clap::Args;
use millstream_pipeline::config::{ConfigError, DEV_FOLDER, Endpoints};
use millstream_pipeline::http::with_login;
use millstream_pipeline::program;

/// Name and secret that the schema registry asks for. No flag: others could see it.
const REGISTRY_LOGIN: &str = "MILLSTREAM_SCHEMA_REGISTRY_AUTH";

/// Where `--help` lists the addresses.
const HEADING: &str = "Addresses (default: the running dev stack's, else the usual ports)";

/// Why it is not known where the installation is.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// What a dev stack wrote down cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No dev stack runs in the folder that was named.
    #[error(
        "no dev stack runs in {0}; start it with `{program} dev --folder {0}`, or name the folder of one \
         that runs",
        folder.display(), program = program::name()
    )]
    NotRunning {
        /// That folder.
        folder: PathBuf,
    },
}

/// Addresses of the parts of an installation.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub struct EndpointArgs {
    /// Folder of the dev stack whose addresses count
    #[arg(
        long,
        value_name = "FOLDER",
        help_heading = HEADING
    )]
    pub folder: Option<PathBuf>,
    /// Kafka's bootstrap servers
    #[arg(
        long,
        env = "MILLSTREAM_KAFKA",
        value_name = "HOST:PORT",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub kafka: Option<String>,
    /// The schema registry
    #[arg(
        long,
        env = "MILLSTREAM_SCHEMA_REGISTRY",
        value_name = "URL",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub schema_registry: Option<String>,
    /// Restate's admin API
    #[arg(
        long,
        env = "MILLSTREAM_RESTATE_ADMIN",
        value_name = "URL",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub restate_admin: Option<String>,
    /// Restate's ingress
    #[arg(
        long,
        env = "MILLSTREAM_RESTATE_INGRESS",
        value_name = "URL",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub restate_ingress: Option<String>,
}

impl EndpointArgs {
    /// The addresses to use.
    pub fn resolve(&self) -> Result<Endpoints, EndpointsError> {
        let login = std::env::var(REGISTRY_LOGIN).ok();
        self.resolve_with(Path::new(DEV_FOLDER), login.as_deref())
    }

    fn resolve_with(&self, usual: &Path, login: Option<&str>) -> Result<Endpoints, EndpointsError> {
        let folder = self.folder.as_deref();
        let running = Endpoints::read(folder.unwrap_or(usual))?;
        // Whoever names a stack does not mean what happens to run at the usual ports.
        if let (Some(folder), None) = (folder, &running) {
            return Err(EndpointsError::NotRunning {
                folder: folder.to_owned(),
            });
        }
        let mut endpoints = running.unwrap_or_default();
        for (given, place) in [
            (&self.kafka, &mut endpoints.kafka),
            (&self.schema_registry, &mut endpoints.schema_registry),
            (&self.restate_admin, &mut endpoints.restate_admin),
            (&self.restate_ingress, &mut endpoints.restate_ingress),
        ] {
            if let Some(given) = given {
                place.clone_from(given);
            }
        }
        if let Some(login) = login.filter(|login| !login.is_empty()) {
            let replicas = endpoints.schema_registry.split(',');
            let replicas = replicas.map(|url| with_login(url.trim(), login));
            endpoints.schema_registry = replicas.collect::<Vec<_>>().join(",");
        }
        Ok(endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_dev_stack_and_that_over_the_usual_ports() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = EndpointArgs {
            kafka: Some("k:1".into()),
            ..EndpointArgs::default()
        };
        let usual = arguments.resolve_with(folder.path(), None).unwrap();
        assert_eq!(
            usual,
            Endpoints {
                kafka: "k:1".into(),
                ..Endpoints::default()
            }
        );

        let dev = Endpoints {
            kafka: "dev:2".into(),
            schema_registry: "http://dev:3".into(),
            ..Endpoints::default()
        };
        std::fs::write(
            folder.path().join("dev.json"),
            serde_json::to_vec(&dev).unwrap(),
        )
        .unwrap();
        let named = EndpointArgs {
            folder: Some(folder.path().into()),
            ..arguments.clone()
        };
        let mixed = named.resolve_with(Path::new("elsewhere"), None).unwrap();
        assert_eq!(mixed, arguments.resolve_with(folder.path(), None).unwrap());
        assert_eq!(
            (mixed.kafka.as_str(), mixed.schema_registry.as_str()),
            ("k:1", "http://dev:3")
        );
        let empty = tempfile::tempdir().unwrap();
        let nothing = EndpointArgs {
            folder: Some(empty.path().into()),
            ..arguments.clone()
        };
        let error = nothing.resolve_with(folder.path(), None).unwrap_err();
        assert!(
            error.to_string().contains("no dev stack runs in"),
            "{error}"
        );
        let login = Some("KEY:sec/ret");
        let with_login = arguments.resolve_with(folder.path(), login).unwrap();
        assert_eq!(with_login.schema_registry, "http://KEY:sec%2Fret@dev:3");
    }
}
