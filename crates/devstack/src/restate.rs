//! A Restate server: a single one, or one of a cluster. Its settings are the project's `restate.toml`, which this binary
//! carries; ports and paths are set by variables.

use std::path::{Path, PathBuf};

use super::data::Data;
use super::docker::Container;
use super::error::DevStackError;
use super::keys::Key;
use super::own::url;
use super::ports::Ports;
use super::process::CommandLine;
use super::versions;

/// The project's settings of Restate's server.
pub const SETTINGS: &str = include_str!("../restate.toml");

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

/// How the server of the node at this index is started. Writes its settings into `folder`.
pub fn command_line(
    (binary, container): (PathBuf, Option<Container>),
    folder: &Path,
    data: &Data,
    (node, nodes): (usize, &[Ports]),
    key: &Key,
) -> Result<CommandLine, DevStackError> {
    let ports = &nodes[node];
    let settings = folder.join("restate.toml");
    std::fs::write(&settings, SETTINGS).map_err(DevStackError::file("cannot write", &settings))?;
    let mut set: Vec<(String, String)> = vec![
        ("DO_NOT_TRACK".into(), "1".into()),
        (
            "RESTATE_BASE_DIR".into(),
            data.restate().display().to_string(),
        ),
        (
            "RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE".into(),
            key.path.display().to_string(),
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
    if nodes.len() > 1 {
        set.extend(of_cluster(node, nodes));
    }
    Ok(CommandLine {
        wrapper: Vec::new(),
        container,
        program: binary,
        arguments: vec!["--no-logo".into(), "--config-file".into(), settings.into()],
        set,
        // It is meant for our own programs and would replace the server's own filter.
        unset: vec!["RUST_LOG", "RESTATE_CONFIG"],
    })
}

/// What a server of a cluster needs besides: the first one sets the cluster up, and what each
/// writes is on two disks before it counts. There are no snapshots, which need an object store, so
/// the log is never trimmed: a cluster on one machine does not live that long.
fn of_cluster(node: usize, nodes: &[Ports]) -> Vec<(String, String)> {
    let peers: Vec<_> = nodes.iter().map(|ports| url(ports.restate_node)).collect();
    [
        ("RESTATE_NODE_NAME", name(node)),
        ("RESTATE_AUTO_PROVISION", (node == 0).to_string()),
        ("RESTATE_DEFAULT_REPLICATION", "2".into()),
        (
            "RESTATE_METADATA_CLIENT__ADDRESSES",
            format!("[{}]", peers.join(",")),
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn name(node: usize) -> String {
    match node {
        0 => "millstream".into(),
        node => format!("millstream-{}", node + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::progress::Progress;
    use super::super::{data::Data, fetch, keys::Keys};
    use super::*;

    /// A package has nothing from outside of its folder.
    #[test]
    fn the_settings_are_those_of_the_root() {
        let root = include_str!("../../../restate.toml");
        assert_eq!(SETTINGS, root, "copy restate.toml to crates/devstack");
    }

    /// The server ignores what it does not know, so it is asked what it took.
    #[tokio::test]
    async fn the_server_takes_every_setting() {
        let cache = fetch::cache().unwrap();
        let program = fetch::fetch(&cache, &fetch::restate(), &Progress::silent())
            .await
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = Data::open(folder.path(), false, 1, &Progress::silent()).unwrap();
        let ports = Ports::usual();
        let key = Keys::open(folder.path(), &[]).unwrap().restate;
        let line = command_line(
            (binary(&program).unwrap(), None),
            folder.path(),
            &data,
            (0, &[ports]),
            &key,
        )
        .unwrap();
        // A zero is taken and not shown, just as an unknown key is: another number is shown.
        let file = folder.path().join("restate.toml");
        let settings = std::fs::read_to_string(&file)
            .unwrap()
            .replace("\"0s\"", "\"1s\"");
        std::fs::write(&file, &settings).unwrap();
        let output = std::process::Command::new(&line.program)
            .args(&line.arguments)
            .arg("--dump-config")
            .envs(line.set)
            .output()
            .unwrap();
        let taken = String::from_utf8(output.stdout).unwrap();
        let mut section = "";
        for setting in settings
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if setting.starts_with('[') {
                section = setting;
                continue;
            }
            let start = if section.is_empty() {
                0
            } else {
                let header = format!("\n{section}\n");
                taken
                    .find(&header)
                    .unwrap_or_else(|| panic!("no {section}"))
                    + header.len()
            };
            let part = &taken[start..];
            let part = &part[..part.find("\n[").unwrap_or(part.len())];
            // The server writes sizes with a decimal.
            let sized = setting.replace("512 MiB", "512.0 MiB");
            assert!(
                part.lines().any(|line| line == sized),
                "{section} {setting} in:\n{part}"
            );
        }
        for setting in [
            "bind-address = \"127.0.0.1:9070\"",
            "bind-address = \"127.0.0.1:8080\"",
            &format!(
                "request-identity-private-key-pem-file = \"{}\"",
                key.path.display()
            ),
        ] {
            assert!(taken.contains(setting), "{setting} in:\n{taken}");
        }
    }
}
