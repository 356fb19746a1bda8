//! Timers that handlers set: delayed tasks, and reminders.

use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::Topic;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::digest::derived_id;
use millstream_schemas::invoice_events::{PaymentFailed, PaymentSucceeded};
use millstream_schemas::task_executions::ExecuteTask;
use millstream_schemas::tasks::SubmitTask;
use millstream_topics::{InvoiceEvents, TOPICS, TaskExecutions, Tasks};

use super::{pending, state};
use crate::faults::ledger::records;
use crate::support::{LIMIT, client, endpoints, many_events_permit, unique, until};

/// The events of a topic with this key.
async fn events<T: Topic>(key: &str) -> Vec<Seen> {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let mut all = records(endpoints(), &codec, T::DECLARATION.name).await;
    all.retain(|seen| seen.key.as_deref() == Some(key));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timers_event_is_dated_when_it_is_due() {
    const DELAY_MS: i64 = 1500;
    let client = client().await;
    let task = unique("task");
    let submit = SubmitTask {
        description: "a".into(),
        delay_ms: Some(DELAY_MS),
    };
    let meta = client.meta();
    client
        .send::<Tasks>(&task, submit, Some(&meta))
        .await
        .unwrap();
    client.result_of(&meta, LIMIT).await.unwrap();

    let submitted = events::<Tasks>(&task).await;
    let fired = events::<TaskExecutions>(&task).await;
    assert_eq!(fired.len(), 1);
    let due_ms = submitted[0].timestamp + DELAY_MS;
    assert!(
        fired[0].timestamp >= due_ms,
        "{} of {due_ms}",
        fired[0].timestamp
    );
    assert_eq!(fired[0].event::<ExecuteTask>().unwrap().attempt, 1);
    let event = fired[0].meta.clone().unwrap();
    assert_eq!(event.time, due_ms * 1000);
    assert_eq!(event.id, derived_id(&meta.id, "TaskQueue/onEvent", 0));
    assert_eq!(event.source, format!("TaskQueue/{task}"));
    assert_eq!(event.causation_id, Some(meta.id));
    assert_eq!(event.correlation_id, meta.correlation_id);
    assert_eq!((event.seq, event.epoch), (None, None));
    assert_eq!(fired[0].header("ce_id"), Some(event.id.as_str()));
    // Without a name there is nothing to take back, so nothing is kept.
    let name = format!("TaskQueue/{task}/{}", event.id);
    state(endpoints(), &name, |entry| entry.is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_timer_leaves_nothing_behind() {
    let client = client().await;
    let invoice = unique("invoice");
    let name = format!("PaymentTracker/{invoice}/reminder");
    let (customer, created) = ("customer1".to_owned(), 1);
    let failed = PaymentFailed { customer, created };
    let paid = PaymentSucceeded {
        customer: failed.customer.clone(),
        created: 2,
    };
    let sent = client.send::<InvoiceEvents>(&invoice, failed, None);
    sent.await.unwrap();
    state(endpoints(), &name, |entry| entry.is_some()).await;
    let sent = client.send::<InvoiceEvents>(&invoice, paid, None);
    sent.await.unwrap();
    state(endpoints(), &name, |entry| entry.is_none()).await;
    // Its message to itself comes when the timer was due, and does nothing.
    until("the end of the timer", async || {
        (pending(endpoints(), &name).await == 0).then_some(())
    })
    .await;
    state(endpoints(), &name, |entry| entry.is_none()).await;
}

/// All at once: none is lost among many, and none comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn many_timers_of_one_moment() {
    let _permit = many_events_permit().await;
    const COUNT: usize = 200;
    let client = client().await;
    let tasks: Vec<_> = (0..COUNT).map(|_| unique("task")).collect();
    let metas: Vec<_> = tasks.iter().map(|_| client.meta()).collect();
    for (task, meta) in tasks.iter().zip(&metas) {
        let submit = SubmitTask {
            description: "a".into(),
            delay_ms: Some(1000),
        };
        client
            .send::<Tasks>(task, submit, Some(meta))
            .await
            .unwrap();
    }
    for meta in &metas {
        client.result_of(meta, LIMIT).await.unwrap();
    }
    tokio::time::timeout(LIMIT, async {
        for task in &tasks[..10] {
            assert_eq!(events::<TaskExecutions>(task).await.len(), 1);
        }
    })
    .await
    .unwrap();
    for meta in &metas {
        let answers = client.seen(|seen| {
            seen.meta.as_ref().and_then(|it| it.causation_id.as_ref()) == Some(&meta.id)
        });
        assert_eq!(answers.len(), 1);
    }
}
