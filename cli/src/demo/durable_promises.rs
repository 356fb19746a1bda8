//! Two await a promise before it is completed and one after; a later completion changes nothing.

use millstream_schemas::durable_promises::{
    AwaitPromise, PeekPromise, PromiseState, RejectPromise, ResolvePromise, Status,
};
use millstream_topics::DurablePromises;

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let promise = run.key("promise1");
    let waiting = [run.meta(), run.meta()];
    for meta in &waiting {
        run.send::<DurablePromises>(&promise, AwaitPromise {}, meta)
            .await?;
    }
    let peeked: PromiseState = run
        .request::<DurablePromises, _>(&promise, PeekPromise {})
        .await?;
    run.expect("the promise at first", peeked.status, Status::Pending);

    let value = "This promise will notify everyone".to_owned();
    let expected = PromiseState {
        status: Status::Resolved,
        value: Some(value.clone()),
        message: None,
    };
    let resolved: PromiseState = run
        .request::<DurablePromises, _>(&promise, ResolvePromise { value })
        .await?;
    run.expect("who completes it", resolved, expected.clone());
    for meta in &waiting {
        let told = run.result_of(meta).await?.event::<PromiseState>()?;
        run.expect("who awaited it before", told, expected.clone());
    }
    let message = "too late".to_owned();
    let rejected: PromiseState = run
        .request::<DurablePromises, _>(&promise, RejectPromise { message })
        .await?;
    run.expect("who rejects it later", rejected, expected.clone());
    let told: PromiseState = run
        .request::<DurablePromises, _>(&promise, AwaitPromise {})
        .await?;
    run.expect("who awaits it later", told, expected);

    let other = run.key("promise2");
    let waiting = run.meta();
    run.send::<DurablePromises>(&other, AwaitPromise {}, &waiting)
        .await?;
    let message = "Oh dear, rejected".to_owned();
    run.request::<DurablePromises, PromiseState>(&other, RejectPromise { message })
        .await?;
    let told = run.result_of(&waiting).await?.event::<PromiseState>()?;
    run.expect(
        "the reason of a rejection",
        told.message.as_deref(),
        Some("Oh dear, rejected"),
    );
    Ok(())
}
