//! Two projects, each with a service that asks another one and sets a timer.

use std::time::Duration;

use bytes::Bytes;
use millstream_control::{Plan, Settings, apply, plan};
use millstream_devstack::Ports;
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{
    Declaration, DlqStatus, Replies, ResultTopic, Subscription, Timers, Topic,
};
use millstream_pipeline::serve::Handlers;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_schemas::task_executions::ExecuteTask;
use millstream_topics::{ProductReservations, TaskExecutions};
use restate_sdk::endpoint::Builder;
use restate_sdk::prelude::*;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{LIMIT, unique, until};

/// After this time what was ordered is told of once more.
const LATER: Duration = Duration::from_millis(100);

/// A project: its topics, the library's among them, its services, and what both are called.
pub struct Project {
    pub prefix: &'static str,
    pub later: &'static Declaration,
    pub topics: &'static [&'static Declaration],
    pub services: fn(&Pipeline) -> Builder,
    pub request: fn(&Client, String) -> BoxFuture<'_, bool>,
}

type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Asks `S` for what was ordered on `O`, and tells of it on `L` later.
async fn order<O, S, L>(service: &Service, ctx: &Context<'_>, record: Bytes) -> HandlerResult<()>
where
    O: Topic<Event = ReserveProduct, Result = ProductReserved>,
    S: Topic<Event = ReserveProduct, Result = ProductReserved>,
    L: Topic<Event = ExecuteTask>,
{
    let Some(mut turn) = service.receive_in_service::<O>(ctx, record).await? else {
        return Ok(());
    };
    let key = turn.outputs().key().to_owned();
    let event = turn.event.clone();
    let reserved = turn.steps().request::<S>(&key, event, LIMIT).await;
    let told = turn.outputs().emit::<L>(key, ExecuteTask { attempt: 1 });
    told.after(LATER);
    turn.finish(reserved).await
}

macro_rules! project {
    ($project:ident, $prefix:literal, $orders:ident, $stock:ident) => {
        pub mod $project {
            use super::*;

            const fn of_reservations(
                name: &'static str,
                results: &'static str,
                subscriptions: &'static [Subscription],
            ) -> Declaration {
                Declaration {
                    name,
                    subscriptions,
                    results: match &ProductReservations::DECLARATION.results {
                        Some(of) => Some(ResultTopic {
                            name: results,
                            ..*of
                        }),
                        None => None,
                    },
                    partitions: 2,
                    http: &[],
                    ..*ProductReservations::DECLARATION
                }
            }

            pub struct Orders;
            impl Topic for Orders {
                const DECLARATION: &'static Declaration = &of_reservations(
                    concat!($prefix, "-orders"),
                    concat!($prefix, "-orders-results"),
                    &[Subscription {
                        service: stringify!($orders),
                        handler: "onEvent",
                    }],
                );
                type Event = ReserveProduct;
                type Result = ProductReserved;
            }

            pub struct Stock;
            impl Topic for Stock {
                const DECLARATION: &'static Declaration = &of_reservations(
                    concat!($prefix, "-stock"),
                    concat!($prefix, "-stock-results"),
                    &[Subscription {
                        service: stringify!($stock),
                        handler: "onEvent",
                    }],
                );
                type Event = ReserveProduct;
                type Result = ProductReserved;
            }

            pub struct Later;
            impl Topic for Later {
                const DECLARATION: &'static Declaration = &Declaration {
                    name: concat!($prefix, "-later"),
                    subscriptions: &[],
                    results: None,
                    dead_letters: false,
                    http: &[],
                    ..*TaskExecutions::DECLARATION
                };
                type Event = ExecuteTask;
                type Result = ();
            }

            struct $orders(Service);

            #[restate_sdk::service]
            impl $orders {
                #[handler(name = "onEvent")]
                async fn on_event(&self, ctx: Context<'_>, record: Bytes) -> HandlerResult<()> {
                    order::<Orders, Stock, Later>(&self.0, &ctx, record).await
                }
            }

            struct $stock(Service);

            #[restate_sdk::object]
            impl $stock {
                #[handler(name = "onEvent")]
                async fn on_event(
                    &self,
                    ctx: ObjectContext<'_>,
                    record: Bytes,
                ) -> HandlerResult<()> {
                    let reserve = |(): &mut (), event: ReserveProduct| {
                        Ok(ProductReserved {
                            reservation_id: event.reservation_id,
                            reserved: true,
                        })
                    };
                    self.0.handle::<Stock, _>(&ctx, record, reserve).await
                }
            }

            pub const PROJECT: Project = Project {
                prefix: $prefix,
                later: Later::DECLARATION,
                topics: &[
                    DlqStatus::DECLARATION,
                    Later::DECLARATION,
                    Orders::DECLARATION,
                    Replies::DECLARATION,
                    Stock::DECLARATION,
                    Timers::DECLARATION,
                ],
                services: |pipeline| {
                    pipeline
                        .endpoint()
                        .bind($orders(pipeline.service(stringify!($orders))))
                        .bind($stock(pipeline.service(stringify!($stock))))
                },
                request: |client, key| {
                    let event = ReserveProduct {
                        reservation_id: "r1".into(),
                    };
                    Box::pin(async move {
                        let asked = client.request::<Orders>(&key, event, LIMIT);
                        asked
                            .await
                            .unwrap()
                            .event::<ProductReserved>()
                            .unwrap()
                            .reserved
                    })
                },
            };
        }
    };
}

project!(north, "test-north", NorthOrders, NorthStock);
project!(south, "test-south", SouthOrders, SouthStock);

/// A project's handlers, as one process serves them.
pub struct Served {
    pub port: u16,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Project {
    /// Serves the handlers at a port of their own.
    pub async fn serve(&self, endpoints: &Endpoints) -> Served {
        let port = Ports::choose(&[]).unwrap().handlers;
        self.serve_at(endpoints, port).await
    }

    /// Serves them at this port.
    pub async fn serve_at(&self, endpoints: &Endpoints, port: u16) -> Served {
        let pipeline = Pipeline::new(endpoints, self.topics, self.prefix).unwrap();
        let services = (self.services)(&pipeline);
        let keys = endpoints.identity_key.as_slice();
        let handlers = Handlers::signed_by(&pipeline, services, keys).unwrap();
        let stop = CancellationToken::new();
        let (stopped, address) = (
            stop.clone().cancelled_owned(),
            ([127, 0, 0, 1], port).into(),
        );
        let serving = tokio::spawn(async move {
            handlers.serve(address, stopped).await.unwrap();
        });
        until("the handlers' port", async || {
            let there = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
            there.ok()
        })
        .await;
        Served {
            port,
            stop,
            serving,
        }
    }

    /// What applying the project's declarations with these handlers would do.
    pub async fn plan(&self, endpoints: &Endpoints, served: &Served, take_over: bool) -> Plan {
        let settings = Settings {
            prefix: self.prefix.into(),
            cluster: self.prefix.into(),
            handlers: Some(served.url()),
            take_over,
            ..Settings::default()
        };
        plan(self.topics, endpoints, &settings).await.unwrap()
    }

    /// Does it; what was done, in words.
    pub async fn apply(&self, endpoints: &Endpoints, served: &Served, take_over: bool) -> String {
        let plan = self.plan(endpoints, served, take_over).await;
        apply(&plan, endpoints, |_| {}).await.unwrap();
        plan.to_string()
    }

    /// Orders something: the service asks another one, and its timer fires.
    pub async fn works(&self, client: &Client) {
        let key = unique("order");
        assert!((self.request)(client, key.clone()).await);
        let what = format!("what {} tells later", self.prefix);
        let told = client.wait_for(&what, LIMIT, |seen| {
            seen.topic == self.later.name && seen.key.as_deref() == Some(&key)
        });
        told.await.unwrap();
    }
}

impl Served {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the process; its port.
    pub async fn end(self) -> u16 {
        self.stop.cancel();
        self.serving.await.unwrap();
        self.port
    }
}
