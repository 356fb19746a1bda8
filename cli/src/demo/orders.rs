//! Orders: one is fulfilled, the carrier rejects one, an administrator another, and one is not paid.

use millstream_handlers::orders::RELEASE_INVENTORY;
use millstream_pipeline::events::RequestFailed;
use millstream_schemas::order_approvals::{ApprovalRecorded, ApproveOrder};
use millstream_schemas::orders::{OrderFulfilled, OrderRejected};
use millstream_schemas::user_sessions::{AddItem, BasketUpdated, Checkout, CheckoutCompleted};
use millstream_topics::{OrderApprovals, Orders, UserSessions};

use super::Run;
use crate::stand_ins::{ProviderControl, Word};

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let provider = ProviderControl::of(&run.endpoints)?;
    let user = run.key("user-456");

    let order = run.key("order-123");
    add(run, &user, "laptop").await?;
    for what in ["the order", "the order again"] {
        let completed: CheckoutCompleted = checkout(run, &user, &order).await?;
        run.expect(what, completed.order_id, order.clone());
    }
    approve(run, &order, true).await?;
    run.result_for::<Orders>(&order)
        .await?
        .event::<OrderFulfilled>()?;
    run.expect(
        "payments of the order that was checked out twice",
        provider.payments(&order).await?.transactions.len(),
        1,
    );

    for (order, approved, reason) in [
        ("FAIL_SHIP", true, "shipment-rejected"),
        ("order-789", false, "order-not-approved"),
    ] {
        let order = run.key(order);
        add(run, &user, "laptop").await?;
        checkout::<CheckoutCompleted>(run, &user, &order).await?;
        approve(run, &order, approved).await?;
        let rejected: OrderRejected = run.result_for::<Orders>(&order).await?.event()?;
        run.expect(
            "the reason",
            rejected.reason.split(':').next(),
            Some(reason),
        );
        run.expect(
            "what was undone",
            rejected.compensations,
            vec![RELEASE_INVENTORY.to_owned()],
        );
    }

    let order = run.key("order-456");
    let reason = "insufficient-funds";
    provider.says(&order, Word::Reject(reason.into())).await?;
    add(run, &user, "laptop").await?;
    let refused: RequestFailed = checkout(run, &user, &order).await?;
    run.expect("the rejected payment", refused.code.as_str(), reason);
    provider.says(&order, Word::Confirm).await?;
    checkout::<CheckoutCompleted>(run, &user, &order).await?;
    Ok(())
}

async fn add(run: &mut Run, user: &str, item: &str) -> anyhow::Result<()> {
    let item = item.to_owned();
    let meta = run.meta_of(user);
    run.request_with::<UserSessions, BasketUpdated>(user, AddItem { item }, &meta)
        .await?;
    Ok(())
}

async fn checkout<R: millstream_pipeline::events::Event>(
    run: &mut Run,
    user: &str,
    order: &str,
) -> anyhow::Result<R> {
    let order_id = order.to_owned();
    let meta = run.meta_of(user);
    run.request_with::<UserSessions, R>(user, Checkout { order_id }, &meta)
        .await
}

async fn approve(run: &mut Run, order: &str, approved: bool) -> anyhow::Result<()> {
    run.request::<OrderApprovals, ApprovalRecorded>(order, ApproveOrder { approved })
        .await?;
    Ok(())
}
