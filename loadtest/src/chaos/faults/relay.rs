//! One guard relay.

use std::net::{Ipv4Addr, SocketAddr};

use millstream_devstack::Ports;
use millstream_pipeline::observe::metrics::GUARD_RESTARTS_TOTAL;

use super::harness::Harness;
use super::process::Process;

/// A relay.
pub struct Relay {
    /// Its process.
    pub process: Process,
    metrics: SocketAddr,
}

impl Relay {
    /// Starts one under this name.
    pub async fn start(harness: &Harness, instance: &str) -> anyhow::Result<Self> {
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, Ports::choose(&[])?.guard_metrics));
        let arguments = [
            "guard".to_owned(),
            format!("--kafka={}", harness.endpoints.kafka),
            format!("--schema-registry={}", harness.endpoints.schema_registry),
            format!("--listen={metrics}"),
            format!("--instance={instance}"),
        ];
        let log = harness.stack.folder().join("logs/guard.log");
        let process = Process::start(&arguments, &[], metrics, &log).await?;
        Ok(Self { process, metrics })
    }

    /// How often it has begun anew after an error.
    pub async fn restarts(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/metrics", self.metrics);
        let client = millstream_pipeline::http::builder().no_proxy().build()?;
        let text = client.get(url).send().await?.text().await?;
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(GUARD_RESTARTS_TOTAL));
        let count = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
        Ok(count.unwrap_or_default())
    }
}
