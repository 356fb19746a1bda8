//! The ledger's handlers, as any application would write them.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::events::Topic;
use millstream_pipeline::lane::batch::topics::Limits;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::{Pipeline, Service};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::catalogue::{self, ledger, ledger_batch, ledger_foreign, ledger_stuck};
use super::event::{ABORT, POISON, next_chain};

/// Name of the first ledger's service.
pub const LEDGER: &str = "Ledger";
/// Name of the service of the ledger in the batch lane.
pub const LEDGER_BATCH: &str = "LedgerBatch";
/// Name of the second ledger's service.
pub const LEDGER_STUCK: &str = "LedgerStuck";
/// Name of the third ledger's service.
pub const LEDGER_FOREIGN: &str = "LedgerForeign";

/// What a ledger knows of one key.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Entries booked.
    #[serde(default)]
    pub count: i64,
    /// Digest over their ids.
    #[serde(default)]
    pub chain: String,
}

impl Account {
    /// Books the event with this id.
    pub fn book(&mut self, id: &str, payload: &[u8]) {
        self.count += 1;
        self.chain = next_chain(&self.chain, id);
        #[expect(
            clippy::panic,
            reason = "what a faulty handler does is part of the suite"
        )]
        match payload.first() {
            Some(&POISON) => panic!("a poisonous payload"),
            Some(&ABORT) => std::process::abort(),
            _ => {}
        }
    }
}

/// A ledger, which takes its time: an attempt that thinks can be killed, paused and overtaken.
pub struct Ledger {
    service: Service,
    think: Duration,
}

impl Ledger {
    /// The first ledger.
    pub fn new(pipeline: &Pipeline, think: Duration) -> Self {
        let service = pipeline.service(LEDGER);
        Self { service, think }
    }
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl Ledger {
    /// Handles `ledger`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let turn = self
            .service
            .receive::<catalogue::Ledger, Account>(&ctx, record);
        let Some(turn) = turn.await? else {
            return Ok(());
        };
        tokio::time::sleep(self.think).await;
        let id = turn.meta().id.clone();
        turn.decide(|account, entry: <catalogue::Ledger as Topic>::Event| {
            account.book(&id, &entry.payload);
            Ok(ledger::LedgerBooked {
                in_seq: entry.in_seq,
                count: account.count,
                chain: account.chain.clone(),
            })
        })
        .await
    }
}

/// Of so many entries the batch ledger leaves one unanswered, if it is to.
const OMITTED: i64 = 5;

/// How long after one transaction of the batch ledger the next begins: with the suite's few events a
/// second most would have one event otherwise, and faults are to hit those with several.
const INTERVAL: Duration = Duration::from_millis(400);

/// The ledger in the batch lane. `omits`: it makes a mistake that the suite must find.
pub fn ledger_batch(pipeline: &Pipeline, omits: bool) -> Decider {
    pipeline
        .decider(LEDGER_BATCH)
        .limits(Limits {
            interval: INTERVAL,
            ..Limits::default()
        })
        .on_with::<catalogue::LedgerBatch, _>(
            move |account: &mut Account, entry: ledger_batch::LedgerEntry, outputs| {
                account.book(&outputs.meta().id, &entry.payload);
                let is_omitted = omits && entry.in_seq % OMITTED == 0;
                Ok((!is_omitted).then(|| ledger_batch::LedgerBooked {
                    in_seq: entry.in_seq,
                    count: account.count,
                    chain: account.chain.clone(),
                }))
            },
        )
}

/// The second ledger.
pub struct LedgerStuck(Service);

impl LedgerStuck {
    /// The second ledger.
    pub fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service(LEDGER_STUCK))
    }
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl LedgerStuck {
    /// Handles `ledger-stuck`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let turn = self
            .0
            .receive::<catalogue::LedgerStuck, Account>(&ctx, record);
        let Some(turn) = turn.await? else {
            return Ok(());
        };
        let id = turn.meta().id.clone();
        turn.decide(|account, entry: <catalogue::LedgerStuck as Topic>::Event| {
            account.book(&id, &entry.payload);
            Ok(ledger_stuck::LedgerBooked {
                in_seq: entry.in_seq,
                count: account.count,
                chain: account.chain.clone(),
            })
        })
        .await
    }
}

/// The third ledger.
pub struct LedgerForeign(Service);

impl LedgerForeign {
    /// The third ledger.
    pub fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service(LEDGER_FOREIGN))
    }
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl LedgerForeign {
    /// Handles `ledger-foreign`, of which it sees what the guard lets through.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let turn = self
            .0
            .receive::<catalogue::LedgerForeign, Account>(&ctx, record);
        let Some(turn) = turn.await? else {
            return Ok(());
        };
        let id = turn.meta().id.clone();
        turn.decide(
            |account, entry: <catalogue::LedgerForeign as Topic>::Event| {
                account.book(&id, &entry.payload);
                Ok(ledger_foreign::LedgerBooked {
                    in_seq: entry.in_seq,
                    count: account.count,
                    chain: account.chain.clone(),
                })
            },
        )
        .await
    }
}

/// Offered by the second version of the handlers only.
pub struct LedgerExtra;

#[restate_sdk::object]
impl LedgerExtra {
    /// Does nothing.
    #[handler(name = "nothing")]
    async fn nothing(&self, _ctx: ObjectContext<'_>) -> HandlerResult<()> {
        Ok(())
    }
}
