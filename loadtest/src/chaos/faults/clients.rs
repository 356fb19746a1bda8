//! Readers of results and HTTP clients that are far too slow: nobody else feels them, and nothing
//! grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::reader::{From, Next, Reader};
use nix::sys::signal::Signal;
use reqwest::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::gateway::Gateway;
use super::harness::Harness;
use super::outcome::Outcome;
use super::trial::{Trial, until};
use crate::chaos::ledger::event::Book;
use crate::chaos::ledger::watch::results_of;
use crate::random::Random;

const LIMIT: Duration = Duration::from_secs(60);
/// What memory may grow by, in megabytes.
const GROWTH: f64 = 64.0;
/// Requests that the gateway lets wait in this scenario.
const MAX_WAITING: usize = 300;
/// Slow clients of each kind.
const CLIENTS: usize = 50;
/// Requests that a client sends without reading an answer: far more than the gateway may hold.
const UNREAD: usize = 2_000;
/// Requests that wait for what never comes.
const WAITING: usize = 200;
/// What the others' latency may come to, in milliseconds beyond `HARMED_TIMES` of what it is
/// without slow clients.
const HARMED_MS: f64 = 500.0;
const HARMED_TIMES: f64 = 5.0;

/// A reader and clients that are slow.
pub async fn slow(harness: &Harness) -> anyhow::Result<Outcome> {
    let trial = harness.trial().await?;
    slow_reader(&trial).await?;
    slow_clients(&trial).await?;
    trial.finish().await
}

/// One reader of results takes far longer than they come: nobody else feels it, and it sees them
/// all in the end.
async fn slow_reader(trial: &Trial<'_>) -> anyhow::Result<()> {
    let harness = trial.harness;
    // What the load itself needs is there before the memory is looked at.
    trial.send(&trial.usual_load()).await?;
    trial.expect(trial.answered().await, "not everything is answered");
    let first = trial.main.generator.total();
    let topic = results_of(Book::Main).to_owned();
    let config = kafka::client(&harness.endpoints.kafka);
    let mut reader = Reader::new(config, &[topic], From::End).await?;
    let (seen, slow) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(1)));
    let (codec, counter, pace) = (
        Arc::clone(&harness.codec),
        Arc::clone(&seen),
        Arc::clone(&slow),
    );
    let follow = tokio::spawn(async move {
        loop {
            if let Ok(Next::Record(_)) = reader.next(&codec).await {
                counter.fetch_add(1, Ordering::Relaxed);
                if pace.load(Ordering::Relaxed) > 0 {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    let before = harness.fleet_mb().await;
    trial.fault();
    trial.send(&trial.usual_load()).await?;
    trial.healed();
    trial.expect(trial.answered().await, "a slow reader holds up the others");
    let all = trial.main.generator.total() - first;
    let lag = all.saturating_sub(seen.load(Ordering::Relaxed));
    trial.figure("slow_reader_lag", lag as f64);
    let after = harness.fleet_mb().await;
    trial.figure("handlers_mb_before", before);
    trial.figure("handlers_mb_after", after);
    trial.expect(
        after - before < GROWTH,
        "the handlers' memory grows with a slow reader",
    );
    slow.store(0, Ordering::Relaxed);
    let all = until(LIMIT, || async {
        seen.load(Ordering::Relaxed) >= trial.main.generator.total() - first
    });
    trial.expect(all.await, "the slow reader does not see everything");
    follow.abort();
    Ok(())
}

/// HTTP clients that send byte by byte, that read no answer, and that wait for what never comes.
async fn slow_clients(trial: &Trial<'_>) -> anyhow::Result<()> {
    let gateway = Gateway::start(trial.harness, MAX_WAITING).await?;
    let memory = || gateway.process.memory().unwrap_or_default() as f64 / 1e6;
    let mut random = trial.harness.random();
    // The first requests look up what later ones know.
    latency(&gateway, &mut random).await?;
    let before = latency(&gateway, &mut random).await?;
    let memory_before = memory();

    trial.fault();
    let mut slow = JoinSet::new();
    for _ in 0..CLIENTS {
        slow.spawn(dribble(
            gateway.address,
            b"POST /v1/topics/ledger/a HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        ));
        slow.spawn(dribble(
            gateway.address,
            b"POST /v1/topics/ledger/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
        ));
        slow.spawn(read_nothing(gateway.address));
    }
    // No relay runs: what is sent to the foreign ledger has no result.
    let send = async |key: String, wait: u64| gateway.book(Book::Foreign, &key, wait).await;
    let waiting = async {
        loop {
            join_all((0..WAITING).map(|number| send(format!("waiting.{number}"), 60))).await;
        }
    };
    let (mut memory_during, mut during) = (memory_before, before);
    let (mut refused, mut others) = (0, 0);
    let measure = async {
        during = latency(&gateway, &mut random).await?;
        memory_during = memory();
        // More than may wait: some have to wait in vain, the others are refused.
        let more = (0..MAX_WAITING).map(|number| send(format!("more.{number}"), 10));
        for answer in join_all(more).await {
            match answer?.0 {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => refused += 1,
                StatusCode::ACCEPTED => {}
                _ => others += 1,
            }
        }
        memory_during = memory_during.max(memory());
        anyhow::Ok(())
    };
    tokio::select! {
        () = waiting => {}
        measured = measure => measured?,
    }
    slow.shutdown().await;
    trial.healed();
    let after = latency(&gateway, &mut random).await?;

    trial.figure("gateway_mb_before", memory_before);
    trial.figure("gateway_mb_during", memory_during);
    trial.figure("http_p50_ms_before", before.0);
    trial.figure("http_p50_ms_during", during.0);
    trial.figure("http_p99_ms_before", before.1);
    trial.figure("http_p99_ms_during", during.1);
    trial.figure("refused", f64::from(refused));
    trial.expect(
        memory_during - memory_before < GROWTH,
        "the gateway's memory grows with slow clients",
    );
    let limit = HARMED_MS + HARMED_TIMES * before.1.max(after.1);
    trial.expect(during.1 < limit, "slow clients hold up the others");
    trial.expect(refused > 0, "more requests wait than may");
    trial.expect(
        others == 0,
        "a request beyond the limit is not refused with 503 or 429",
    );
    gateway.process.end(Signal::SIGTERM).await
}

/// p50 and p99 in milliseconds of single requests, 50 a second.
async fn latency(gateway: &Gateway, random: &mut Random) -> anyhow::Result<(f64, f64)> {
    let mut times = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..200 {
        ticks.tick().await;
        let key = format!("latency.{:x}", random.next());
        let (status, time) = gateway.book(Book::Main, &key, 60).await?;
        anyhow::ensure!(status == StatusCode::OK, "the gateway answers {status}");
        times.push(time.as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], times[(times.len() - 1) * 99 / 100]))
}

/// Sends the beginning of a request, and then a byte now and again, until the gateway has enough.
async fn dribble(gateway: std::net::SocketAddr, beginning: &'static [u8]) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.write_all(beginning).await?;
    loop {
        sleep(Duration::from_millis(500)).await;
        stream.write_all(b"x").await?;
    }
}

/// Sends request after request and reads no answer; holds the connection.
async fn read_nothing(gateway: std::net::SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway).await?;
    for _ in 0..UNREAD {
        stream
            .write_all(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
    }
    std::future::pending().await
}
