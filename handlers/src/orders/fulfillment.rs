//! The fulfilment of a paid order: reserve, await the approval, ship, wait for the delivery.
//!
//! Whatever goes wrong, what was done is undone in reverse, and the result names it.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::lane::workflow::Flow;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::compensations::Compensations;
use millstream_pipeline::steps::{StepError, StepResult};
use millstream_schemas::inventory::{ReleaseInventory, ReserveInventory};
use millstream_schemas::orders::{FulfilOrder, OrderFulfilled, OrderRejected};
use millstream_schemas::shipments::{CancelShipment, InitiateShipment};
use millstream_topics::{Inventory, OrderApprovals, Orders, OrdersResult, Shipments, TOPICS};
use restate_sdk::prelude::*;
use serde::Serialize;

use super::approval::Decision;
use super::{Settings, check_items};

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
            service: pipeline.service(service_name!(OrderFulfillment in TOPICS)),
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
            failure::CANCELLED => Err(failure.into()),
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
