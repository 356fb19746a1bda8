//! Settings and limits of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::access::AccessSettings;
use super::cors::Origin;
use super::webhooks::WebhookSecrets;
use millstream_pipeline::identity::Signer;

/// How a gateway is run. Every limit has a default that fits one small machine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Address of `/metrics`, `/health` and `/ready`.
    pub admin: SocketAddr,
    /// Who may use it.
    pub access: AccessSettings,
    /// Whose pages may use it from a browser.
    pub origins: Vec<Origin>,
    /// What webhooks are signed with.
    pub webhook_secrets: WebhookSecrets,
    /// Signs what is sent on behalf of a client; without it no topic with `identity = "required"`
    /// takes it.
    pub signer: Option<Arc<Signer>>,
    /// How long a request waits for its result unless the client says otherwise.
    pub wait: Duration,
    /// The longest that a client may wait.
    pub longest_wait: Duration,
    /// How long a request id is answered for.
    pub keep: Duration,
    /// Waiting requests, event streams among them; beyond it 503.
    pub max_waiting: usize,
    /// Connections; further ones are accepted when one ends.
    pub max_connections: usize,
    /// Bytes of one body; beyond it 413.
    pub max_body: usize,
    /// Bytes of all bodies being read or sent; beyond it 503.
    pub max_bodies: usize,
    /// Records that Kafka has not acknowledged yet; beyond it 503.
    pub max_producing: usize,
    /// Records under way beyond which they are sent in batches, a few milliseconds later.
    pub batch_from: usize,
    /// Results whose place is noted.
    pub max_noted: usize,
    /// How long the head of a request may take to come, from the end of the one before.
    pub header_limit: Duration,
    /// How long a body may take to come; then 408.
    pub body_limit: Duration,
    /// How long the end may take at most.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: ([0, 0, 0, 0], 8088).into(),
            admin: ([0, 0, 0, 0], 9466).into(),
            access: AccessSettings::default(),
            origins: Vec::new(),
            webhook_secrets: WebhookSecrets::None,
            signer: None,
            wait: Duration::from_secs(10),
            longest_wait: Duration::from_mins(1),
            keep: Duration::from_hours(24),
            max_waiting: 20_000,
            max_connections: 25_000,
            max_body: 256 * 1024,
            max_bodies: 64 * 1024 * 1024,
            max_producing: 10_000,
            batch_from: 24,
            max_noted: 200_000,
            header_limit: Duration::from_secs(20),
            body_limit: Duration::from_secs(20),
            drain: Duration::from_secs(8),
        }
    }
}
