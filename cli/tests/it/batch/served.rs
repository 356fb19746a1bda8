//! A service of the batch lane as an author has it: bound like any other, and served by processes that
//! come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use millstream_control::Change;
use millstream_devstack::Ports;
use millstream_pipeline::client::Client;
use millstream_pipeline::events::{
    Access, Cleanup, Declaration, Event, EventDeclaration, Lane, ResultTopic, Subscription, Topic,
    WorkDue,
};
use millstream_pipeline::failure::Failure;
use millstream_pipeline::serve::{Handlers, ServeError};
use millstream_pipeline::service::Pipeline;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fate::read_all;
use crate::support::{Bench, LIMIT, endpoints, until};

/// Not one that others use on the same stack.
const PREFIX: &str = "test-served";
const SERVICE: &str = "TestServed";

/// A topic in the batch lane, of a service that no catalogue has.
struct Served;

impl Topic for Served {
    const DECLARATION: &'static Declaration = &Declaration {
        name: "test-served",
        partitions: 2,
        subscriptions: &[Subscription {
            service: SERVICE,
            handler: "onEvent",
        }],
        results: match &ProductReservations::DECLARATION.results {
            Some(results) => Some(ResultTopic {
                name: "test-served-results",
                ..*results
            }),
            None => None,
        },
        lane: Lane::Batch,
        http: &[],
        ..*ProductReservations::DECLARATION
    };
    type Event = ReserveProduct;
    type Result = ProductReserved;
}

/// What codegen adds for the service.
const WORK: &Declaration = &Declaration {
    name: "test-served-work",
    key: "partition",
    partitions: 2,
    subscriptions: &[Subscription {
        service: SERVICE,
        handler: "work",
    }],
    events: &[EventDeclaration {
        full_name: "millstream.WorkDue",
        results: &[],
        schema: <WorkDue as Event>::schema,
    }],
    results: None,
    dead_letters: false,
    access: Access::Library,
    http: &[],
    ..*ProductReservations::DECLARATION
};

/// As above.
const STATES: &Declaration = &Declaration {
    name: "test-served-state",
    partitions: 2,
    subscriptions: &[],
    events: &[],
    results: None,
    dead_letters: false,
    cleanup: Cleanup::Compact,
    access: Access::Library,
    http: &[],
    ..*ProductReservations::DECLARATION
};

const TOPICS: &[&Declaration] = &[Served::DECLARATION, WORK, STATES];

#[derive(Default, Serialize, Deserialize)]
struct Counted {
    count: usize,
}

fn count(state: &mut Counted, _: ReserveProduct) -> Result<ProductReserved, Failure> {
    state.count += 1;
    Ok(ProductReserved {
        reservation_id: state.count.to_string(),
        reserved: true,
    })
}

/// A process that serves it: a runtime of its own, with which everything ends that it has left.
struct Process {
    runtime: Runtime,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Process {
    /// At this address.
    async fn start(address: SocketAddr) -> Self {
        let runtime = Runtime::new().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = runtime.spawn(async move {
            let pipeline = Pipeline::new(endpoints(), TOPICS, PREFIX).unwrap();
            let decider = pipeline.decider(SERVICE);
            let services = Endpoint::builder().bind(decider.on::<Served, Counted>(count));
            let handlers = Handlers::unsigned(&pipeline, services);
            handlers.serve(address, stopped).await
        });
        until("the handlers' port", || async move {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self {
            runtime,
            stop,
            serving,
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
        self.runtime.shutdown_background();
    }
}

/// Tells Restate that this address serves it, and answers what had to be done.
async fn apply(address: SocketAddr) -> Vec<Change> {
    let settings = millstream_control::Settings {
        prefix: PREFIX.into(),
        handlers: Some(format!("http://{address}")),
        ..millstream_control::Settings::default()
    };
    let plan = millstream_control::plan(TOPICS, endpoints(), &settings)
        .await
        .unwrap();
    millstream_control::apply(&plan, endpoints(), |_| {})
        .await
        .unwrap();
    plan.changes
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_hand_shards_over_when_they_stop_and_each_event_is_decided_once() {
    let address = || SocketAddr::from(([127, 0, 0, 1], Ports::choose(&[]).unwrap().handlers));
    let (old, new) = (address(), address());
    let first = Process::start(old).await;
    let made = apply(old).await;
    let text = format!("{made:?}");
    for topic in ["test-served-work", "test-served-state"] {
        assert!(text.contains(topic), "{text}");
    }
    assert_eq!(apply(old).await, [], "nothing is left to do");

    let client = Arc::new(Client::new(endpoints(), TOPICS, "test").await.unwrap());
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
    let second = Process::start(new).await;
    apply(new).await;
    more("results with two processes").await;
    first.stop().await;
    more("results of the second process").await;
    // A restart.
    second.stop().await;
    let third = Process::start(new).await;
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
