//! Thirty expensive calls of three priorities want the ten slots.

use millstream_schemas::expensive_calls::{CallCompleted, ExpensiveCall};
use millstream_topics::ExpensiveCalls;

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let mut calls = Vec::new();
    for number in 0..30 {
        let call = ExpensiveCall {
            left: number,
            right: 1,
            priority: i32::try_from(number % 3)? + 1,
        };
        let (request, meta) = (run.key(&format!("request{number}")), run.meta());
        run.send::<ExpensiveCalls>(&request, call, &meta).await?;
        calls.push((number + 1, meta));
    }
    for (sum, meta) in &calls {
        let answer: CallCompleted = run.result_of(meta).await?.event()?;
        run.expect("a sum", answer.result, *sum);
    }
    Ok(())
}
