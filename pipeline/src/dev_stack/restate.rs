//! A single Restate server. Its settings are the project's `restate.toml`, which this binary
//! carries; ports and paths are set by variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::data::Data;
use super::error::DevStackError;
use super::ports::Ports;
use super::process::CommandLine;
use super::versions;

/// The project's settings of Restate's server.
pub const SETTINGS: &str = include_str!("../../../restate.toml");

/// The server's binary in the folder that was fetched.
pub fn binary(program: &Path) -> Result<PathBuf, DevStackError> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    let folder = program.join("node_modules");
    let binary = folder
        .join(format!("{}-{system}-{machine}", versions::RESTATE_PACKAGE))
        .join("bin/restate-server");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(DevStackError::NoBinary {
            version: versions::RESTATE,
            folder,
        })
    }
}

/// How the server is started. Writes its settings into `folder`; `variables` come last and win.
pub fn command_line(
    binary: PathBuf,
    folder: &Path,
    data: &Data,
    ports: &Ports,
    variables: &BTreeMap<String, String>,
) -> Result<CommandLine, DevStackError> {
    let settings = folder.join("restate.toml");
    std::fs::write(&settings, SETTINGS).map_err(DevStackError::file("cannot write", &settings))?;
    let mut set: Vec<(String, String)> = vec![
        ("DO_NOT_TRACK".into(), "1".into()),
        (
            "RESTATE_BASE_DIR".into(),
            data.restate().display().to_string(),
        ),
    ];
    for (prefix, port) in [
        ("RESTATE_", ports.restate_node),
        ("RESTATE_INGRESS__", ports.restate_ingress),
        ("RESTATE_ADMIN__", ports.restate_admin),
    ] {
        set.push((format!("{prefix}BIND_ADDRESS"), format!("127.0.0.1:{port}")));
        set.push((
            format!("{prefix}ADVERTISED_ADDRESS"),
            format!("http://127.0.0.1:{port}"),
        ));
    }
    set.extend(
        variables
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    Ok(CommandLine {
        program: binary,
        arguments: vec!["--no-logo".into(), "--config-file".into(), settings.into()],
        set,
        // It is meant for our own programs and would replace the server's own filter.
        unset: vec!["RUST_LOG", "RESTATE_CONFIG"],
    })
}
