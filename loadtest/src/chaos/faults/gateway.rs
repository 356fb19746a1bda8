//! One gateway, and requests to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_devstack::Ports;
use reqwest::StatusCode;

use super::harness::Harness;
use super::process::Process;
use super::trial::until;
use crate::chaos::ledger::event::Book;

const START_LIMIT: Duration = Duration::from_secs(60);

/// A gateway.
pub struct Gateway {
    /// Its process.
    pub process: Process,
    /// Where clients connect.
    pub address: SocketAddr,
    metrics: SocketAddr,
    http: reqwest::Client,
}

impl Gateway {
    /// Starts one that lets so many requests wait; comes back when it has found the topics.
    pub async fn start(harness: &Harness, max_waiting: usize) -> anyhow::Result<Self> {
        Self::start_at(harness, &Ports::choose(&[])?, max_waiting).await
    }

    /// Starts one on these ports.
    pub async fn start_at(
        harness: &Harness,
        ports: &Ports,
        max_waiting: usize,
    ) -> anyhow::Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (address, metrics) = (local(ports.gateway), local(ports.gateway_metrics));
        let arguments = [
            "serve-gateway".to_owned(),
            format!("--kafka={}", harness.endpoints.kafka),
            format!("--schema-registry={}", harness.endpoints.schema_registry),
            format!("--listen={address}"),
            format!("--metrics={metrics}"),
            format!("--max-waiting={max_waiting}"),
        ];
        let log = harness.stack.folder().join("logs/gateway.log");
        let process = Process::start(&arguments, &[], address, &log).await?;
        let http = millstream_pipeline::http::builder().no_proxy().build()?;
        let ready = until(START_LIMIT, || async {
            let answer = http.get(format!("http://{metrics}/ready")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        });
        anyhow::ensure!(ready.await, "the gateway does not find the topics");
        Ok(Self {
            process,
            address,
            metrics,
            http,
        })
    }

    /// Whether it says that it can serve.
    pub async fn is_ready(&self) -> bool {
        let url = format!("http://{}/ready", self.metrics);
        let answer = self.http.get(url).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// What it has counted under this name, all series together.
    pub async fn counted(&self, name: &str) -> anyhow::Result<u64> {
        let url = format!("http://{}/metrics", self.metrics);
        let text = self.http.get(url).send().await?.text().await?;
        let series = text.lines().filter(|line| line.starts_with(name));
        let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        Ok(values.sum())
    }

    /// Sends an entry to a ledger and waits so many seconds for its result; the status and how
    /// long it took.
    pub async fn book(
        &self,
        book: Book,
        key: &str,
        wait: u64,
    ) -> anyhow::Result<(StatusCode, Duration)> {
        let topic = book.declaration().name;
        let begun = Instant::now();
        let answer = self
            .http
            .post(format!("http://{}/v1/topics/{topic}/{key}", self.address))
            .header("prefer", format!("wait={wait}"))
            .json(&serde_json::json!({ "data": { "in_seq": 1, "payload": "." } }))
            .send()
            .await
            .context("the gateway does not answer")?;
        let status = answer.status();
        answer.bytes().await?;
        Ok((status, begun.elapsed()))
    }
}
