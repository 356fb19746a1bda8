//! A gateway of a test's own beside the stack's.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};

use millstream_devstack::Ports;
use millstream_pipeline::config::Endpoints;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

use super::Http;
use crate::support::{LIMIT, until};

/// It is killed when it is dropped.
pub struct Replica {
    pub http: Http,
    pub metrics: Http,
    process: Child,
    log: NamedTempFile,
}

impl Replica {
    /// Starts one and waits until it reads all topics.
    pub async fn start(endpoints: &Endpoints, arguments: &[&str]) -> Self {
        Self::asking(endpoints, &[&["--insecure-dev"], arguments].concat()).await
    }

    /// The same, but it asks who sends, as the arguments say.
    pub async fn asking(endpoints: &Endpoints, arguments: &[&str]) -> Self {
        Self::with_variables(endpoints, arguments, &[]).await
    }

    /// The same, with these variables besides.
    pub async fn with_variables(
        endpoints: &Endpoints,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut replica = Self::without_waiting(endpoints, arguments, variables);
        until("the replica", || {
            let ended = replica.process.try_wait().unwrap();
            assert_eq!(ended, None, "the gateway has ended: {}", replica.log());
            let answer = replica.metrics.request(reqwest::Method::GET, "/ready");
            async {
                let answer = answer.send().await.ok()?;
                answer.status().is_success().then_some(())
            }
        })
        .await;
        replica
    }

    fn without_waiting(
        endpoints: &Endpoints,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let [listen, metrics] = free_addresses();
        let log = NamedTempFile::new().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_millstream"))
            .args(["gateway", "--kafka", &endpoints.kafka])
            .args(["--schema-registry", &endpoints.schema_registry])
            .args(["--listen", &listen, "--metrics", &metrics])
            .args(arguments)
            .env_remove("SSL_CERT_FILE")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            http: Http::new(&format!("http://{listen}")),
            metrics: Http::new(&format!("http://{metrics}")),
            process,
            log,
        }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.http.url.trim_start_matches("http://").to_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// How it ends.
    pub async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(LIMIT, self.process.wait())
            .await
            .expect("it ends in time")
            .unwrap()
    }

    /// The value of a metric's series, summed over those that contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = self.metrics.request(reqwest::Method::GET, "/metrics");
        let text = answer.send().await.unwrap().text().await.unwrap();
        text.lines()
            .filter(|line| line.starts_with(name) && labels.iter().all(|it| line.contains(it)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Waits until so many requests wait at it.
    pub async fn waiting(&self, count: u32) {
        until("the waiting requests", async || {
            let waiting = self.metric("millstream_gateway_waiting", &[]).await;
            (waiting >= f64::from(count)).then_some(())
        })
        .await;
    }
}

/// Nobody is given them for a connection of its own, nor this process once more.
pub fn free_addresses() -> [String; 2] {
    let ports = Ports::choose(&[]).unwrap();
    [ports.gateway, ports.gateway_metrics]
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string())
}
