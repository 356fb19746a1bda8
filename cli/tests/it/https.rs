//! Servers behind https: the certificate must be one that is trusted, and logins reach them.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use millstream_pipeline::http;
use tokio::process::Command;

use crate::support::tls::{certificate, serve};
use crate::support::{endpoints, unique};

/// The shared stack's registry behind a server that asks for a login, as managed ones do.
fn registry(login: &str, refused: Arc<AtomicUsize>) -> Router {
    let base = endpoints().schema_registry.clone();
    let expected = format!("Basic {}", BASE64_STANDARD.encode(login));
    Router::new().fallback(async move |request: Request| -> Response {
        let login = request.headers().get("authorization");
        if login.is_none_or(|login| login.as_bytes() != expected.as_bytes()) {
            refused.fetch_add(1, Ordering::SeqCst);
            let body = r#"{"error_code": 40101, "message": "Unauthorized"}"#;
            return (StatusCode::UNAUTHORIZED, body).into_response();
        }
        let (parts, body) = request.into_parts();
        let url = format!("{base}{}", parts.uri);
        let body = to_bytes(body, 1024 * 1024).await.unwrap();
        let answer = http::client().request(parts.method, url).body(body);
        let answer = answer.header("content-type", "application/json");
        let answer = answer.send().await.unwrap();
        let status = answer.status();
        (status, Body::from(answer.bytes().await.unwrap())).into_response()
    })
}

struct Ran {
    ok: bool,
    output: String,
}

/// Runs `millstream` against the shared stack, with the registry at `url`.
async fn millstream(arguments: &[&str], url: &str, variables: &[(&str, &str)]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(arguments)
        .current_dir(&folder)
        .env("MILLSTREAM_KAFKA", &endpoints().kafka)
        .env("MILLSTREAM_RESTATE_ADMIN", &endpoints().restate_admin)
        .env("MILLSTREAM_SCHEMA_REGISTRY", url)
        .env_remove("SSL_CERT_FILE")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let texts = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    Ran {
        ok: output.status.success(),
        output: texts.concat(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_behind_https_with_a_login_is_used() {
    let (key, secret) = (unique("key"), unique("sec/ret+"));
    let login = format!("{key}:{secret}");
    let refused = Arc::new(AtomicUsize::new(0));
    let (url, _server) = serve(registry(&login, Arc::clone(&refused))).await;
    let authority = certificate("authority.pem");
    let trusts = ("SSL_CERT_FILE", authority.as_str());
    let knows = ("MILLSTREAM_SCHEMA_REGISTRY_AUTH", login.as_str());

    // One of the commands that declare, and one that decodes.
    let plan = ["plan", "--json"];
    let read = [
        "tail",
        "product-reservations",
        "--from-beginning",
        "--until-end",
    ];
    for arguments in [&plan[..], &read[..]] {
        let ran = millstream(arguments, &url, &[trusts, knows]).await;
        assert!(ran.ok, "{}", ran.output);
        assert!(!ran.output.contains("undecodable"), "{}", ran.output);
    }
    assert_eq!(refused.load(Ordering::SeqCst), 0);

    // The login may be a part of the address, and is shown nowhere when it is wrong.
    let within = url.replace("://", &format!("://{key}:wrong-{secret}@"));
    let ran = millstream(&plan, &within, &[trusts]).await;
    assert!(!ran.ok && ran.output.contains("401"), "{}", ran.output);
    let shown = [key.as_str(), secret.as_str()].map(|it| ran.output.contains(it));
    assert_eq!(shown, [false, false], "{}", ran.output);
    let asked = refused.load(Ordering::SeqCst);

    // Nobody whom the system trusts vouches for this server: it gets no request at all.
    let ran = millstream(&plan, &url, &[knows]).await;
    assert!(
        !ran.ok && ran.output.contains("certificate"),
        "{}",
        ran.output
    );
    assert_eq!(refused.load(Ordering::SeqCst), asked);
}
