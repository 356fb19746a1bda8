//! Handlers that end their process at an event that says so.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use millstream_control::{Settings, apply as carry_out, plan};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, ResultTopic, Subscription, Topic};
use millstream_pipeline::lane::crashes::CrashGuard;
use millstream_pipeline::serve::Handlers;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::ProductReservations;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::leased_topic;
use crate::support::leased::with_own;
use crate::support::until;

/// The variable that makes a process of this one.
pub const PROCESS: &str = "ABORTS_TEST_PROCESS";

/// Not one that others use on the same stack.
const PREFIX: &str = "test-aborts";

#[derive(Deserialize)]
pub struct Task {
    endpoints: Endpoints,
    port: u16,
    marks: PathBuf,
}

macro_rules! topic {
    ($topic:ident, $name:literal, $results:literal, $service:literal) => {
        pub struct $topic;

        impl Topic for $topic {
            const DECLARATION: &'static Declaration = &Declaration {
                name: $name,
                subscriptions: &[Subscription {
                    service: $service,
                    handler: "onEvent",
                }],
                results: match &ProductReservations::DECLARATION.results {
                    Some(results) => Some(ResultTopic {
                        name: $results,
                        ..*results
                    }),
                    None => None,
                },
                http: &[],
                ..*ProductReservations::DECLARATION
            };
            type Event = ReserveProduct;
            type Result = ProductReserved;
        }
    };
}

topic!(Aborting, "test-aborts", "test-aborts-results", "TestAborts");
topic!(
    AbortingService,
    "test-aborts-service",
    "test-aborts-service-results",
    "TestAbortsService"
);

leased_topic!(
    /// The same in the batch lane.
    AbortingBatch,
    "test-aborts-batch",
    "test-aborts-batch-results",
    "TestAbortsBatch"
);

/// All of them.
pub fn declarations() -> Vec<&'static Declaration> {
    let others = [Aborting::DECLARATION, AbortingService::DECLARATION];
    let mut all = with_own("test-aborts-batch", &[AbortingBatch::DECLARATION]);
    all.extend(others);
    all
}

fn reserve(event: ReserveProduct) -> ProductReserved {
    if event.reservation_id == "abort" {
        std::process::abort();
    }
    ProductReserved {
        reservation_id: event.reservation_id,
        reserved: true,
    }
}

/// A state without anything in it.
#[derive(Default, Serialize, Deserialize)]
struct Nothing {}

struct TestAborts(Service);

#[restate_sdk::object]
impl TestAborts {
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let decide = |(): &mut (), event| Ok(reserve(event));
        self.0.handle::<Aborting, _>(&ctx, record, decide).await
    }
}

struct TestAbortsService(Service);

/// Its journal has a step before the end: only the handler itself could repeat it.
#[restate_sdk::service]
impl TestAbortsService {
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: Context<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.0.receive_in_service::<AbortingService>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        let slept = turn.steps().sleep(Duration::from_millis(1)).await;
        let result = slept.map(|()| reserve(turn.event.clone()));
        turn.finish(result).await
    }
}

/// Serves the handlers until it ends.
pub async fn serve(task: &Task) {
    let pipeline = Pipeline::new(&task.endpoints, &declarations(), PREFIX).unwrap();
    let guard = CrashGuard::open(&task.marks, &pipeline).unwrap();
    let batch = pipeline.decider("TestAbortsBatch");
    let services = Endpoint::builder()
        .bind(batch.on::<AbortingBatch, Nothing>(|_, event| Ok(reserve(event))))
        .bind(TestAborts(pipeline.service("TestAborts")))
        .bind(TestAbortsService(pipeline.service("TestAbortsService")));
    let handlers = Handlers::unsigned(&pipeline, services).guarded_by(guard);
    let address = ([127, 0, 0, 1], task.port).into();
    let serving = handlers.serve(address, std::future::pending());
    serving.await.unwrap();
}

/// Applies the topics when the handlers are there.
pub async fn apply(endpoints: &Endpoints, port: u16, declarations: &[&'static Declaration]) {
    until("the handlers' port", || async move {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .ok()
    })
    .await;
    let settings = Settings {
        prefix: PREFIX.into(),
        handlers: Some(format!("http://127.0.0.1:{port}")),
        ..Settings::default()
    };
    let plan = plan(declarations, endpoints, &settings).await;
    carry_out(&plan.unwrap(), endpoints, |_| {}).await.unwrap();
}
