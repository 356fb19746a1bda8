//! Write access to Kafka alone does not let anyone act as somebody else.

use std::time::Duration;

use millstream_pipeline::client::Client;
use millstream_pipeline::codec::EncodedBody;
use millstream_pipeline::events::{Event, EventMeta, Topic};
use millstream_pipeline::identity::{Claim, Signer, SigningKey, TrustedKeys};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::user_sessions::{AddItem, BasketUpdated};
use millstream_topics::UserSessions;

use super::owned::{self, Owned};
use crate::support::{LIMIT, endpoints, failure, stack_folder, unique};

fn laptop() -> AddItem {
    AddItem {
        item: "laptop".into(),
    }
}

/// A key of the running stack.
fn key(name: &str) -> SigningKey {
    let path = stack_folder().join(format!("keys/{name}.pem"));
    SigningKey::read(&path).unwrap()
}

/// `meta` of an event of `T`, with a proof made now.
fn signed<T: Topic>(
    client: &Client,
    (signer, principal): (&Signer, &str),
    key: &str,
    event: &AddItem,
) -> EventMeta {
    let mut meta = client.meta();
    let time = meta.time;
    prove::<T>(&mut meta, (signer, principal), key, event, time);
    meta
}

fn prove<T: Topic>(
    meta: &mut EventMeta,
    (signer, principal): (&Signer, &str),
    key: &str,
    event: &AddItem,
    time: i64,
) {
    let body = EncodedBody::of(event).unwrap().unwrap();
    let claim = Claim {
        topic: T::DECLARATION.name,
        key,
        full_name: AddItem::FULL_NAME,
        event_id: &meta.id,
        principal,
        body: &body.bytes,
    };
    meta.proof = Some(signer.proof(&claim, time));
    meta.principal = Some(principal.to_owned());
}

fn items(seen: &Seen) -> Vec<String> {
    seen.event::<BasketUpdated>().unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_requires_identity_takes_no_forged_event() {
    let endpoints = endpoints();
    let trusted = TrustedKeys::new([key("gateway").public(), key("handlers").public()]);
    owned::serve(endpoints, key("handlers"), trusted).await;
    let declarations = [Owned::DECLARATION, UserSessions::DECLARATION];
    let client = Client::new(endpoints, &declarations, "test").await.unwrap();
    let gateway = Signer::new(key("gateway"));
    let stranger = Signer::new(SigningKey::generate().unwrap());
    let (alice, bob) = (unique("alice"), unique("bob"));
    let request = async |key: &str, event: AddItem, meta: EventMeta| {
        let answer = client.request_with::<Owned>(key, event, meta, LIMIT);
        answer.await.unwrap()
    };

    // Each of these says that it comes from bob, who did not send it.
    let claimed = EventMeta {
        principal: Some(bob.clone()),
        ..client.meta()
    };
    let by_stranger = signed::<Owned>(&client, (&stranger, &bob), &bob, &laptop());
    let of_alice = signed::<Owned>(&client, (&gateway, &alice), &bob, &laptop());
    let renamed = EventMeta {
        principal: Some(bob.clone()),
        ..of_alice.clone()
    };
    let of_other_topic = signed::<UserSessions>(&client, (&gateway, &bob), &bob, &laptop());
    let of_other_key = signed::<Owned>(&client, (&gateway, &bob), &alice, &laptop());
    let radio = AddItem {
        item: "radio".into(),
    };
    let of_other_body = signed::<Owned>(&client, (&gateway, &bob), &bob, &radio);
    let of_other_id = EventMeta {
        id: client.meta().id,
        ..signed::<Owned>(&client, (&gateway, &bob), &bob, &laptop())
    };
    let mut expired = client.meta();
    let two_days_ago = expired.time - 2 * Duration::from_hours(24).as_micros() as i64;
    prove::<Owned>(
        &mut expired,
        (&gateway, &bob),
        &bob,
        &laptop(),
        two_days_ago,
    );
    for (what, meta) in [
        ("nobody", client.meta()),
        ("claimed", claimed),
        ("stranger", by_stranger),
        ("renamed", renamed),
        ("other topic", of_other_topic),
        ("other key", of_other_key),
        ("other body", of_other_body),
        ("other id", of_other_id),
        ("expired", expired),
        // Proven, but alice cannot add to bob's basket.
        ("alice", of_alice),
    ] {
        let answer = request(&bob, laptop(), meta).await;
        assert_eq!(failure(&answer), "forbidden", "{what}");
    }

    // A forged copy that comes first does not keep the true event out.
    let true_one = signed::<Owned>(&client, (&gateway, &bob), &bob, &laptop());
    let forged = EventMeta {
        proof: None,
        correlation_id: client.meta().id,
        ..true_one.clone()
    };
    client
        .send::<Owned>(&bob, laptop(), Some(&forged))
        .await
        .unwrap();
    let of_request = |seen: &Seen, meta: &EventMeta| {
        let came = seen.meta.as_ref();
        came.is_some_and(|came| came.correlation_id == meta.correlation_id)
    };
    let send_true = async || {
        let sent = client.send::<Owned>(&bob, laptop(), Some(&true_one)).await;
        sent.unwrap();
    };
    send_true().await;
    let answer = client
        .wait_for("the true event's result", LIMIT, |seen| {
            of_request(seen, &true_one)
        })
        .await
        .unwrap();
    assert_eq!(items(&answer), [format!("{bob}: laptop")]);

    // A copy of the true record, with its proof, is dropped by the input rule.
    send_true().await;
    let next = signed::<Owned>(&client, (&gateway, &bob), &bob, &radio);
    let answer = request(&bob, radio.clone(), next).await;
    assert_eq!(
        items(&answer),
        [format!("{bob}: laptop"), format!("{bob}: radio")]
    );
    let answers = client.seen(|seen| of_request(seen, &true_one));
    assert_eq!(answers.len(), 1, "{answers:?}");

    // What the handler emits for alice is signed for alice: bob's basket stays bob's.
    for (user, forbidden) in [(&alice, false), (&bob, true)] {
        let gift = AddItem {
            item: format!("to {user}"),
        };
        let meta = signed::<Owned>(&client, (&gateway, &alice), &alice, &gift);
        request(&alice, gift, meta.clone()).await;
        let answer = client
            .wait_for("what the session says", LIMIT, |seen| {
                of_request(seen, &meta) && seen.topic == "user-sessions-results"
            })
            .await
            .unwrap();
        match forbidden {
            true => assert_eq!(failure(&answer), "forbidden"),
            false => assert_eq!(items(&answer), ["gift"]),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_cannot_add_to_bobs_basket() {
    let client = crate::support::client().await;
    let gateway = Signer::new(key("gateway"));
    let (alice, bob) = (unique("alice"), unique("bob"));
    let add = async |principal: &str| {
        let meta = signed::<UserSessions>(&client, (&gateway, principal), &bob, &laptop());
        let answer = client.request_with::<UserSessions>(&bob, laptop(), meta, LIMIT);
        answer.await.unwrap()
    };
    assert_eq!(items(&add(&bob).await), ["laptop"]);
    assert_eq!(failure(&add(&alice).await), "forbidden");

    // The topic takes events of nobody in particular, and does not believe a name without a proof.
    let claimed = EventMeta {
        principal: Some(alice.clone()),
        ..client.meta()
    };
    let answer = client.request_with::<UserSessions>(&bob, laptop(), claimed, LIMIT);
    assert_eq!(items(&answer.await.unwrap()), ["laptop", "laptop"]);
}
