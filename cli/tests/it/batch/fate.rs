//! The handlers of a service in the batch lane: each event of a batch has a fate of its own.

use millstream_pipeline::events::{EventMeta, Topic};
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::kafka::reader::{From, Next, Reader, Seen};
use millstream_pipeline::lane::batch::handlers::Handlers as Deciding;
use millstream_pipeline::lane::batch::shard::{Ended, Shard};
use millstream_pipeline::lane::batch::topics::Topics;
use millstream_pipeline::record::{Record, partition};
use millstream_pipeline::service::Pipeline;
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use serde::{Deserialize, Serialize};

use super::{PREFIX, config};
use crate::leased_topic;
use crate::support::leased::with_own;
use crate::support::{Bench, Raw, endpoints, failure, letter_code};

leased_topic!(Leased, "test-leased", "test-leased-results", "TestLeased");

#[derive(Default, Serialize, Deserialize)]
struct Reserved {
    by: Option<String>,
}

/// As a handler of the event lane would have it.
fn reserve(state: &mut Reserved, event: ReserveProduct) -> Result<ProductReserved, Failure> {
    let id = event.reservation_id;
    assert!(id != "panic", "an event that its handler does not like");
    if id.is_empty() {
        state.by = Some("nobody".into());
        return Err(Failure::invalid_request("say who reserves"));
    }
    let reserved = *state.by.get_or_insert_with(|| id.clone()) == id;
    Ok(ProductReserved {
        reservation_id: id,
        reserved,
    })
}

pub(super) async fn read_all(topic: &str, codec: &millstream_pipeline::codec::Codec) -> Vec<Seen> {
    let topics = [topic.to_owned()];
    let mut reader = Reader::new(config(), &topics, From::Beginning)
        .await
        .unwrap();
    let mut all = Vec::new();
    while let Next::Record(seen) = reader.next(codec).await.unwrap() {
        all.push(*seen);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_batch_has_its_own_fate() {
    let declared = Leased::DECLARATION;
    let applied = millstream_control::Settings {
        prefix: PREFIX.into(),
        ..millstream_control::Settings::default()
    };
    let topics = with_own("test-leased", &[declared]);
    // Nobody serves it, so work orders have no handler.
    let made = [declared, topics[2]];
    let plan = millstream_control::plan(&made, endpoints(), &applied)
        .await
        .unwrap();
    millstream_control::apply(&plan, endpoints(), |_| {})
        .await
        .unwrap();
    let pipeline = Pipeline::new(endpoints(), &topics, PREFIX).unwrap();
    let decider = pipeline.decider("TestLeased");
    let decider = decider.on::<Leased, Reserved>(reserve);
    let place = decider.settings().unwrap().place(0);
    let deciding = Deciding::of(decider);

    let bench = Bench::new(endpoints()).await;
    let keys = |at| {
        let mut names = (0..).map(|number| format!("product{number}"));
        names
            .find(|key| partition::of_key(key.as_bytes(), 2) == at)
            .unwrap()
    };
    let (own, other) = (keys(0), keys(1));
    let event_with = async |id: &str, meta: EventMeta| {
        let reservation_id = id.to_owned();
        let event = ReserveProduct { reservation_id };
        bench.value(&event, Some(&meta)).await
    };
    let event = async |id: &str| event_with(id, bench.client.meta()).await;
    // Whatever it is answered is too large: its answer has this twice.
    let unanswerable = async |id: &str| {
        let correlation_id = "c".repeat(600_000);
        let meta = EventMeta {
            correlation_id,
            ..bench.client.meta()
        };
        event_with(id, meta).await
    };
    let (first, copy) = (event("first").await, event("copy").await);
    for (key, value) in [
        (&own, first),
        (&own, b"no event".to_vec()),
        (&own, event("panic").await),
        (&own, event("").await),
        (&own, copy.clone()),
        (&other, event("elsewhere").await),
        (&own, copy),
        (&own, unanswerable("first").await),
        (&own, unanswerable("").await),
        (&own, event("first").await),
        // Nothing is kept under it: the shard's position is.
        (&String::new(), event("first").await),
    ] {
        let raw = Raw {
            topic: declared.name,
            key,
            value: &value,
            timestamp: None,
            partition: Some(0),
        };
        raw.send(endpoints()).await;
    }
    // Handlers are told of none of its parts.
    let mut keys = (0..=u8::MAX).map(|byte| vec![0xff, byte]);
    let strange = Record {
        topic: declared.name.into(),
        key: keys.find(|key| partition::of_key(key, 2) == 0),
        value: None,
        headers: vec![
            ("own".into(), Some(vec![0xff, 0].into())),
            ("own".into(), None),
        ],
    };
    bench.client.send_raw(&strange).await.unwrap();
    let (shard, topics) = (Shard::default(), Topics::new(config(), place));
    let ended = shard.lease(&topics, &deciding, 0, || false).await;
    assert_eq!(ended.unwrap(), Ended::Idle);

    let results = read_all("test-leased-results", &bench.codec).await;
    let (ours, others): (Vec<_>, Vec<_>) = results
        .iter()
        .partition(|seen| seen.key.as_deref() == Some(own.as_str()));
    let said: Vec<_> = ours
        .iter()
        .map(|seen| match seen.event::<ProductReserved>() {
            Ok(result) => format!("{} {}", result.reservation_id, result.reserved),
            Err(_) => failure(seen),
        })
        .collect();
    let expected = [
        "first true",
        failure::HANDLER_FAILED,
        failure::INVALID_REQUEST,
        "copy false",
        "first true",
    ];
    assert_eq!(said, expected, "a copy of an event is passed over");
    let numbers: Vec<_> = ours
        .iter()
        .map(|seen| seen.meta.as_ref().unwrap().seq)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5].map(Some));
    let [elsewhere] = &others[..] else {
        panic!("{others:?}");
    };
    assert_eq!(failure(elsewhere), failure::WRONG_PARTITION);
    assert_eq!(elsewhere.meta.as_ref().unwrap().seq, None);
    let letters = read_all("test-leased-dlq", &bench.codec).await;
    let codes: Vec<_> = letters.iter().map(letter_code).collect();
    let expected = [
        failure::UNDECODABLE,
        failure::HANDLER_FAILED,
        failure::WRONG_PARTITION,
        // Both that could not be answered.
        failure::HANDLER_FAILED,
        failure::HANDLER_FAILED,
        failure::INVALID_KEY,
        failure::INVALID_KEY,
    ];
    assert_eq!(codes, expected);
    let kept = letters.last().unwrap();
    assert_eq!((&kept.raw_key, &kept.value), (&strange.key, &strange.value));
    assert_eq!(kept.raw_headers[..2], strange.headers);
    assert_eq!(shard.keys(), 1);
}
