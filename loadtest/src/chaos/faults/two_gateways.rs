//! Two gateways, and clients that have the addresses of both: who gets no answer at one asks the
//! other, with the same `Idempotency-Key`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_devstack::Ports;
use nix::sys::signal::Signal;
use reqwest::header::LOCATION;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::gateway::Gateway;
use super::harness::Harness;
use super::trial::Trial;
use crate::chaos::ledger::event::Book;

/// Clients, each with one request at a time.
const CLIENTS: usize = 16;
/// Requests that are to be asked for later, of each gateway that is killed.
const ASKED: usize = 20;
/// Requests that a gateway lets wait.
const MAX_WAITING: usize = 1000;
/// How long a request may take over all its attempts.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// The gateways; `None` while one is away.
pub struct Gateways {
    ports: [Ports; 2],
    running: [Option<Gateway>; 2],
    client: Client,
}

/// Clients that keep asking.
pub struct Clients {
    tasks: JoinSet<anyhow::Result<()>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    over: AtomicBool,
    answered: AtomicU64,
    /// Requests that waited at a gateway when it was killed, and were answered by the other.
    moved: AtomicU64,
}

/// Knows both addresses.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    addresses: [SocketAddr; 2],
}

impl Gateways {
    /// Starts both.
    pub async fn start(harness: &Harness) -> anyhow::Result<Self> {
        let first = Ports::choose(&[])?;
        let one = Gateway::start_at(harness, &first, MAX_WAITING).await?;
        let second = Ports::choose(&[])?;
        let other = Gateway::start_at(harness, &second, MAX_WAITING).await?;
        let client = Client {
            http: millstream_pipeline::http::builder().no_proxy().build()?,
            addresses: [one.address, other.address],
        };
        Ok(Self {
            ports: [first, second],
            running: [Some(one), Some(other)],
            client,
        })
    }

    /// Kills one.
    pub async fn kill(&mut self, at: usize) -> anyhow::Result<()> {
        self.end(at, Signal::SIGKILL).await
    }

    /// Starts one again at its address; comes back when it is ready.
    pub async fn start_again(&mut self, harness: &Harness, at: usize) -> anyhow::Result<()> {
        let gateway = Gateway::start_at(harness, &self.ports[at], MAX_WAITING).await?;
        self.running[at] = Some(gateway);
        Ok(())
    }

    /// Ends both.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.end(0, Signal::SIGTERM).await?;
        self.end(1, Signal::SIGTERM).await
    }

    async fn end(&mut self, at: usize, signal: Signal) -> anyhow::Result<()> {
        match self.running[at].take() {
            Some(gateway) => gateway.process.end(signal).await,
            None => Ok(()),
        }
    }

    /// Clients that keep asking, half of them either gateway first.
    pub fn clients(&self, trial: &Trial<'_>) -> Clients {
        let (mut tasks, counts) = (JoinSet::new(), Arc::<Counts>::default());
        for number in 0..CLIENTS {
            let (client, counts) = (self.client.clone(), Arc::clone(&counts));
            let name = format!("http-{}-{number}", trial.run);
            tasks.spawn(async move { client.keep_asking(&name, &counts).await });
        }
        Clients { tasks, counts }
    }

    /// Sends requests to the gateway that is to be killed, of which it gives ids alone: where their
    /// results are to be had.
    pub async fn ask(&self, run: &str, at: usize) -> anyhow::Result<Vec<String>> {
        let mut asked = Vec::new();
        for number in 0..ASKED {
            let key = format!("later-{run}-{at}-{number}");
            let answer = self.client.send(at, &key, 1, "respond-async").await?;
            let location = answer.headers().get(LOCATION);
            let location = location.context("a pending request has no Location")?;
            asked.push(location.to_str()?.to_owned());
        }
        Ok(asked)
    }

    /// Expects these results at the gateway that is left.
    pub async fn expect_answers(&self, trial: &Trial<'_>, asked: Vec<String>, at: usize) {
        for location in asked {
            let begun = Instant::now();
            let url = format!("http://{}{location}", self.client.addresses[at]);
            let found = loop {
                let answer = self.client.http.get(&url).send().await;
                match answer.map(|answer| answer.status()) {
                    Ok(StatusCode::OK) => break true,
                    Ok(StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE)
                        if begun.elapsed() < LIMIT => {}
                    _ => break false,
                }
                sleep(PAUSE).await;
            };
            trial.expect(
                found,
                format!("{location} has no answer at the other gateway"),
            );
        }
    }
}

impl Clients {
    /// Waits for the last answers.
    pub async fn finish(mut self, trial: &Trial<'_>) -> anyhow::Result<()> {
        self.counts.over.store(true, Ordering::Relaxed);
        while let Some(done) = self.tasks.join_next().await {
            if let Err(error) = done? {
                trial.expect(false, format!("{error:#}"));
            }
        }
        let moved = self.counts.moved.load(Ordering::Relaxed);
        let answered = self.counts.answered.load(Ordering::Relaxed);
        trial.figure("http_answered", answered as f64);
        trial.figure("http_answered_by_the_other", moved as f64);
        trial.expect(moved > 0, "no request waited at a gateway that was killed");
        Ok(())
    }
}

impl Client {
    async fn send(
        &self,
        at: usize,
        key: &str,
        number: i64,
        prefer: &str,
    ) -> reqwest::Result<Response> {
        let (address, topic) = (self.addresses[at], Book::Main.declaration().name);
        self.http
            .post(format!("http://{address}/v1/topics/{topic}/{key}"))
            .header("prefer", prefer)
            .header("idempotency-key", format!("{key}-{number}"))
            .json(&json!({ "data": { "in_seq": number, "payload": "." } }))
            .send()
            .await
    }

    /// One request after the other, each with a key of its own, which must be booked once.
    async fn keep_asking(&self, name: &str, counts: &Counts) -> anyhow::Result<()> {
        for turn in 0.. {
            if counts.over.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("{name}-{turn}");
            let was_cut = self.expect_count(&key, 1, turn % 2).await?;
            counts.answered.fetch_add(1, Ordering::Relaxed);
            if was_cut {
                // A first entry that was booked twice is seen by the second one.
                self.expect_count(&key, 2, turn % 2).await?;
                counts.moved.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Sends an entry until it is answered, to one gateway and the other in turn, and expects so
    /// many entries of its key. Answers whether a gateway took the request and was gone before it
    /// answered.
    async fn expect_count(&self, key: &str, count: i64, mut at: usize) -> anyhow::Result<bool> {
        let (begun, mut was_cut) = (Instant::now(), false);
        loop {
            match self.send(at, key, count, "wait=30").await {
                Ok(answer) if answer.status() == StatusCode::OK => {
                    let answer: Value = answer.json().await?;
                    let counted = answer["data"]["count"].as_i64();
                    anyhow::ensure!(
                        counted == Some(count),
                        "{key} has {counted:?} entries, not {count}: {answer}"
                    );
                    return Ok(was_cut);
                }
                Ok(answer) => {
                    let may_come_again = [StatusCode::ACCEPTED, StatusCode::SERVICE_UNAVAILABLE];
                    let status = answer.status();
                    anyhow::ensure!(may_come_again.contains(&status), "{key}: {status}");
                }
                Err(error) => was_cut |= !error.is_connect(),
            }
            anyhow::ensure!(
                begun.elapsed() < LIMIT,
                "{key} is answered by neither gateway"
            );
            at = 1 - at;
            sleep(PAUSE).await;
        }
    }
}
