//! The fulfilment of a paid order: reserve, await the approval, ship, wait for the delivery.
//!
//! Whatever goes wrong, what was done is undone in reverse, and the result names it.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::code::{self, Failure};
use millstream_pipeline::compensations::Compensations;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::step::{StepError, StepResult};
use millstream_pipeline::workflow::Flow;
use millstream_schemas::inventory::{ReleaseInventory, ReserveInventory};
use millstream_schemas::order_approvals::ApprovalRecorded;
use millstream_schemas::orders::{FulfilOrder, OrderFulfilled, OrderRejected};
use millstream_schemas::shipments::{CancelShipment, InitiateShipment};
use millstream_topics::{Inventory, OrderApprovals, Orders, OrdersResult, Shipments};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Settings, check_items};

/// An administrator rejected the order.
pub const ORDER_NOT_APPROVED: &str = "order-not-approved";
/// No administrator decided about the order in time.
pub const APPROVAL_TIMED_OUT: &str = "approval-timed-out";
/// The order was decided otherwise before.
pub const ORDER_ALREADY_DECIDED: &str = "order-already-decided";
/// The order was rejected before anybody decided about it.
pub const ORDER_CLOSED: &str = "order-closed";

/// Name of the compensation of a reservation.
pub const RELEASE_INVENTORY: &str = "release-inventory";
/// Name of the compensation of a shipment.
pub const CANCEL_SHIPMENT: &str = "cancel-shipment";

/// The promise that an administrator's decision completes.
const APPROVAL: &str = "approval";
/// How long a service of ours may take.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

/// The workflow. Its key is the order id.
pub struct OrderFulfillment {
    service: Service,
    approval_deadline: Duration,
    delivery_wait: Duration,
}

impl OrderFulfillment {
    /// The workflow on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service("OrderFulfillment"),
            approval_deadline: settings.approval_deadline,
            delivery_wait: settings.delivery_wait,
        }
    }
}

/// How far an order is, for people.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "SCREAMING_SNAKE_CASE")]
enum Progress {
    AwaitingApproval,
    Shipping,
    Delivering,
    Fulfilled,
    Rejected { reason: String },
}

/// What the promise holds: the first decision, which no later one changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    verdict: Verdict,
    /// When it was made, in microseconds since 1970-01-01 UTC.
    at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Verdict {
    Approved,
    Rejected,
    /// The workflow ended without anybody's decision.
    Closed,
}

impl Decision {
    /// An administrator's, recorded at this time in milliseconds.
    pub fn of(approved: bool, recorded_ms: i64) -> Self {
        let verdict = match approved {
            true => Verdict::Approved,
            false => Verdict::Rejected,
        };
        Self {
            verdict,
            at: recorded_ms.saturating_mul(1000),
        }
    }

    fn closed(at: i64) -> Self {
        let verdict = Verdict::Closed;
        Self { verdict, at }
    }

    fn to_bytes(self) -> Bytes {
        // Texts and a number are always JSON.
        serde_json::to_vec(&self).unwrap_or_default().into()
    }

    /// Decoded here and not by the SDK, which would try for ever what cannot be decoded.
    fn from_bytes(bytes: &Bytes) -> Result<Self, Failure> {
        serde_json::from_slice(bytes)
            .map_err(|error| Failure::new(code::HANDLER_FAILED, format!("approval: {error}")))
    }

    /// Whether the order may be shipped.
    fn allows(self) -> Result<(), Failure> {
        match self.verdict {
            Verdict::Approved => Ok(()),
            Verdict::Rejected => Err(Failure::new(
                ORDER_NOT_APPROVED,
                "an administrator rejected the order",
            )),
            Verdict::Closed => Err(Failure::new(
                APPROVAL_TIMED_OUT,
                "no administrator decided about the order in time",
            )),
        }
    }

    /// What whoever decides like `asked` is told when this is the decision that counts.
    fn answer(self, asked: Self) -> Result<ApprovalRecorded, Failure> {
        match self.verdict {
            Verdict::Closed => Err(Failure::new(
                ORDER_CLOSED,
                "the order was rejected before anybody decided about it; see its result",
            )),
            counts if counts != asked.verdict => Err(Failure::new(
                ORDER_ALREADY_DECIDED,
                "the order was decided otherwise before; the first decision counts",
            )),
            counts => Ok(ApprovalRecorded {
                approved: counts == Verdict::Approved,
            }),
        }
    }
}

impl OrderFulfillment {
    /// The way of an order that nothing stops. What it did is in `undo` when something does.
    async fn fulfil(
        &self,
        ctx: &WorkflowContext<'_>,
        flow: &Flow<'_, Orders>,
        undo: &mut Compensations,
    ) -> StepResult<()> {
        let (steps, order) = (flow.steps(), ctx.key());
        let items = flow.event.items.clone();

        let reserve = ReserveInventory {
            items: items.clone(),
        };
        let reserved = steps
            .request::<Inventory>(order, reserve, STEP_DEADLINE)
            .await;
        undo.after::<Inventory, _>(reserved, RELEASE_INVENTORY, order, ReleaseInventory {})?;

        flow.show(&Progress::AwaitingApproval)?;
        let decision = self.decision(ctx, flow.recorded_ms()).await?;
        steps.happened(decision.at);
        decision.allows()?;

        flow.show(&Progress::Shipping)?;
        let ship = InitiateShipment { items };
        let shipped = steps.request::<Shipments>(order, ship, STEP_DEADLINE).await;
        undo.after::<Shipments, _>(shipped, CANCEL_SHIPMENT, order, CancelShipment {})?;

        flow.show(&Progress::Delivering)?;
        steps.sleep(self.delivery_wait).await
    }

    /// The administrator's decision, or the end of the time for it.
    async fn decision(&self, ctx: &WorkflowContext<'_>, recorded_ms: i64) -> StepResult<Decision> {
        restate_sdk::select! {
            decision = ctx.promise::<Bytes>(APPROVAL) => Ok(Decision::from_bytes(&decision?)?),
            slept = ctx.sleep(self.approval_deadline) => {
                slept?;
                let waited = i64::try_from(self.approval_deadline.as_micros()).unwrap_or(i64::MAX);
                let at = recorded_ms.saturating_mul(1000).saturating_add(waited);
                // A decision that is made at this very moment may be the first.
                ctx.resolve_promise(APPROVAL, Decision::closed(at).to_bytes());
                Ok(Decision::from_bytes(&ctx.promise(APPROVAL).await?)?)
            }
        }
    }
}

/// Refuses an order that nobody can fulfil.
fn check(order: &FulfilOrder) -> Result<(), Failure> {
    if order.user_id.is_empty() {
        return Err(Failure::invalid_request(
            "user_id is empty; say whose order it is",
        ));
    }
    check_items(&order.items)
}

#[restate_sdk::workflow(workflow_completion_retention = "30d")]
impl OrderFulfillment {
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, record: Bytes) -> HandlerResult<Bytes> {
        let flow = self.service.run::<Orders>(&ctx, record).await?;
        if let Err(failure) = check(&flow.event) {
            return flow.finish(Err::<OrdersResult, _>(failure.into())).await;
        }
        let mut undo = Compensations::new();
        let failure = match self.fulfil(&ctx, &flow, &mut undo).await {
            Ok(()) => {
                flow.show(&Progress::Fulfilled)?;
                return flow.finish(Ok(OrderFulfilled {})).await;
            }
            Err(StepError::Failed(failure)) => failure,
            Err(StepError::Attempt(error)) => return Err(error),
        };
        // Nobody is told that a decision counts which comes from now on.
        let closed = Decision::closed(flow.recorded_ms().saturating_mul(1000));
        ctx.resolve_promise(APPROVAL, closed.to_bytes());
        let compensations = match undo.run(&flow.steps()).await {
            Ok(compensations) => compensations,
            Err(error) => return flow.finish(Err::<OrdersResult, _>(error)).await,
        };
        let reason = failure.to_string();
        flow.show(&Progress::Rejected {
            reason: reason.clone(),
        })?;
        let result: StepResult<OrdersResult> = match &*failure.code {
            code::CANCELLED => Err(failure.into()),
            _ => Ok(OrderRejected {
                reason,
                compensations,
            }
            .into()),
        };
        flow.finish(result).await
    }

    /// Handles `orders`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: SharedWorkflowContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.service.start::<Orders>(&ctx, record).await
    }

    /// Handles `order-approvals`. The order need not have come yet.
    #[handler(name = "onApproval")]
    async fn on_approval(
        &self,
        ctx: SharedWorkflowContext<'_>,
        record: Bytes,
    ) -> HandlerResult<()> {
        let received = self.service.receive_shared::<OrderApprovals>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        let asked = Decision::of(turn.event.approved, turn.recorded_ms());
        ctx.resolve_promise(APPROVAL, asked.to_bytes());
        let counts = ctx.promise::<Bytes>(APPROVAL).await;
        let counts = counts.map_err(StepError::from);
        let answer = counts.and_then(|counts| Ok(Decision::from_bytes(&counts)?.answer(asked)?));
        turn.finish(answer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_763_686_800_000;

    #[test]
    fn the_first_decision_counts() {
        let (yes, no) = (Decision::of(true, AT), Decision::of(false, AT));
        assert_eq!(yes.answer(yes), Ok(ApprovalRecorded { approved: true }));
        assert_eq!(no.answer(no), Ok(ApprovalRecorded { approved: false }));
        assert_eq!(yes.answer(no).unwrap_err().code, ORDER_ALREADY_DECIDED);
        assert_eq!(no.answer(yes).unwrap_err().code, ORDER_ALREADY_DECIDED);
        let closed = Decision::closed(AT * 1000);
        assert_eq!(closed.answer(yes).unwrap_err().code, ORDER_CLOSED);
        assert_eq!(closed.answer(no).unwrap_err().code, ORDER_CLOSED);
    }

    #[test]
    fn only_approval_lets_an_order_go() {
        assert_eq!(Decision::of(true, AT).allows(), Ok(()));
        let rejected = Decision::of(false, AT).allows().unwrap_err();
        assert_eq!(rejected.code, ORDER_NOT_APPROVED);
        let closed = Decision::closed(AT).allows().unwrap_err();
        assert_eq!(closed.code, APPROVAL_TIMED_OUT);
    }

    #[test]
    fn a_decision_survives_its_bytes() {
        let decision = Decision::of(true, AT);
        assert_eq!(Decision::from_bytes(&decision.to_bytes()), Ok(decision));
        assert!(Decision::from_bytes(&Bytes::from_static(b"true")).is_err());
    }

    #[test]
    fn an_order_has_an_owner_and_items() {
        assert!(check(&FulfilOrder::default()).is_err());
        let order = FulfilOrder {
            user_id: "user".into(),
            items: vec!["laptop".into()],
        };
        assert_eq!(check(&order), Ok(()));
        assert!(
            check(&FulfilOrder {
                items: vec![],
                ..order
            })
            .is_err()
        );
    }
}
