//! Services of the batch lane that no catalogue has: their topics as codegen would declare them.

use std::net::SocketAddr;

use millstream_control::Change;
use millstream_devstack::Ports;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{
    Access, Cleanup, Declaration, Event, EventDeclaration, Lane, Subscription, WorkDue,
};
use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::serve::{Handlers, ServeError};
use millstream_pipeline::service::Pipeline;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::until;

/// A topic of reservations in the batch lane, whose name is that of its service.
#[macro_export]
macro_rules! leased_topic {
    ($(#[$about:meta])* $topic:ident, $name:literal, $results:literal, $service:expr) => {
        $(#[$about])*
        pub struct $topic;

        impl millstream_pipeline::events::Topic for $topic {
            const DECLARATION: &'static millstream_pipeline::events::Declaration = {
                use millstream_pipeline::events as events;
                use millstream_topics::ProductReservations;
                &events::Declaration {
                    name: $name,
                    partitions: 2,
                    subscriptions: &[events::Subscription {
                        service: $service,
                        handler: "onEvent",
                    }],
                    results: match &ProductReservations::DECLARATION.results {
                        Some(results) => Some(events::ResultTopic {
                            name: $results,
                            ..*results
                        }),
                        None => None,
                    },
                    lane: events::Lane::Batch,
                    http: &[],
                    ..*ProductReservations::DECLARATION
                }
            };
            type Event = millstream_schemas::product_reservations::ReserveProduct;
            type Result = millstream_schemas::product_reservations::ProductReserved;
        }
    };
}

/// The same with the topic in the batch lane.
pub fn leased(declaration: &Declaration) -> &'static Declaration {
    let lane = Lane::Batch;
    leak(Declaration {
        lane,
        ..declaration.clone()
    })
}

/// A service's topics with those that come with it: of work orders, and of states. `name` is the
/// service's in kebab case.
pub fn with_own(name: &str, topics: &[&'static Declaration]) -> Vec<&'static Declaration> {
    let first = topics[0];
    let plain = Declaration {
        events: &[],
        subscriptions: &[],
        results: None,
        dead_letters: false,
        access: Access::Library,
        http: &[],
        lane: Lane::Event,
        ..first.clone()
    };
    let subscriptions = vec![Subscription {
        service: first.subscriptions[0].service,
        handler: "work",
    }];
    let orders = Declaration {
        name: format!("{name}-work").leak(),
        key: "partition",
        subscriptions: subscriptions.leak(),
        events: &[EventDeclaration {
            full_name: "millstream.WorkDue",
            results: &[],
            schema: <WorkDue as Event>::schema,
        }],
        ..plain.clone()
    };
    let states = Declaration {
        name: format!("{name}-state").leak(),
        cleanup: Cleanup::Compact,
        ..plain
    };
    topics
        .iter()
        .copied()
        .chain([leak(orders), leak(states)])
        .collect()
}

fn leak(declaration: Declaration) -> &'static Declaration {
    Box::leak(Box::new(declaration))
}

/// How many reservations came.
#[derive(Default, Serialize, Deserialize)]
pub struct Counted {
    count: usize,
}

/// Counts reservations, and answers which one it is.
pub fn count(state: &mut Counted, _: ReserveProduct) -> Result<ProductReserved, Failure> {
    state.count += 1;
    Ok(ProductReserved {
        reservation_id: state.count.to_string(),
        reserved: true,
    })
}

/// A process that serves a service: a runtime of its own, with which everything ends that it has left.
pub struct Process {
    runtime: Runtime,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Process {
    /// At this address, with these topics and this prefix.
    pub async fn start(
        endpoints: &Endpoints,
        address: SocketAddr,
        (topics, prefix): (Vec<&'static Declaration>, &'static str),
        decider: impl FnOnce(&Pipeline) -> Decider + Send + 'static,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let stop = CancellationToken::new();
        let (stopped, endpoints) = (stop.clone().cancelled_owned(), endpoints.clone());
        let serving = runtime.spawn(async move {
            let pipeline = Pipeline::new(&endpoints, &topics, prefix).unwrap();
            let services = Endpoint::builder().bind(decider(&pipeline));
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

    /// As at SIGTERM.
    pub async fn stop(self) {
        self.stop.cancel();
        self.serving.await.unwrap().unwrap();
        self.runtime.shutdown_background();
    }
}

/// A free address.
pub fn address() -> SocketAddr {
    ([127, 0, 0, 1], Ports::choose(&[]).unwrap().handlers).into()
}

/// Tells Restate that this address serves these topics, and answers what had to be done.
pub async fn apply_at(
    endpoints: &Endpoints,
    address: SocketAddr,
    (topics, prefix): (&[&'static Declaration], &str),
) -> Vec<Change> {
    let settings = millstream_control::Settings {
        prefix: prefix.into(),
        handlers: Some(format!("http://{address}")),
        ..millstream_control::Settings::default()
    };
    let plan = millstream_control::plan(topics, endpoints, &settings)
        .await
        .unwrap();
    millstream_control::apply(&plan, endpoints, |_| {})
        .await
        .unwrap();
    plan.changes
}
