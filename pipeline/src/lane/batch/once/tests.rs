use millstream_events::{Event, EventMeta, RequestFailed, Topic};
use millstream_schemas::accounts::AccountBalance;
use millstream_topics::{Accounts, TOPICS};
use rdkafka::Timestamp;
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

use super::*;
use crate::codec::{EncodedBody, join};
use crate::config::Endpoints;
use crate::lane::batch::log::{Loaded, Position};
use crate::lane::batch::memory::Memory;
use crate::lane::batch::notes::Notes;
use crate::lane::batch::topics::Spilled;
use crate::record::partition;

/// Of the schema of balances, at no registry.
const ID: u32 = 7;
const KEY: &str = "ada";

fn publishing() -> Publishing {
    let pipeline = Pipeline::new(&Endpoints::default(), TOPICS, "shop").unwrap();
    let codec = &pipeline.shared.codec;
    codec.insert(AccountBalance::schema(), ID).unwrap();
    codec.insert(RequestFailed::schema(), ID + 1).unwrap();
    let results = Accounts::DECLARATION.results.as_ref().unwrap();
    Publishing {
        declaration: pipeline.shared.topics[results.name],
        once: results.once.unwrap(),
        sizes: Sizes::new(kafka::client("127.0.0.1:1")),
        pipeline,
    }
}

fn memory() -> Memory<Spilled> {
    Memory::new(Loaded {
        states: Spilled::new(1 << 20),
        position: Position(vec![0]),
        notes: Notes::default(),
    })
}

fn taken_from(message: OwnedMessage) -> Taken {
    Taken::whole(&message, 0, 0)
}

/// What several batches come to, one after the other.
struct Shard(Publishing, Memory<Spilled>);

impl Shard {
    async fn decide(&self, messages: Vec<OwnedMessage>) -> Vec<Record> {
        let mut states = Overlay::new(&self.1);
        let taken = messages.into_iter();
        let taken = taken.map(taken_from).collect();
        let (outputs, note) = self.0.decide(&mut states, taken).await.unwrap();
        let changes = states.into_changes().into_iter().collect();
        let at = Position(vec![0]);
        self.1.adopt(changes, at, Notes::default()).unwrap();
        self.0.committed(note);
        outputs
    }
}

fn balance(seq: Option<i64>, cents: i64) -> Vec<u8> {
    let body = EncodedBody::of_event(&AccountBalance {
        balance_cents: cents,
        accepted: true,
    });
    let meta = EventMeta {
        id: format!("id-{cents}"),
        source: format!("Accounts/{KEY}"),
        epoch: seq.map(|_| "e".into()),
        seq,
        ..EventMeta::default()
    };
    join(ID, &body.unwrap().bytes, Some(&meta))
}

fn message(key: Option<&str>, value: Option<Vec<u8>>, partition: i32) -> OwnedMessage {
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "own",
            value: Some(&[0xff][..]),
        })
        .insert(Header::<&[u8]> {
            key: "null",
            value: None,
        });
    OwnedMessage::new(
        value,
        key.map(|key| key.as_bytes().to_vec()),
        "accounts-results".into(),
        Timestamp::CreateTime(1),
        partition,
        5,
        Some(headers),
    )
}

fn of_ada(value: Vec<u8>) -> OwnedMessage {
    let partition = partition::of_key(KEY.as_bytes(), 8);
    message(Some(KEY), Some(value), partition)
}

#[tokio::test]
async fn what_is_accepted_is_published_as_it_came_and_what_was_missed_says_so() {
    let shard = Shard(publishing(), memory());
    let sent = [1, 2, 2, 4, 3, 3, 4, 5];
    let sent = sent.map(|seq| balance(Some(seq), seq));
    let mut outputs = Vec::new();
    // Also where a batch ends in between.
    for part in sent.chunks(3) {
        let part = part.iter().cloned().map(of_ada).collect();
        outputs.extend(shard.decide(part).await);
    }
    let values: Vec<_> = outputs.iter().map(|it| it.value.clone().unwrap()).collect();
    let expected = [1, 2, 4, 3, 5].map(|seq| balance(Some(seq), seq));
    assert_eq!(values, expected, "to the byte, schema id and meta too");
    let own = Record::copy_of(&of_ada(Vec::new())).headers;
    for (index, output) in outputs.iter().enumerate() {
        assert_eq!(output.topic, "accounts-results-once");
        assert_eq!(output.key.as_deref(), Some(KEY.as_bytes()));
        let mut headers = output.headers.clone();
        if index == 3 {
            let late = headers.pop().unwrap();
            assert_eq!(late, (LATE.into(), Some(b"true"[..].into())));
        }
        assert_eq!(headers, own);
    }
}

#[tokio::test]
async fn results_without_a_number_are_told_from_copies_by_their_ids() {
    let shard = Shard(publishing(), memory());
    let none = EncodedBody::of_event(&RequestFailed {
        code: "c".into(),
        message: "m".into(),
    });
    let none = join(ID + 1, &none.unwrap().bytes, None);
    let [one, other] = [1, 2].map(|cents| balance(None, cents));
    let sent = [&one, &other, &one, &none, &none, &other];
    let outputs = shard.decide(Vec::from(sent.map(|it| of_ada(it.clone()))));
    let values: Vec<_> = outputs
        .await
        .into_iter()
        .map(|it| it.value.unwrap())
        .collect();
    assert_eq!(values, [one, other, none.clone(), none]);
}

#[tokio::test]
async fn what_cannot_be_judged_is_a_dead_letter_and_leaves_no_mark() {
    let shard = Shard(publishing(), memory());
    let home = partition::of_key(KEY.as_bytes(), 8);
    let wrong = (home + 1) % 8;
    let value = || Some(balance(Some(1), 1));
    for (sent, code) in [
        (message(Some(KEY), value(), wrong), "wrong-partition"),
        (message(None, value(), home), "invalid-key"),
        (message(Some(KEY), None, home), "undecodable"),
        (
            message(Some(KEY), Some(b"text".to_vec()), home),
            "undecodable",
        ),
        (
            message(Some(KEY), Some(vec![0, 0, 0, 0, 7, 1]), home),
            "undecodable",
        ),
    ] {
        let original = Record::copy_of(&sent);
        let [letter] = &shard.decide(vec![sent]).await[..] else {
            panic!("{code}");
        };
        assert_eq!(letter.topic, "accounts-results-dlq");
        assert_eq!(letter.header("kafka_dlt-exception-fqcn"), Some(code));
        assert_eq!(
            letter.header("__connect.errors.connector.name"),
            Some("AccountsResultsOnce/work")
        );
        assert_eq!(
            (&letter.key, &letter.value),
            (&original.key, &original.value)
        );
    }
    assert_eq!(shard.1.keys::<Arc<str>, Bytes>(), 0);

    // Another value under a known number changes nothing either.
    let first = of_ada(balance(Some(1), 1));
    assert_eq!(shard.decide(vec![first]).await.len(), 1);
    let conflict = of_ada(balance(Some(1), 100));
    let [letter] = &shard.decide(vec![conflict]).await[..] else {
        panic!("a conflict");
    };
    assert_eq!(letter.topic, "accounts-results-dlq");
    assert_eq!(
        letter.header("kafka_dlt-exception-fqcn"),
        Some("sequence-conflict")
    );
    let [next] = &shard.decide(vec![of_ada(balance(Some(2), 2))]).await[..] else {
        panic!("the next one");
    };
    assert_eq!(next.topic, "accounts-results-once");
}

#[tokio::test]
async fn a_record_that_ends_the_process_is_kept_unread() {
    let publishing = publishing();
    let memory = memory();
    let mut states = Overlay::new(&memory);
    let message = of_ada(balance(Some(1), 1));
    let taken = taken_from(message);
    let (letters, _) = publishing.crashed(&mut states, taken, 3).await.unwrap();
    assert_eq!(
        letters[0].header("kafka_dlt-exception-fqcn"),
        Some("handler-crashed")
    );
    assert!(states.into_changes().is_empty());
}

/// Keys that have no more results are looked at in turn, wherever their states lie.
#[test]
fn keys_are_forgotten_while_others_have_results() {
    for limit in [1 << 20, 4000] {
        let memory = Memory::new(Loaded {
            states: Spilled::new(limit),
            position: Position(vec![0]),
            notes: Notes::default(),
        });
        let seen = |at_ms| {
            let mut marks = Marks::default();
            marks.judge(Said::Named("id".into()), at_ms);
            written(&marks)
        };
        let adopt = |changes: Vec<(Arc<str>, Bytes)>| {
            let at = Position(vec![0]);
            memory.adopt(changes, at, Notes::default()).unwrap();
        };
        let key = |number: u32| -> Arc<str> { format!("key{number}").into() };
        for number in 0..200 {
            let at_ms = if number % 2 == 0 { 0 } else { 5000 };
            adopt(vec![(key(number), seen(at_ms))]);
        }
        let mut rounds = 0;
        while memory.keys::<Arc<str>, Bytes>() > 100 {
            let mut states = Overlay::new(&memory);
            forget(&mut states, 5500, 1000, 8).unwrap();
            adopt(states.into_changes().into_iter().collect());
            rounds += 1;
            assert!(rounds < 200, "{}", memory.keys::<Arc<str>, Bytes>());
        }
        let states = Overlay::new(&memory);
        for number in 0..200 {
            let kept = states.get(&key(number)).unwrap();
            assert_eq!(kept.is_some(), number % 2 == 1, "{number}");
        }
        let mut forever = Overlay::new(&memory);
        forget(&mut forever, i64::MAX, -1, 1000).unwrap();
        assert!(forever.into_changes().is_empty());
    }
}
