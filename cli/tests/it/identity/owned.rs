//! A topic that takes only events whose sender is proven, and its handler, in the test's process.

use bytes::Bytes;
use millstream_control::{Settings, apply, plan};
use millstream_devstack::Ports;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Identity, ResultTopic, Subscription, Topic};
use millstream_pipeline::identity::{Proofs, Signer, SigningKey, TrustedKeys};
use millstream_pipeline::serve::Handlers;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_schemas::user_sessions::{AddItem, BasketUpdated};
use millstream_topics::{UserSessions, UserSessionsEvent, UserSessionsResult};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// Not one that others use on the same stack.
const PREFIX: &str = "test-owned";

/// The topic: events of `user-sessions`, none without a proof.
pub struct Owned;

impl Topic for Owned {
    const DECLARATION: &'static Declaration = &Declaration {
        name: "test-owned",
        subscriptions: &[Subscription {
            service: "TestOwned",
            handler: "onEvent",
        }],
        results: match &UserSessions::DECLARATION.results {
            Some(results) => Some(ResultTopic {
                name: "test-owned-results",
                ..*results
            }),
            None => None,
        },
        identity: Identity::Required,
        http: &[],
        ..*UserSessions::DECLARATION
    };
    type Event = UserSessionsEvent;
    type Result = UserSessionsResult;
}

/// Items, each after the name of who put it there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Basket {
    #[serde(default)]
    items: Vec<String>,
}

struct TestOwned(Service);

#[restate_sdk::object]
impl TestOwned {
    /// Adds an item; the item `to <user>` goes into that user's own basket as well.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.0.receive::<Owned, Basket>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        if let Err(failure) = turn.owned_by(ctx.key()) {
            return turn.fail(failure).await;
        }
        let principal = turn.meta().principal.clone().unwrap_or_default();
        turn.decide_with(|basket, event, outputs| {
            let UserSessionsEvent::AddItem(AddItem { item }) = event else {
                return Ok(None);
            };
            if let Some(user) = item.strip_prefix("to ") {
                let item = "gift".to_owned();
                outputs.emit::<UserSessions>(user, AddItem { item });
            }
            basket.items.push(format!("{principal}: {item}"));
            let items = basket.items.clone();
            Ok(Some(BasketUpdated { items }.into()))
        })
        .await
    }
}

/// Serves the handler and applies the topic. The handlers sign with this key.
pub async fn serve(endpoints: &Endpoints, signing: SigningKey, trusted: TrustedKeys) {
    let declarations = [Owned::DECLARATION, UserSessions::DECLARATION];
    let proofs = Proofs {
        signer: Some(Signer::new(signing)),
        trusted,
        anonymous: false,
    };
    let pipeline = Pipeline::with_proofs(endpoints, &declarations, PREFIX, proofs).unwrap();
    let handler = TestOwned(pipeline.service("TestOwned"));
    let handlers = Handlers::unsigned(&pipeline, Endpoint::builder().bind(handler));
    let port = Ports::choose(&[]).unwrap().handlers;
    let address = ([127, 0, 0, 1], port).into();
    tokio::spawn(handlers.serve(address, std::future::pending()));
    let settings = Settings {
        prefix: PREFIX.into(),
        handlers: Some(format!("http://127.0.0.1:{port}")),
        ..Settings::default()
    };
    let plan = plan(&[Owned::DECLARATION], endpoints, &settings).await;
    apply(&plan.unwrap(), endpoints, |_| {}).await.unwrap();
}
