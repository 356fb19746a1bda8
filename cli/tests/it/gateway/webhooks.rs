//! Signed webhooks, over HTTP, at a gateway of a catalogue with a signed route.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use millstream_gateway::access::AccessSettings;
use millstream_gateway::{Settings, WebhookSecrets, run};
use millstream_pipeline::events::{Declaration, HttpRoute, Signature, Topic as _};
use millstream_pipeline::identity::{Signer, SigningKey};
use millstream_topics::{ProductReservations, UserUpdates};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::{Keys, events, unauthenticated};
use super::replica::free_addresses;
use super::{Http, got, shared};
use crate::support::{endpoints, stack_folder, unique, until};

const TOPIC: &str = "product-reservations";

static ROUTES: &[HttpRoute] = &[
    HttpRoute {
        method: "POST",
        path: "/webhooks/reservations",
        key: "$body.product",
        event: "millstream.product_reservations.ReserveProduct",
        signature: Some(Signature::Stripe),
        respond_async: true,
        fields: &[("reservation_id", "$body.reservation_id or $id")],
        constants: &[],
    },
    HttpRoute {
        method: "POST",
        path: "/reservations/{product}",
        key: "{product}",
        event: "millstream.product_reservations.ReserveProduct",
        signature: None,
        respond_async: true,
        fields: &[("reservation_id", "$body.reservation_id or $id")],
        constants: &[],
    },
];

/// A gateway in this process.
struct Gateway {
    http: Http,
    _stop: DropGuard,
}

async fn gateway(access: AccessSettings, secrets: WebhookSecrets) -> Gateway {
    let declared: &Declaration = Box::leak(Box::new(Declaration {
        http: ROUTES,
        ..ProductReservations::DECLARATION.clone()
    }));
    let declarations = vec![declared, UserUpdates::DECLARATION].leak();
    let [listen, admin] = free_addresses();
    let settings = Settings {
        listen: listen.parse().unwrap(),
        admin: admin.parse().unwrap(),
        access,
        webhook_secrets: secrets,
        signer: Some(Arc::new(Signer::new(SigningKey::generate().unwrap()))),
        ..Settings::default()
    };
    let stop = CancellationToken::new();
    tokio::spawn(run(endpoints(), declarations, settings, stop.clone()));
    let admin = Http::new(&format!("http://{admin}"));
    until("the gateway", async || {
        let ready = admin.request(reqwest::Method::GET, "/ready").send().await;
        ready.ok()?.status().is_success().then_some(())
    })
    .await;
    Gateway {
        http: Http::new(&format!("http://{listen}")),
        _stop: stop.drop_guard(),
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn header(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={digest}")
}

fn body(product: &str) -> String {
    // Spaces as the provider has them: the signature is over the bytes.
    format!("{{ \"product\":  \"{product}\", \"reservation_id\": \"r1\" }}")
}

impl Gateway {
    fn send(&self, signature: &str, body: &str) -> RequestBuilder {
        let request = self.http.post("/webhooks/reservations");
        request
            .header("stripe-signature", signature)
            .body(body.to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_webhooks_alone_become_events() {
    let keys = Keys::new();
    let key = keys.create("alice", &["*:*"], &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.json");
    std::fs::write(&file, json!({ TOPIC: ["old", "new"] }).to_string()).unwrap();
    let access = AccessSettings {
        keys: Some(keys.path().into()),
        ..AccessSettings::default()
    };
    let gateway = gateway(access, WebhookSecrets::File(file.clone())).await;

    let product = unique("product");
    let text = body(&product);
    let good = header("old", now(), &text);
    for wrong in [
        String::new(),
        header("other", now(), &text),
        header("old", now() - 310, &text),
        header("old", now() + 330, &text),
        header("old", now(), &text.replace("  ", " ")),
        good.replace("v1=", "v0="),
    ] {
        unauthenticated(gateway.send(&wrong, &text)).await;
    }
    unauthenticated(gateway.send(&good, &text.replace("r1", "r2"))).await;
    let path = "/webhooks/reservations";
    unauthenticated(gateway.http.post(path).body(text.clone())).await;
    // A key is not a signature, and a signature opens no other route.
    let with_key = gateway.http.post(path).bearer_auth(&key);
    unauthenticated(with_key.body(text.clone())).await;
    let elsewhere = gateway.http.post(&format!("/reservations/{product}"));
    unauthenticated(
        elsewhere
            .header("stripe-signature", &good)
            .body(text.clone()),
    )
    .await;
    assert!(events(TOPIC, &product).await.is_empty());

    // A copy, even with a time and signature of its own, is the same event.
    let first = got(gateway.send(&good, &text)).await.expect(202);
    let copy = got(gateway.send(&good, &text).header("idempotency-key", "k")).await;
    let again = header("new", now() - 60, &text);
    let again = got(gateway.send(&again, &text)).await;
    assert_eq!(first.body["status"], "pending");
    assert_eq!(copy.body["event"]["id"], first.body["event"]["id"]);
    assert_eq!(again.body["event"]["id"], first.body["event"]["id"]);
    let results = until("the result", async || {
        let results = events("product-reservations-results", &product).await;
        (!results.is_empty()).then_some(results)
    })
    .await;
    let sent = events(TOPIC, &product).await;
    for event in &sent {
        let meta = event.meta.as_ref().unwrap();
        assert_eq!(meta.id, first.body["event"]["id"]);
        assert_eq!(
            meta.principal.as_deref(),
            Some("webhook:product-reservations")
        );
    }
    let data = results[0].data.as_ref().unwrap();
    assert_eq!(data["reserved"], true);
    // It is nobody else's request.
    let location = first.header("location");
    let asked = gateway.http.request(reqwest::Method::GET, location);
    got(asked.bearer_auth(&key)).await.problem(404, "not-found");

    // Rotation without a restart.
    std::fs::write(&file, json!({ TOPIC: ["new"] }).to_string()).unwrap();
    until("the end of the old secret", async || {
        let text = body(&unique("product"));
        let answer = got(gateway.send(&header("old", now(), &text), &text)).await;
        (answer.status == 401).then_some(())
    })
    .await;
    let text = body(&unique("product"));
    got(gateway.send(&header("new", now(), &text), &text))
        .await
        .expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_webhooks_are_refused_unless_everybody_is_served() {
    let text = body(&unique("product"));
    let closed = gateway(AccessSettings::default(), WebhookSecrets::None).await;
    unauthenticated(closed.send(&header("", now(), &text), &text)).await;
    let open = AccessSettings {
        open: true,
        ..AccessSettings::default()
    };
    let secrets = WebhookSecrets::Text(json!({ TOPIC: ["s"] }).to_string());
    let checked = gateway(open.clone(), secrets).await;
    unauthenticated(checked.send(&header("x", now(), &text), &text)).await;
    got(checked.send(&header("s", now(), &text), &text))
        .await
        .expect(202);
    let open = gateway(open, WebhookSecrets::None).await;
    got(open.send("", &text)).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_id_is_told_at_once() {
    let open = AccessSettings {
        open: true,
        ..AccessSettings::default()
    };
    let gateway = gateway(open, WebhookSecrets::None).await;
    let product = unique("product");
    let post = || gateway.http.post(&format!("/reservations/{product}"));
    let made = got(post()).await.expect(202);
    assert_eq!(made.body["event"]["key"], product);
    let id = made.body["event"]["data"]["reservation_id"]
        .as_str()
        .unwrap();
    let waited = format!("{}?wait=30", made.header("location"));
    let answer = gateway.http.get(&waited).await.expect(200);
    assert_eq!(answer.body["data"]["reservation_id"], id);
    let named = post().json(&json!({ "reservation_id": "r9" }));
    let named = got(named).await.expect(202);
    assert!(named.body["event"].get("data").is_none(), "{named:?}");
    let waiting = post().header("prefer", "wait=30");
    got(waiting).await.expect(200);
}

/// The secret that the stack's payment provider signs with.
fn stack_secret() -> String {
    let path = stack_folder().join("keys/webhooks.json");
    let secrets: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    secrets["payment-webhooks"][0].as_str().unwrap().to_owned()
}

/// An event as Stripe sends it.
fn stripe_event(object: &Value) -> Value {
    json!({
        "id": "evt_3MtwBwLkdIwHu7ix28a3tqPa",
        "object": "event",
        "api_version": "2020-08-27",
        "created": 1_633_025_000,
        "data": { "object": object },
        "livemode": false,
        "pending_webhooks": 1,
        "request": { "id": "req_1", "idempotency_key": null },
        "type": "payment_intent.succeeded",
    })
}

fn to_provider_route(secret: &str, body: &str) -> RequestBuilder {
    let request = shared().post("/payment-webhooks");
    request
        .header("stripe-signature", header(secret, now(), body))
        .body(body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_as_stripe_sends_it_becomes_a_provider_event() {
    let secret = stack_secret();
    let (payment, intent) = (unique("payment"), unique("pi"));
    let object = json!({
        "id": intent, "object": "payment_intent", "status": "succeeded",
        "metadata": { "payment_id": payment },
    });
    // Stripe's JSON has line breaks; what is signed and kept are the bytes.
    let text = serde_json::to_string_pretty(&stripe_event(&object)).unwrap();
    unauthenticated(shared().post("/payment-webhooks").body(text.clone())).await;
    unauthenticated(to_provider_route("whsec_other", &text)).await;
    assert!(events("payment-webhooks", &payment).await.is_empty());

    // What is not signed means nothing: it would have expired, and have been waited for.
    let answer = to_provider_route(&secret, &text)
        .header("millstream-expires", "2026-01-01T00:00:00Z")
        .header("prefer", "wait=30");
    let answer = got(answer).await.expect(202);
    assert_eq!(answer.body["event"]["key"], payment);
    assert!(answer.header("location").starts_with("/v1/requests/"));
    let sent = events("payment-webhooks", &payment).await;
    assert_eq!(sent.len(), 1);
    let expected = json!({
        "event_id": "evt_3MtwBwLkdIwHu7ix28a3tqPa",
        "type": "payment_intent.succeeded",
        "created": 1_633_025_000_000_000_i64,
        "payload": text,
    });
    assert_eq!(sent[0].data.as_ref(), Some(&expected));
    let meta = sent[0].meta.as_ref().unwrap();
    assert_eq!(meta.principal.as_deref(), Some("webhook:payment-webhooks"));
    assert_eq!(meta.expires_at, None);

    // Delivered again, with other bytes: the provider's id says that it is the same.
    let mut again = stripe_event(&object);
    again["pending_webhooks"] = json!(0);
    let again = to_provider_route(&secret, &again.to_string());
    got(again).await.expect(202);
    let results = until("both results", async || {
        let results = events("payment-webhooks-results", &payment).await;
        (results.len() == 2).then_some(results)
    })
    .await;
    let duplicates = results
        .iter()
        .map(|it| &it.data.as_ref().unwrap()["duplicate"]);
    assert_eq!(duplicates.collect::<Vec<_>>(), [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_something_else_has_its_own_key() {
    let secret = stack_secret();
    let key = async |event: &Value| {
        let answer = got(to_provider_route(&secret, &event.to_string())).await;
        answer.expect(202).body["event"]["key"].clone()
    };
    let customer = unique("cus");
    let mut event = stripe_event(&json!({ "id": customer, "object": "customer", "metadata": {} }));
    assert_eq!(key(&event).await, *customer);
    event["data"]["object"] = json!({ "object": "balance" });
    event["id"] = unique("evt").into();
    assert_eq!(key(&event).await, event["id"]);

    for (member, value, field) in [
        ("created", json!("soon"), "created"),
        ("created", json!(i64::MAX), "created"),
        ("created", Value::Null, "created"),
        ("type", json!(5), "type"),
    ] {
        let mut wrong = event.clone();
        wrong[member] = value;
        let answer = got(to_provider_route(&secret, &wrong.to_string())).await;
        let problem = answer.problem(400, "invalid-request");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let answer = got(to_provider_route(&secret, "{}")).await;
    answer.problem(400, "invalid-key");
    let answer = got(to_provider_route(&secret, "no JSON")).await;
    answer.problem(400, "invalid-request");
}
