//! The parts that are this project's own program: schema registry, stand-ins, handlers,
//! gateway, guard, console. They end when their standard input closes, so that they do not outlive the dev stack.

use std::ffi::OsString;
use std::path::Path;

use super::Options;
use super::keys::{Key, Keys};
use super::ports::Ports;
use super::process::CommandLine;

/// `<binary> registry ...`
pub fn registry(binary: &Path, nodes: &[Ports]) -> CommandLine {
    let ports = &nodes[0];
    command_line(
        binary,
        &[
            "registry",
            "--kafka",
            &kafka(nodes),
            "--listen",
            &address(ports.registry),
        ],
    )
}

/// `<binary> stand-ins ...`
pub fn stand_ins(binary: &Path, nodes: &[Ports], keys: &Keys) -> CommandLine {
    let ports = &nodes[0];
    let mut line = command_line(
        binary,
        &[
            "stand-ins",
            "--kafka",
            &kafka(nodes),
            "--schema-registry",
            &url(ports.registry),
            "--gateway",
            &url(ports.gateway),
            "--listen",
            &address(ports.stand_ins),
        ],
    );
    line.set.extend(webhook_secrets(keys));
    line
}

/// `<binary> serve ...`, the replica at this index.
pub fn handlers(
    binary: &Path,
    (node, nodes): (usize, &[Ports]),
    keys: &Keys,
    postgres: Option<String>,
    options: &Options,
) -> CommandLine {
    let (ports, own) = (&nodes[0], &nodes[node]);
    let mut line = command_line(
        binary,
        &[
            "serve",
            "--kafka",
            &kafka(nodes),
            "--restate-admin",
            &url(ports.restate_admin),
            "--listen",
            &address(own.handlers),
            "--metrics",
            &address(own.metrics),
        ],
    );
    // A variable and no flag, so that a test can put something between the two.
    let registry = ("MILLSTREAM_SCHEMA_REGISTRY".into(), url(ports.registry));
    line.set.push(registry);
    let stand_ins = options.stand_in_paths.iter();
    let stand_ins = stand_ins.map(|(name, path)| {
        let url = format!("{}{path}", url(ports.stand_ins));
        ((*name).to_owned(), url)
    });
    let others = options.stand_in_variables.iter();
    let others = others.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    line.set.extend(stand_ins.chain(others));
    let trusted = format!("{},{}", keys.gateway.public, keys.handlers.public);
    line.set.extend([
        (
            "MILLSTREAM_IDENTITY_KEYS".into(),
            keys.restate.public.to_string(),
        ),
        signing_key(&keys.handlers),
        ("MILLSTREAM_TRUSTED_KEYS".into(), trusted),
        // Its gateway serves everybody.
        ("MILLSTREAM_ANONYMOUS".into(), "true".into()),
    ]);
    if let Some(url) = postgres {
        line.set.push(("MILLSTREAM_POSTGRES".into(), url));
    }
    line
}

/// `<binary> gateway ...`, the replica at this index.
pub fn gateway(binary: &Path, (node, nodes): (usize, &[Ports]), keys: &Keys) -> CommandLine {
    let (ports, own) = (&nodes[0], &nodes[node]);
    let mut line = command_line(
        binary,
        &[
            "gateway",
            "--insecure-dev",
            "--kafka",
            &kafka(nodes),
            "--listen",
            &address(own.gateway),
            "--metrics",
            &address(own.gateway_metrics),
        ],
    );
    // A variable and no flag, so that a test can put something between the two.
    let registry = ("MILLSTREAM_SCHEMA_REGISTRY".into(), url(ports.registry));
    line.set.push(registry);
    line.set.push(signing_key(&keys.gateway));
    line.set.extend(webhook_secrets(keys));
    line
}

/// `<binary> guard ...`; always under the same name, so that a new one ends what the last left open.
pub fn guard(binary: &Path, nodes: &[Ports]) -> CommandLine {
    let ports = &nodes[0];
    command_line(
        binary,
        &[
            "guard",
            "--kafka",
            &kafka(nodes),
            "--schema-registry",
            &url(ports.registry),
            "--instance",
            "dev",
            "--metrics",
            &address(ports.guard_metrics),
        ],
    )
}

/// `<binary> console ...`
pub fn console(binary: &Path, nodes: &[Ports]) -> CommandLine {
    let ports = &nodes[0];
    command_line(
        binary,
        &[
            "console",
            "--insecure-dev",
            "--kafka",
            &kafka(nodes),
            "--schema-registry",
            &url(ports.registry),
            "--restate-admin",
            &url(ports.restate_admin),
            "--restate-ui",
            &format!("{}/ui", url(ports.restate_admin)),
            "--gateway",
            &url(ports.gateway),
            "--listen",
            &address(ports.console),
        ],
    )
}

/// `<binary> balance ...`: one address for all replicas of the handlers.
pub fn balancer(binary: &Path, nodes: &[Ports], replicas: usize) -> CommandLine {
    let mut arguments = vec!["balance".to_owned(), "--listen".into()];
    arguments.push(address(balanced(nodes)));
    let replicas = nodes.iter().take(replicas);
    arguments.extend(replicas.map(|ports| address(ports.handlers)));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    command_line(binary, &arguments)
}

/// Where the handlers of a cluster are reached: a port of the last node, which serves none itself.
pub fn balanced(nodes: &[Ports]) -> u16 {
    nodes.last().map_or(0, |ports| ports.handlers)
}

/// Kafka's bootstrap servers.
pub fn kafka(nodes: &[Ports]) -> String {
    let brokers: Vec<_> = nodes.iter().map(|ports| address(ports.kafka)).collect();
    brokers.join(",")
}

fn signing_key(key: &Key) -> (String, String) {
    (
        "MILLSTREAM_SIGNING_KEY".into(),
        key.path.display().to_string(),
    )
}

fn webhook_secrets(keys: &Keys) -> Option<(String, String)> {
    let file = keys.webhooks.as_ref()?.display().to_string();
    Some(("MILLSTREAM_WEBHOOK_SECRETS_FILE".into(), file))
}

/// `host:port` of a part.
pub fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// URL of a part.
pub fn url(port: u16) -> String {
    format!("http://{}", address(port))
}

fn command_line(binary: &Path, arguments: &[&str]) -> CommandLine {
    CommandLine {
        wrapper: Vec::new(),
        container: None,
        program: binary.to_owned(),
        arguments: arguments.iter().map(OsString::from).collect(),
        // Tells the program to end when its standard input closes, which it must not do elsewhere:
        // under a service manager standard input is closed from the beginning.
        set: vec![(END_WITH_STDIN.into(), "1".into())],
        unset: Vec::new(),
    }
}

/// Set for our own programs when the dev stack runs them.
pub const END_WITH_STDIN: &str = "MILLSTREAM_END_WITH_STDIN";

/// Resolves when the dev stack that started this process is gone; never in any other process.
pub async fn dev_stack_is_gone() {
    use tokio::io::AsyncReadExt as _;
    if std::env::var_os(END_WITH_STDIN).is_none() {
        return std::future::pending().await;
    }
    let mut buffer = [0; 64];
    let mut stdin = tokio::io::stdin();
    while !matches!(stdin.read(&mut buffer).await, Ok(0) | Err(_)) {}
}
