//! Signed webhooks, over HTTP, at a gateway of a catalogue with a signed route.

use hmac::{Hmac, KeyInit, Mac};
use millstream_pipeline::gateway::access::AccessSettings;
use millstream_pipeline::gateway::{Settings, WebhookSecrets, run};
use millstream_topics::{
    Declaration, HttpRoute, ProductReservations, Signature, Topic as _, UserUpdates,
};
use reqwest::RequestBuilder;
use serde_json::json;
use sha2::Sha256;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::{Keys, events, unauthenticated};
use super::replica::free_addresses;
use super::{Http, got};
use crate::support::{endpoints, unique, until};

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
