//! The parts of an installation on a Kafka that asks who they are, each a user of its own.

use std::process::Stdio;
use std::time::Duration;

use millstream_devstack::{Ports, Progress, RESTATE_SETTINGS, programs};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::broker::Broker;
use crate::support::tls::certificate;
use crate::support::until;

/// How long a command may take that does all its work by TLS.
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// So many ports that nobody uses, nor is given for a connection of its own before they are taken.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let free = Ports::choose(&[]).unwrap();
    let free = [
        free.kafka,
        free.kafka_controller,
        free.registry,
        free.restate_ingress,
        free.restate_admin,
        free.restate_node,
        free.handlers,
        free.metrics,
    ];
    std::array::from_fn(|n| free[n])
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub ok: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `millstream` to its end, with these settings of Kafka clients.
pub async fn run(
    kafka: &str,
    registry: &str,
    config: &str,
    arguments: &[&str],
    input: &str,
) -> Ran {
    let mut child = command(kafka, registry, config)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(RUN_LIMIT, child.wait_with_output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("{arguments:?} did not end within {RUN_LIMIT:?}"))
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        ok: output.status.success(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A command that knows the installation; killed when it is dropped.
pub fn command(kafka: &str, registry: &str, config: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command
        .env("MILLSTREAM_KAFKA", kafka)
        .env("MILLSTREAM_SCHEMA_REGISTRY", registry)
        .env("MILLSTREAM_KAFKA_CONFIG", config)
        .env("MILLSTREAM_INSECURE_DEV", "true")
        .kill_on_drop(true);
    command
}

/// What runs, and where it answers.
pub struct Parts {
    pub registry: String,
    pub gateway: String,
    pub restate_admin: String,
    pub handlers: String,
    running: Vec<(&'static str, Child)>,
}

impl Parts {
    /// Starts the registry, Restate and the handlers.
    pub async fn start(broker: &Broker) -> Self {
        let [registry, gateway, handlers, metrics, node, ingress, admin] = free_ports();
        let url = |port| format!("http://127.0.0.1:{port}");
        let mut parts = Self {
            registry: url(registry),
            gateway: url(gateway),
            restate_admin: url(admin),
            handlers: url(handlers),
            running: Vec::new(),
        };
        let listen = format!("127.0.0.1:{registry}");
        parts.serve(broker, "registry", &["--listen", &listen]);
        let (_, restate) = programs(&Progress::silent()).await.unwrap();
        let mut command = Command::new(restate);
        let settings = broker.file("restate.toml", RESTATE_SETTINGS);
        command
            .args(["--no-logo", "--config-file", &settings])
            .env("DO_NOT_TRACK", "1")
            .env("RESTATE_BASE_DIR", broker.folder.path().join("restate"))
            .env_remove("RUST_LOG")
            .kill_on_drop(true);
        for (prefix, port) in [
            ("RESTATE_", node),
            ("RESTATE_INGRESS__", ingress),
            ("RESTATE_ADMIN__", admin),
        ] {
            command
                .env(format!("{prefix}BIND_ADDRESS"), format!("127.0.0.1:{port}"))
                .env(format!("{prefix}ADVERTISED_ADDRESS"), url(port));
        }
        parts.spawn(broker, "restate", command);
        answers(&format!("{}/subjects", parts.registry)).await;
        answers(&format!("{}/health", parts.restate_admin)).await;
        let (listen, metrics) = (parts.handlers.clone(), url(metrics));
        parts.listen(broker, "serve", &listen, &metrics);
        answers(&format!("{metrics}/metrics")).await;
        parts
    }

    /// Starts the gateway, for which there must be topics.
    pub async fn start_gateway(&mut self, broker: &Broker) {
        let [metrics] = free_ports();
        let (listen, metrics) = (self.gateway.clone(), format!("http://127.0.0.1:{metrics}"));
        self.listen(broker, "gateway", &listen, &metrics);
        answers(&format!("{metrics}/ready")).await;
    }

    fn listen(&mut self, broker: &Broker, part: &'static str, listen: &str, metrics: &str) {
        let [listen, metrics] = [listen, metrics].map(|url| url.trim_start_matches("http://"));
        self.serve(broker, part, &["--listen", listen, "--metrics", metrics]);
    }

    fn serve(&mut self, broker: &Broker, part: &'static str, arguments: &[&str]) {
        let user = match part {
            "serve" => "millstream-handlers".to_owned(),
            part => format!("millstream-{part}"),
        };
        let mut command = command(&broker.scram, &self.registry, &broker.user(&user));
        command.arg(part).args(arguments);
        self.spawn(broker, part, command);
    }

    fn spawn(&mut self, broker: &Broker, part: &'static str, mut command: Command) {
        let log = broker.folder.path().join(format!("{part}.log"));
        let log = std::fs::File::create(log).unwrap();
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.running.push((part, command.spawn().unwrap()));
    }

    /// Declares everything, as the user that may.
    pub async fn apply(&self, broker: &Broker) -> Ran {
        let restate = [
            ("security.protocol", "SASL_SSL".to_owned()),
            ("ssl.ca.location", certificate("authority.pem")),
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.username", "millstream-restate".to_owned()),
            ("sasl.password", "millstream-restate-password".to_owned()),
        ];
        let restate = restate.map(|(name, value)| format!("--kafka-option={name}={value}"));
        let mut arguments = vec!["apply", "--handlers", &self.handlers];
        arguments.extend(["--restate-admin", &self.restate_admin]);
        arguments.extend(restate.iter().map(String::as_str));
        let user = broker.user("millstream-apply");
        run(&broker.scram, &self.registry, &user, &arguments, "").await
    }

    /// The logs of all parts, for messages.
    pub fn logs(&self, broker: &Broker) -> String {
        let parts = self.running.iter().map(|(part, _)| {
            let log = broker.folder.path().join(format!("{part}.log"));
            format!(
                "-- {part}\n{}",
                std::fs::read_to_string(log).unwrap_or_default()
            )
        });
        parts.collect()
    }
}

async fn answers(url: &str) {
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    until(url, async || {
        let answer = http.get(url).send().await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}
