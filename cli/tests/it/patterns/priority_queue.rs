//! The priority queue: so many calls at once, the most urgent first.

use futures::future::join_all;
use millstream_pipeline::client::Client;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::expensive_calls::{CallCompleted, ExpensiveCall};
use millstream_schemas::priority_queue::{Enqueue, Release, SlotGranted};
use millstream_topics::{ExpensiveCalls, PriorityQueue, TOPICS};

use crate::faults::ledger::records;
use crate::support::{LIMIT, client, endpoints, failure, sql, unique, until};

/// What the shared stack is set to.
const SLOTS: i64 = 10;

fn call(left: i64, right: i64, priority: i32) -> ExpensiveCall {
    ExpensiveCall {
        left,
        right,
        priority,
    }
}

async fn enqueue(
    client: &Client,
    queue: &str,
    (ticket, priority): (&str, i32),
    hold_ms: Option<i64>,
) -> EventMeta {
    let meta = client.meta();
    let enqueue = Enqueue {
        ticket: ticket.into(),
        priority,
        hold_ms,
    };
    let sent = client.send::<PriorityQueue>(queue, enqueue, Some(&meta));
    sent.await.unwrap();
    meta
}

async fn release(client: &Client, queue: &str, ticket: &str) {
    let ticket = ticket.to_owned();
    let sent = client.send::<PriorityQueue>(queue, Release { ticket }, None);
    sent.await.unwrap();
}

async fn granted(client: &Client, meta: &EventMeta) -> SlotGranted {
    let answer = client.result_of(meta, LIMIT).await.unwrap();
    answer.event().unwrap()
}

/// Grants of a queue so far.
fn grants(client: &Client, queue: &str) -> usize {
    let is_grant = |seen: &Seen| {
        seen.key.as_deref() == Some(queue)
            && seen.full_name.as_deref() == Some("millstream.priority_queue.SlotGranted")
    };
    client.seen(is_grant).len()
}

/// All events of a topic.
async fn events<T: Topic>() -> Vec<Seen> {
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    records(endpoints(), &codec, T::DECLARATION.name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_urgent_first_and_among_equals_the_first_come() {
    let client = client().await;
    let queue = unique("queue");
    for n in 1..=SLOTS {
        let meta = enqueue(&client, &queue, (&format!("first{n}"), 50), None).await;
        let slot = granted(&client, &meta).await;
        assert_eq!((slot.number, i64::from(slot.in_flight)), (n, n));
    }
    let mut waiting = Vec::new();
    for (ticket, priority) in [("a", 5), ("b", 1), ("c", 5), ("d", 100), ("e", 1)] {
        waiting.push((
            ticket,
            enqueue(&client, &queue, (ticket, priority), None).await,
        ));
    }
    // Handled after them: it is refused at once, and they still wait.
    let known = enqueue(&client, &queue, ("a", 1), None).await;
    let refused = client.result_of(&known, LIMIT).await.unwrap();
    assert_eq!(failure(&refused), "invalid-request");
    assert_eq!(grants(&client, &queue), 10);
    for n in 1..=5 {
        release(&client, &queue, &format!("first{n}")).await;
    }
    let mut order = Vec::new();
    for (ticket, meta) in &waiting {
        let slot = granted(&client, meta).await;
        assert!(i64::from(slot.in_flight) <= SLOTS);
        order.push((slot.number, *ticket));
    }
    order.sort_unstable();
    assert_eq!(
        order,
        [(11, "b"), (12, "e"), (13, "a"), (14, "c"), (15, "d")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_freed_at_its_deadline() {
    let client = client().await;
    let queue = unique("queue");
    for n in 1..=SLOTS {
        let meta = enqueue(&client, &queue, (&format!("gone{n}"), 50), Some(1500)).await;
        granted(&client, &meta).await;
    }
    let next = enqueue(&client, &queue, ("next", 50), None).await;
    assert_eq!(granted(&client, &next).await.number, SLOTS + 1);
    // Its holder was only slow.
    release(&client, &queue, "gone1").await;
    let state = until("the other deadlines", async || {
        let entries = sql::state(endpoints(), "PriorityQueue", &queue).await;
        let state = &entries.first()?.1;
        (state["in_flight"].as_array()?.len() == 1).then(|| state.clone())
    })
    .await;
    assert_eq!(state["in_flight"][0], "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_no_longer_waits() {
    let client = client().await;
    let queue = unique("queue");
    for n in 1..=SLOTS {
        enqueue(&client, &queue, (&format!("first{n}"), 50), None).await;
    }
    let gives_up = enqueue(&client, &queue, ("gives up", 1), None).await;
    let stays = enqueue(&client, &queue, ("stays", 2), None).await;
    release(&client, &queue, "gives up").await;
    let told = client.result_of(&gives_up, LIMIT).await.unwrap();
    assert_eq!(failure(&told), "cancelled");
    release(&client, &queue, "first1").await;
    assert_eq!(granted(&client, &stays).await.number, SLOTS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_and_only_so_many_run_at_once() {
    let client = client().await;
    let calls = (0..40).map(|n| {
        let client = &client;
        async move {
            let call = call(n, 1, i32::try_from(n).unwrap() % 3 + 1);
            let request = unique("call");
            let answer = client.request::<ExpensiveCalls>(&request, call, LIMIT);
            let result: CallCompleted = answer.await.unwrap().event().unwrap();
            assert_eq!(result.result, n + 1);
        }
    });
    join_all(calls).await;
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();
    let replies = records(endpoints(), &codec, "replies").await;
    let held = replies
        .iter()
        .filter_map(|seen| seen.event::<SlotGranted>().ok())
        .map(|slot| slot.in_flight);
    assert_eq!(
        held.max(),
        Some(10),
        "the calls did compete, and no more were let in"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_stands_for_one_call() {
    let client = client().await;
    let request = unique("call");
    let ask = async |call| {
        let meta = client.meta();
        let answer = client.request_with::<ExpensiveCalls>(&request, call, meta.clone(), LIMIT);
        (answer.await.unwrap(), meta)
    };
    let (first, asked) = ask(call(1, 2, 1)).await;
    assert_eq!(first.event::<CallCompleted>().unwrap().result, 3);
    let (again, repeated) = ask(call(1, 2, 7)).await;
    assert_eq!(again.event::<CallCompleted>().unwrap().result, 3);
    let (other, _) = ask(call(2, 2, 1)).await;
    assert_eq!(failure(&other), "idempotency-mismatch");
    let queued: Vec<_> = events::<PriorityQueue>().await;
    let caused_by = |meta: &EventMeta| {
        let caused = |seen: &&Seen| {
            seen.event::<Enqueue>().is_ok()
                && seen.meta.as_ref().and_then(|it| it.causation_id.as_ref()) == Some(&meta.id)
        };
        queued.iter().filter(caused).count()
    };
    assert_eq!((caused_by(&asked), caused_by(&repeated)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_calls_are_refused_and_take_no_slot() {
    let client = client().await;
    let request = unique("call");
    for bad in [
        call(1, 2, 0),
        call(1, 2, -1),
        call(1, 2, 101),
        call(1, 2, i32::MAX),
        call(i64::MAX, 1, 1),
    ] {
        let meta = client.meta();
        let answer = client.request_with::<ExpensiveCalls>(&request, bad, meta.clone(), LIMIT);
        assert_eq!(failure(&answer.await.unwrap()), "invalid-request");
        let caused = events::<PriorityQueue>().await.into_iter().filter(|seen| {
            seen.meta.as_ref().map(|it| &it.correlation_id) == Some(&meta.correlation_id)
        });
        assert_eq!(caused.count(), 0);
    }
    let entries = sql::settled_state(endpoints(), "ExpensiveCalls", &request).await;
    assert!(entries[0].1.get("done").is_none(), "{entries:?}");
}
