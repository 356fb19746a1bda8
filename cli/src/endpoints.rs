//! Where the installation is: what the flags say, else the environment, else the running dev
//! stack, else the usual ports.

use std::path::Path;

use clap::Args;
use millstream_pipeline::config::{ConfigError, DEV_FOLDER, Endpoints};
use millstream_pipeline::http::with_login;

/// Name and secret that the schema registry asks for. No flag: others could see it.
const REGISTRY_LOGIN: &str = "MILLSTREAM_SCHEMA_REGISTRY_AUTH";

/// Where `--help` lists the addresses.
const HEADING: &str = "Addresses (default: the running dev stack's, else the usual ports)";

/// Addresses of the parts of an installation.
#[derive(Debug, Clone, Default, Args)]
pub struct EndpointArgs {
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
    pub fn resolve(&self) -> Result<Endpoints, ConfigError> {
        let login = std::env::var(REGISTRY_LOGIN).ok();
        self.resolve_in(Path::new(DEV_FOLDER), login.as_deref())
    }

    fn resolve_in(&self, folder: &Path, login: Option<&str>) -> Result<Endpoints, ConfigError> {
        let mut endpoints = Endpoints::read(folder)?.unwrap_or_default();
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
        let usual = arguments.resolve_in(folder.path(), None).unwrap();
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
        let mixed = arguments.resolve_in(folder.path(), None).unwrap();
        assert_eq!(
            (mixed.kafka.as_str(), mixed.schema_registry.as_str()),
            ("k:1", "http://dev:3")
        );
        let login = Some("KEY:sec/ret");
        let with_login = arguments.resolve_in(folder.path(), login).unwrap();
        assert_eq!(with_login.schema_registry, "http://KEY:sec%2Fret@dev:3");
    }
}
