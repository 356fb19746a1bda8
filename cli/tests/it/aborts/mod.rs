//! A record whose handling ends the process: it becomes a dead letter, and everything else goes on.

mod handlers;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use millstream_devstack::Ports;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::Topic;
use millstream_pipeline::failure;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};

use crate::support::{LIMIT, endpoints, failure, letter_code, unique};
use handlers::{Aborting, AbortingBatch, AbortingService, PROCESS};

/// The handlers in a process that is started again whenever it ends.
struct Restarted {
    deaths: Arc<AtomicU32>,
    restarting: tokio::task::JoinHandle<()>,
}

impl Restarted {
    fn start(port: u16, marks: &std::path::Path) -> Self {
        let task = serde_json::json!({ "endpoints": endpoints(), "port": port, "marks": marks });
        let deaths = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&deaths);
        let restarting = tokio::spawn(async move {
            loop {
                let mut process = Process::start(&task.to_string());
                while process.0.try_wait().unwrap().is_none() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { deaths, restarting }
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.restarting.abort();
    }
}

/// Killed when dropped.
struct Process(Child);

impl Process {
    fn start(task: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "aborts::handlers_process",
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(PROCESS, task)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test: the handlers as a process that can end.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by other tests"]
async fn handlers_process() {
    if let Ok(task) = std::env::var(PROCESS) {
        handlers::serve(&serde_json::from_str(&task).unwrap()).await;
    }
}

fn reservation(id: &str) -> ReserveProduct {
    ReserveProduct {
        reservation_id: id.into(),
    }
}

async fn aborts_alone<T>(client: &Client)
where
    T: Topic<Event = ReserveProduct, Result = ProductReserved>,
{
    let topic = T::DECLARATION.name;
    let bad = unique("bad");
    let meta = client.meta();
    let at = client.send::<T>(&bad, reservation("abort"), Some(&meta));
    let at = at.await.unwrap();
    let others = (0..20).map(async |_| {
        let key = unique("other");
        let answer = client.request::<T>(&key, reservation("r"), LIMIT);
        assert!(
            answer
                .await
                .unwrap()
                .event::<ProductReserved>()
                .unwrap()
                .reserved
        );
    });
    join_all(others).await;
    let answer = client.result_of(&meta, LIMIT).await.unwrap();
    assert_eq!(failure(&answer), failure::HANDLER_CRASHED, "{topic}");
    let letters = client.seen(|seen| seen.topic == format!("{topic}-dlq"));
    assert_eq!(letters.len(), 1, "nobody else is blamed: {letters:?}");
    assert_eq!(letter_code(&letters[0]), failure::HANDLER_CRASHED);
    assert_eq!(letters[0].raw_key.as_deref(), Some(bad.as_bytes()));
    let offset = letters[0].header("__connect.errors.offset");
    assert_eq!(offset, Some(at.1.to_string().as_str()));
    // Its key goes on, too.
    let answer = client.request::<T>(&bad, reservation("r"), LIMIT);
    assert!(
        answer
            .await
            .unwrap()
            .event::<ProductReserved>()
            .unwrap()
            .reserved
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_ends_the_process_becomes_a_dead_letter() {
    let marks = tempfile::tempdir().unwrap();
    let port = Ports::choose(&[]).unwrap().handlers;
    let restarted = Restarted::start(port, marks.path());
    let declarations = handlers::declarations();
    handlers::apply(endpoints(), port, &declarations).await;
    let client = Client::new(endpoints(), &declarations, "test")
        .await
        .unwrap();
    aborts_alone::<Aborting>(&client).await;
    aborts_alone::<AbortingService>(&client).await;
    let deaths = restarted.deaths.load(Ordering::Relaxed);
    assert!((6..=12).contains(&deaths), "{deaths} deaths");
    aborts_alone::<AbortingBatch>(&client).await;
    let deaths = restarted.deaths.load(Ordering::Relaxed) - deaths;
    assert!((4..=7).contains(&deaths), "{deaths} deaths");
}
