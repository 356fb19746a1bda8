use millstream_events::{Event, EventMeta, RequestFailed, Tombstones};
use millstream_schemas::product_reservations::{ProductReserved, ReserveProduct};
use millstream_topics::{ProductReservations, TOPICS};
use serde::{Deserialize, Serialize};

use super::*;
use crate::codec::{Decoded, Digested, EncodedBody, Need, Payload, join};
use crate::failure::{self, Failure};
use crate::process::outputs::Outputs;
use crate::record::source_offset::SourceOffset;

/// A codec that knows the ids of these schemas.
fn codec(known: &[&'static millstream_events::EventSchema]) -> Codec {
    let codec = Codec::new("http://127.0.0.1:1", TOPICS).unwrap();
    for (id, schema) in (1..).zip(known) {
        codec.insert(schema, id).unwrap();
    }
    codec
}

fn warm() -> Codec {
    let (asked, told) = (ReserveProduct::schema(), ProductReserved::schema());
    codec(&[asked, told, RequestFailed::schema()])
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Product {
    #[serde(default)]
    owners: Vec<String>,
}

fn reserve(
    product: &mut Product,
    request: ReserveProduct,
    outputs: &mut Outputs,
) -> Result<Option<ProductReserved>, Failure> {
    let id = request.reservation_id;
    product.owners.push(id.clone());
    if id.starts_with("emits") {
        for event in ["e1", "e2"] {
            outputs.emit::<ProductReservations>("p", reservation(event));
        }
    }
    if id.starts_with("refused") {
        return Err(Failure::invalid_request("no"));
    }
    let (reservation_id, reserved) = (id, true);
    Ok(Some(ProductReserved {
        reservation_id,
        reserved,
    }))
}

/// A decision by a type of its own.
struct Reserves;

impl Decide<ProductReservations, Product> for &Reserves {
    fn decide(
        self,
        state: &mut Product,
        event: ReserveProduct,
        outputs: &mut Outputs,
    ) -> Result<Option<ProductReserved>, Failure> {
        reserve(state, event, outputs)
    }
}

fn reservation(id: &str) -> ReserveProduct {
    let reservation_id = id.to_owned();
    ReserveProduct { reservation_id }
}

/// The record of a command at this offset.
fn received(offset: i64, command: &str, meta: Option<&EventMeta>) -> Received {
    let body = EncodedBody::of_event(&reservation(command)).unwrap();
    Received {
        declaration: ProductReservations::DECLARATION,
        service: "ProductReservations",
        handler: "ProductReservations/onEvent".into(),
        key: "p".into(),
        position: SourceOffset {
            topic: "product-reservations".into(),
            partition: 0,
            offset,
            timestamp_ms: 1_763_686_800_000 + offset,
            taken_ms: None,
        },
        shard_epoch: 0,
        record: join(1, &body.bytes, meta).into(),
    }
}

/// What is decoded without asking anybody.
fn facts(received: &Received) -> Facts<ReserveProduct> {
    let value = &received.record;
    let writer = crate::codec::WriterSchema::parse(1, ReserveProduct::schema().json).unwrap();
    let payload = Payload::new(&writer, &value[crate::record::wire::HEADER_LENGTH..]).unwrap();
    let decoded: Decoded<ReserveProduct> = payload.decode_as(value, Digested::WithKey);
    Facts {
        decoded: Ok(decoded),
        now: None,
    }
}

/// What comes of one record after the other.
struct Lane {
    codec: Codec,
    topics: HashMap<&'static str, &'static Declaration>,
    proofs: Proofs,
    object: Object<Product>,
}

impl Lane {
    fn new(codec: Codec) -> Self {
        Self {
            codec,
            topics: TOPICS.iter().map(|topic| (topic.name, *topic)).collect(),
            proofs: Proofs::default(),
            object: Object::parse(None).unwrap(),
        }
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            topics: &self.topics,
            proofs: &self.proofs,
            codec: &self.codec,
        }
    }

    fn try_take(
        &mut self,
        received: Received,
        facts: Facts<ReserveProduct>,
    ) -> Result<(Checked, Outcome), Stop> {
        let mut object = std::mem::replace(&mut self.object, Object::parse(None).unwrap());
        let done = process::<ProductReservations, _>(
            self.rules(),
            Arc::new(received),
            &mut object,
            facts,
            None,
            &Reserves,
        );
        if let Ok((_, Outcome { fields, .. })) = &done {
            object.adopt(fields.clone().unwrap());
        }
        self.object = object;
        done
    }

    fn take(&mut self, offset: i64, command: &str, meta: Option<&EventMeta>) -> Outcome {
        let received = received(offset, command, meta);
        let facts = facts(&received);
        self.try_take(received, facts).unwrap().1
    }
}

fn meta(id: &str) -> EventMeta {
    EventMeta {
        id: id.into(),
        source: "test".into(),
        time: 1,
        correlation_id: "c".into(),
        ..EventMeta::default()
    }
}

fn code(outcome: &Outcome) -> &str {
    match &outcome.code {
        Code::Ended(code) => code,
        Code::Skipped(reason) => reason,
    }
}

fn name(output: &Output) -> &str {
    output.record.header("ce_type").unwrap()
}

/// Topic and key.
fn address_of(output: &Output) -> (&str, &str) {
    let key = output.record.key.as_deref().unwrap();
    (&output.record.topic, std::str::from_utf8(key).unwrap())
}

fn seqs(outcome: &Outcome) -> Vec<(&str, i64)> {
    let each = outcome.published();
    each.filter_map(|it| Some((it.record.topic.as_str(), it.meta.seq?)))
        .collect()
}

#[test]
fn the_same_event_and_state_come_to_the_same_bytes() {
    let outcome = |codec| {
        let mut lane = Lane::new(codec);
        lane.take(0, "r1", None);
        let outcome = lane.take(1, "emits", Some(&meta("m1")));
        let records: Vec<_> = outcome.published().map(|it| &it.record).collect();
        let entry = lane.object.written().unwrap();
        (format!("{records:?}"), entry, outcome)
    };
    let (first, second) = (outcome(warm()), outcome(warm()));
    assert_eq!((&first.0, &first.1), (&second.0, &second.1));
    let outcome = first.2;
    assert_eq!(code(&outcome), "ok");
    let results = "product-reservations-results";
    let events = "product-reservations";
    assert_eq!(seqs(&outcome), [(events, 1), (events, 2), (results, 2)]);
    assert_eq!(outcome.dead_letter, None);
}

#[test]
fn a_refusal_leaves_the_state_and_numbers_go_on() {
    let mut lane = Lane::new(warm());
    lane.take(0, "r1", None);
    let refused = lane.take(1, "refused", Some(&meta("m1")));
    assert_eq!(
        (code(&refused), seqs(&refused)[0].1),
        (failure::INVALID_REQUEST, 2)
    );
    assert_eq!(
        name(refused.answer.as_ref().unwrap()),
        RequestFailed::FULL_NAME
    );
    assert_eq!(refused.dead_letter, None, "a command that was understood");
    assert_eq!(lane.object.stored.state.owners, ["r1"]);
    assert_eq!(seqs(&lane.take(2, "r2", None))[0].1, 3);
    let copy = lane.take(3, "refused", Some(&meta("m1")));
    assert_eq!(code(&copy), "duplicate-id");
    assert!(copy.fields.is_some() && copy.published().next().is_none());
}

#[test]
fn an_object_held_through_many_events_is_as_one_written_after_each() {
    let keyed = |id: &str, key: &str| EventMeta {
        idempotency_key: Some(key.into()),
        ..meta(id)
    };
    let events = [
        ("r1", keyed("m1", "a")),
        ("refused", meta("m2")),
        ("r2", keyed("m3", "a")),
        ("emits", meta("m4")),
        ("emits", meta("m4")),
        ("r1", keyed("m5", "a")),
        ("refused", keyed("m6", "b")),
        ("r4", meta("m7")),
    ];
    let come = |is_held: bool| {
        let mut lane = Lane::new(warm());
        let each = events.iter().zip(0..).map(|((command, meta), offset)| {
            let outcome = lane.take(offset, command, Some(meta));
            let entry = lane.object.written().unwrap();
            if !is_held {
                lane.object = Object::parse(entry.clone()).unwrap();
            }
            let records: Vec<_> = outcome.published().map(|it| &it.record).collect();
            format!("{records:?} {entry:?}")
        });
        each.collect::<Vec<_>>()
    };
    assert_eq!(come(true), come(false));
}

#[test]
fn what_cannot_be_published_gives_its_numbers_back() {
    let mut lane = Lane::new(warm());
    let received = received(0, "emits", Some(&meta("m1")));
    let known = facts(&received);
    let (checked, outcome) = lane.try_take(received, known).unwrap();
    assert_eq!(lane.object.stored.state.owners, ["emits"]);
    let ending = Ending {
        rules: lane.rules(),
        checked: &checked,
        numbers: Numbers::from(&checked),
    };
    for published in [0, 1] {
        // As a lane holds it that has not adopted what it cannot keep.
        let mut object = Object::<Product>::parse(None).unwrap();
        let sent = &outcome.records[..published];
        let instead = ending.unpublished(&mut object, &outcome, sent, &"too large");
        let instead = instead.unwrap();
        assert_eq!(code(&instead), failure::HANDLER_FAILED);
        assert!(instead.dead_letter.is_some() && instead.records.is_empty());
        let answer = instead.answer.as_ref().unwrap();
        assert_eq!(answer.meta.seq, Some(1), "the result was not published");
        let ids: Vec<_> = outcome.published().map(|it| &it.meta.id).collect();
        assert!(!ids.contains(&&answer.meta.id));
        assert!(object.stored.state.owners.is_empty());
        let bookkeeping = object.stored.bookkeeping.as_mut().unwrap();
        let next = i64::try_from(published).unwrap() + 1;
        assert_eq!(bookkeeping.next_seq("product-reservations"), next);
        assert!(bookkeeping.accept_id("m1", 64), "its replay is taken");
        // Nor can the sender be told: what is left is the dead letter.
        let silent = ending.unpublished(&mut object, &instead, sent, &"too large");
        let silent = silent.unwrap();
        assert_eq!(code(&silent), failure::HANDLER_FAILED);
        assert_eq!(silent.dead_letter, instead.dead_letter);
        assert!(silent.answer.is_none() && silent.records.is_empty());
        let bookkeeping = object.stored.bookkeeping.as_mut().unwrap();
        let kept = bookkeeping.next_seq("product-reservations");
        assert_eq!(kept, next, "what was published keeps its number");
    }
}

#[test]
fn what_is_not_known_is_asked_for_and_nothing_has_changed() {
    let mut lane = Lane::new(codec(&[ReserveProduct::schema()]));
    let received = received(0, "r1", None);
    let known = facts(&received);
    let need = lane.try_take(received, known).unwrap_err();
    let Stop::Need(Need::Id(schema)) = need else {
        panic!("{need:?}");
    };
    assert_eq!(schema.full_name, ProductReserved::FULL_NAME);
    assert!(lane.object.stored.bookkeeping.is_none() && lane.object.stored.state.owners.is_empty());
    lane.codec.insert(schema, 2).unwrap();
    assert_eq!(code(&lane.take(0, "r1", None)), "ok");
}

#[test]
fn a_key_is_answered_again_with_the_same_body() {
    let mut lane = Lane::new(warm());
    let keyed = |id: &str| EventMeta {
        idempotency_key: Some("k".into()),
        ..meta(id)
    };
    let first = lane.take(0, "r1", Some(&keyed("m1")));
    let again = lane.take(1, "r1", Some(&keyed("m2")));
    let (first, answer) = (first.answer.unwrap(), again.answer.unwrap());
    assert!(again.is_repeated && answer.meta.seq == Some(2));
    assert_eq!(answer.meta.original_id, Some(first.meta.id));
    assert_eq!(name(&answer), ProductReserved::FULL_NAME);
    let other = lane.take(2, "r2", Some(&keyed("m3")));
    assert_eq!(code(&other), failure::IDEMPOTENCY_MISMATCH);
    assert_eq!(lane.object.stored.state.owners, ["r1"]);
}

#[test]
fn what_is_checked_before_anybody_decides() {
    let checked = |meta: EventMeta, now: Option<Result<i64, Failure>>| {
        let mut lane = Lane::new(warm());
        let received = received(0, "r1", Some(&meta));
        let known = Facts {
            now,
            ..facts(&received)
        };
        let wants = known.want_time(&received);
        let outcome = lane.try_take(received, known).unwrap().1;
        (wants, code(&outcome).to_owned(), outcome)
    };
    let until = |expires_at| EventMeta {
        expires_at: Some(expires_at),
        ..meta("m1")
    };
    assert_eq!(checked(until(5), Some(Ok(5))).1, "ok");
    let (wants, late, _) = checked(until(5), Some(Ok(6)));
    assert!(wants && late == failure::EXPIRED);
    let gone = Failure::new(failure::CANCELLED, "");
    assert_eq!(checked(until(5), Some(Err(gone))).1, failure::CANCELLED);
    let early = EventMeta {
        not_before: Some(1),
        ..until(5)
    };
    let (wants, early, _) = checked(early, None);
    assert!(!wants && early == failure::INVALID_REQUEST);
    let elsewhere = EventMeta {
        reply_to: Some("orders".into()),
        reply_key: Some("other".into()),
        ..meta("m1")
    };
    let (_, elsewhere, outcome) = checked(elsewhere, None);
    assert_eq!(elsewhere, failure::INVALID_REPLY_TO);
    let answer = outcome.answer.unwrap();
    assert_eq!(address_of(&answer), ("product-reservations-results", "p"));
    let replied = EventMeta {
        reply_to: Some("replies".into()),
        reply_key: Some("other".into()),
        ..meta("m1")
    };
    let answer = checked(replied, None).2.answer.unwrap();
    assert_eq!(address_of(&answer), ("replies", "other"));
    assert_eq!(answer.meta.seq, None, "another key's");
}

#[test]
fn a_null_value_is_what_its_topic_says() {
    let null = |declaration, key: &str| {
        let mut lane = Lane::new(warm());
        let received = Received {
            declaration,
            key: key.into(),
            record: Default::default(),
            ..received(0, "r1", None)
        };
        let undecodable = Failure::new(failure::UNDECODABLE, "no bytes");
        let facts = Facts {
            decoded: received
                .is_to_be_read()
                .and(Err(Unread::Refused(undecodable))),
            now: None,
        };
        lane.try_take(received, facts).unwrap().1
    };
    let declared = ProductReservations::DECLARATION;
    let letter = null(declared, "key");
    assert_eq!(code(&letter), failure::UNDECODABLE);
    assert!(letter.dead_letter.is_some() && letter.answer.is_none());
    assert_eq!(code(&null(declared, "")), failure::INVALID_KEY);
    let skipping = Box::leak(Box::new(Declaration {
        tombstones: Tombstones::Skip,
        ..declared.clone()
    }));
    for key in ["key", ""] {
        let outcome = null(skipping, key);
        assert_eq!(
            outcome.code,
            Code::Skipped(crate::observe::metrics::TOMBSTONE),
            "{key:?}"
        );
    }
}

#[test]
fn what_is_left_empty_is_filled_and_the_rest_is_kept() {
    let received = received(2, "r1", None);
    let empty = EventMeta {
        reply_key: Some(String::new()),
        idempotency_key: Some(String::new()),
        time: -1,
        ..EventMeta::default()
    };
    assert_eq!(filled(empty, &received), received.stand_in());
    let full = EventMeta {
        reply_to: Some("replies".into()),
        reply_key: Some("key".into()),
        idempotency_key: Some("once".into()),
        ..meta("id")
    };
    assert_eq!(filled(full.clone(), &received), full);
}
