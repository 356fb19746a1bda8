//! A service of the batch lane as an author has it: bound like any other, and served by processes that
//! come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_control::Change;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::{Declaration, Topic};
use millstream_pipeline::service::Pipeline;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use tokio_util::sync::CancellationToken;

use super::fate::read_all;
use crate::leased_topic;
use crate::support::leased::{Counted, Process, address, apply_at, count, with_own};
use crate::support::{Bench, LIMIT, endpoints, until};

/// Not one that others use on the same stack.
const PREFIX: &str = "test-served";
const SERVICE: &str = "TestServed";

leased_topic!(Served, "test-served", "test-served-results", SERVICE);

/// A process that serves it.
async fn start(address: SocketAddr) -> Process {
    let decider = |pipeline: &Pipeline| {
        let decider = pipeline.decider(SERVICE);
        decider.on::<Served, Counted>(count)
    };
    Process::start(endpoints(), address, (topics(), PREFIX), decider).await
}

/// Tells Restate that this address serves it, and answers what had to be done.
async fn apply(address: SocketAddr) -> Vec<Change> {
    apply_at(endpoints(), address, (&topics(), PREFIX)).await
}

fn topics() -> Vec<&'static Declaration> {
    with_own("test-served", &[Served::DECLARATION])
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_hand_shards_over_when_they_stop_and_each_event_is_decided_once() {
    let (old, new) = (address(), address());
    let first = start(old).await;
    let made = apply(old).await;
    let text = format!("{made:?}");
    for topic in ["test-served-work", "test-served-state"] {
        assert!(text.contains(topic), "{text}");
    }
    assert_eq!(apply(old).await, [], "nothing is left to do");

    let client = Arc::new(Client::new(endpoints(), &topics(), "test").await.unwrap());
    let answered: Arc<[AtomicUsize; 4]> = Arc::default();
    let enough = CancellationToken::new();
    let asking: Vec<_> = (0..answered.len())
        .map(|number| {
            let (client, answered, enough) =
                (Arc::clone(&client), Arc::clone(&answered), enough.clone());
            tokio::spawn(async move {
                while !enough.is_cancelled() {
                    let reservation_id = "any".to_owned();
                    let event = ReserveProduct { reservation_id };
                    let key = format!("product{number}");
                    let seen = client.request::<Served>(&key, event, LIMIT).await.unwrap();
                    let result: ProductReserved = seen.event().unwrap();
                    let count = answered[number].fetch_add(1, Ordering::SeqCst) + 1;
                    assert_eq!(result.reservation_id, count.to_string());
                }
            })
        })
        .collect();
    let more = async |when: &str| {
        let before: Vec<_> = answered
            .iter()
            .map(|it| it.load(Ordering::SeqCst))
            .collect();
        until(when, async || {
            let now = answered.iter().map(|it| it.load(Ordering::SeqCst));
            let mut both = now.zip(&before);
            both.all(|(now, before)| now > before + 20).then_some(())
        })
        .await;
    };
    more("results of the first process").await;
    // An upgrade: both serve for a while, and then the old one goes.
    let second = start(new).await;
    apply(new).await;
    more("results with two processes").await;
    first.stop().await;
    more("results of the second process").await;
    // A restart.
    second.stop().await;
    let third = start(new).await;
    more("results after a restart").await;
    enough.cancel();
    for asking in asking {
        asking.await.unwrap();
    }
    third.stop().await;

    let bench = Bench::new(endpoints()).await;
    let mut seqs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for seen in read_all("test-served-results", &bench.codec).await {
        let meta = seen.meta.as_ref().unwrap();
        let seqs = seqs.entry((seen.key.clone(), meta.epoch.clone()));
        seqs.or_default().push(meta.seq.unwrap());
    }
    assert_eq!(seqs.len(), answered.len(), "one numbering each");
    let mut counts: Vec<_> = seqs.values().map(Vec::len).collect();
    for seqs in seqs.into_values() {
        let counted: Vec<_> = (1..=seqs.len() as i64).collect();
        assert_eq!(seqs, counted);
    }
    let mut expected: Vec<_> = answered
        .iter()
        .map(|it| it.load(Ordering::SeqCst))
        .collect();
    counts.sort_unstable();
    expected.sort_unstable();
    assert_eq!(counts, expected);
}
