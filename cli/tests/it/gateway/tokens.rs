//! Tokens of an identity provider, over HTTP.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::access::{Keys, events, signing_key, unauthenticated};
use super::got;
use super::replica::Replica;
use crate::support::{endpoints, tls, unique};

const AUDIENCE: &str = "millstream";
const ISSUER: &str = "https://issuer.example";

/// What signs tokens.
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    /// Its public key, as the provider publishes it.
    jwk: Value,
}

impl Signer {
    fn ed25519(id: &'static str) -> Self {
        // RFC 8410: the frame of a private key.
        let frame = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
        let seed = random();
        let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
        let x = BASE64_URL_SAFE_NO_PAD.encode(public.as_bytes());
        Self {
            id,
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(&[&frame[..], &seed].concat()),
            jwk: json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x }),
        }
    }

    fn p256(id: &'static str) -> Self {
        // RFC 5915 in PKCS #8.
        let frame = *b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\
            \x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20";
        let key = EncodingKey::from_ec_der(&[&frame[..], &random()].concat());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = id.into();
        Self {
            id,
            algorithm: Algorithm::ES256,
            key,
            jwk,
        }
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.into());
        encode(&header, claims, &self.key).unwrap()
    }
}

fn random() -> [u8; 32] {
    let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    halves
        .map(uuid::Uuid::into_bytes)
        .concat()
        .try_into()
        .unwrap()
}

fn claims() -> Value {
    let now = jiff::Timestamp::now().as_second();
    json!({
        "sub": "alice", "aud": AUDIENCE, "iss": ISSUER, "exp": now + 600,
        "scope": "openid send:product-* read:product-*",
    })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|it| it.jwk.clone()).collect();
    json!({ "keys": keys }).to_string()
}

async fn gateway(jwks: &str, arguments: &[&str]) -> Replica {
    let tokens = ["--jwks", jwks, "--audience", AUDIENCE, "--issuer", ISSUER];
    let signing = signing_key();
    let signing = ["--signing-key", signing.as_str()];
    Replica::asking(endpoints(), &[&tokens[..], &signing, arguments].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_tokens_alone_are_taken() {
    let (ed, ec) = (Signer::ed25519("ed"), Signer::p256("ec"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    // A shared secret in the set signs nothing.
    let mut set: Value = serde_json::from_str(&jwks(&[&ed, &ec])).unwrap();
    let secret = json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256" });
    set["keys"].as_array_mut().unwrap().push(secret);
    std::fs::write(&file, set.to_string()).unwrap();
    // Keys count beside tokens.
    let keys = Keys::new();
    let key = keys.create("alice", &["*:*"], &[]);
    let gateway = gateway(file.to_str().unwrap(), &["--keys", keys.path()]).await;
    let (http, product) = (&gateway.http, unique("product"));
    let reserve = |token: &str| http.reserve(&product, "r").bearer_auth(token);

    let now = jiff::Timestamp::now().as_second();
    let mut wrong: Vec<String> = [
        with("exp", now - 60),
        with("exp", Value::Null),
        with("nbf", now + 600),
        with("aud", "others"),
        with("aud", Value::Null),
        with("iss", "https://others.example"),
        with("iss", Value::Null),
        with("sub", ""),
        with("sub", Value::Null),
        with("sub", "webhook:product-reservations"),
    ]
    .iter()
    .map(|claims| ed.sign(claims))
    .collect();
    let good = ed.sign(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts.try_into().unwrap();
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    for name in ["none", "None", "HS256"] {
        let header = part(json!({ "alg": name, "kid": "ed" }));
        wrong.push(format!("{header}.{payload}."));
        wrong.push(format!("{header}.{payload}.{signature}"));
    }
    // The public key as the secret of a symmetric signature, and the set's own secret.
    let public = ed.jwk["x"].as_str().unwrap().to_owned();
    for (kid, secret) in [("ed", public.as_bytes()), ("secret", b"secret")] {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(kid.into());
        wrong.push(encode(&header, &claims(), &EncodingKey::from_secret(secret)).unwrap());
    }
    let stranger = Signer::ed25519("ed");
    wrong.push(stranger.sign(&claims()));
    wrong.push(Signer::ed25519("unknown").sign(&claims()));
    let others = part(with("sub", "bob"));
    wrong.push(format!("{header}.{others}.{signature}"));
    wrong.push(format!("{header}.{payload}"));
    for token in &wrong {
        unauthenticated(reserve(token)).await;
    }
    // The scope is missing, or of something else.
    for scope in ["", "openid", "send:user-*"] {
        let token = ed.sign(&with("scope", scope));
        got(reserve(&token)).await.problem(403, "forbidden");
    }
    assert!(events("product-reservations", &product).await.is_empty());

    let answer = got(reserve(&good)).await.expect(200);
    // As other providers have it.
    let scopes = ["send:product-*", "read:product-*"];
    let mut elsewhere = with("scope", Value::Null);
    elsewhere["scp"] = json!(scopes);
    for claims in [with("scope", json!(scopes)), elsewhere] {
        let product = unique("product");
        let request = http.reserve(&product, "r").bearer_auth(ed.sign(&claims));
        got(request).await.expect(200);
    }
    got(reserve(&ec.sign(&with("aud", json!(["a", AUDIENCE])))))
        .await
        .expect(200);
    let sent = events("product-reservations", &product).await;
    let principals = sent
        .iter()
        .map(|it| it.meta.as_ref().unwrap().principal.as_deref());
    assert_eq!(principals.collect::<Vec<_>>(), [Some("alice"); 2]);
    // The same principal, whatever it shows; another one finds nothing.
    let path = format!("/v1/requests/{}", answer.body["request"].as_str().unwrap());
    let ask = |token: &str| got(http.request(reqwest::Method::GET, &path).bearer_auth(token));
    ask(&key).await.expect(200);
    let bob = ed.sign(&with("sub", "bob"));
    ask(&bob).await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_and_fetched_again_within_bounds() {
    let (first, second) = (Signer::ed25519("first"), Signer::p256("second"));
    let published = Arc::new(Mutex::new((jwks(&[&first]), 0)));
    let served = Arc::clone(&published);
    let handler = move || {
        let mut served = served.lock().unwrap();
        served.1 += 1;
        let text = served.0.clone();
        async move { text }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let routes = Router::new().route("/jwks", get(handler));
    let _server = tokio::spawn(async move { axum::serve(listener, routes).await });

    let gateway = gateway(&url, &[]).await;
    let (http, product) = (&gateway.http, unique("product"));
    let reserve = |token: &str| http.reserve(&product, "r").bearer_auth(token);
    got(reserve(&first.sign(&claims()))).await.expect(200);
    published.lock().unwrap().0 = jwks(&[&second]);
    // A new key counts as soon as a fetch is allowed again; its tokens cause no flood of fetches.
    let token = second.sign(&claims());
    crate::support::until("the new key", async || {
        let answer = got(reserve(&token)).await;
        (answer.status == 200).then_some(())
    })
    .await;
    unauthenticated(reserve(&first.sign(&claims()))).await;
    let fetches = published.lock().unwrap().1;
    assert_eq!(fetches, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_over_https_from_a_server_that_is_trusted() {
    let signer = Signer::ed25519("ed");
    let asked = Arc::new(Mutex::new(0));
    let (count, set) = (Arc::clone(&asked), jwks(&[&signer]));
    let handler = async move || {
        *count.lock().unwrap() += 1;
        set
    };
    let (url, _server) = tls::serve(Router::new().route("/jwks", get(handler))).await;
    let url = format!("{url}/jwks");
    let signing = signing_key();
    let tokens = [
        "--jwks",
        &url,
        "--audience",
        AUDIENCE,
        "--issuer",
        ISSUER,
        "--signing-key",
        &signing,
    ];
    let token = signer.sign(&claims());
    let product = unique("product");

    // The system knows nothing of the test's authority.
    let wary = Replica::asking(endpoints(), &tokens).await;
    let reserve = wary.http.reserve(&product, "r").bearer_auth(&token);
    assert_eq!(got(reserve).await.status, 503);
    assert_eq!(*asked.lock().unwrap(), 0, "no request got through");

    let authority = tls::certificate("authority.pem");
    let trusting = [("SSL_CERT_FILE", authority.as_str())];
    let gateway = Replica::with_variables(endpoints(), &tokens, &trusting).await;
    let reserve = gateway.http.reserve(&product, "r").bearer_auth(&token);
    got(reserve).await.expect(200);
    assert_eq!(*asked.lock().unwrap(), 1);
}

/// Whoever runs the gateway can see why a token is refused; whoever shows it cannot.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_is_wrong_with_a_token() {
    let signer = Signer::ed25519("ed");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, jwks(&[&signer])).unwrap();
    let gateway = gateway(file.to_str().unwrap(), &["--scope-claim", "roles"]).await;
    let product = unique("product");
    let reserve = |token: &str| gateway.http.reserve(&product, "r").bearer_auth(token);
    let now = jiff::Timestamp::now().as_second();
    let stranger = Signer::ed25519("ed");
    let mut tokens = vec![
        signer.sign(&with("aud", "others")),
        signer.sign(&with("exp", now - 60)),
        signer.sign(&with("roles", 7)),
        Signer::ed25519("unknown").sign(&claims()),
        stranger.sign(&claims()),
    ];
    for token in &tokens {
        unauthenticated(reserve(token)).await;
    }
    // `scope` means nothing here.
    let powerless = signer.sign(&claims());
    got(reserve(&powerless)).await.problem(403, "forbidden");
    let good = signer.sign(&with("roles", json!(["send:product-*", "read:*"])));
    got(reserve(&good)).await.expect(200);
    tokens.extend([powerless, good]);

    let log = gateway.log();
    for said in [
        "its claim `aud` is \"others\"; it must be \"millstream\" (--audience)",
        &format!("its claim `exp` is {}; it must be a time to come", now - 60),
        "its claim `roles` is 7",
        "its `kid` is \"unknown\", which no key of the set has",
        "its signature is not that of the key",
    ] {
        // Lines are JSON.
        let said = said.replace('"', "\\\"");
        assert!(log.contains(&said), "{said}: {log}");
    }
    for token in tokens {
        let signature = token.rsplit('.').next().unwrap();
        assert!(!log.contains(signature), "{log}");
    }
}
