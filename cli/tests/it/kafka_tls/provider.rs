//! An identity provider: gives tokens to who shows a secret (OAuth 2, client credentials).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::tls;

/// Seconds that a token holds.
const LIFETIME: i64 = 8;

pub struct Provider {
    pub url: String,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    _server: JoinHandle<()>,
}

impl Provider {
    pub async fn start() -> Self {
        let asked = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let count = Arc::clone(&asked);
        let handler = async move |headers: HeaderMap| -> Result<Json<Value>, StatusCode> {
            let (name, secret) = login(&headers).ok_or(StatusCode::BAD_REQUEST)?;
            if secret != "secret" {
                return Err(StatusCode::UNAUTHORIZED);
            }
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            *count.entry(name.clone()).or_default() += 1;
            Ok(Json(json!({
                "access_token": token(&name),
                "token_type": "Bearer",
                "expires_in": LIFETIME,
            })))
        };
        let (url, server) = tls::serve(Router::new().route("/token", post(handler))).await;
        Self {
            url: format!("{url}/token"),
            asked,
            _server: server,
        }
    }

    /// How many tokens this user was given.
    pub fn asked(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(name).copied().unwrap_or_default()
    }
}

fn login(headers: &HeaderMap) -> Option<(String, String)> {
    let basic = headers.get("authorization")?.to_str().ok()?;
    let login = BASE64_STANDARD.decode(basic.strip_prefix("Basic ")?).ok()?;
    let login = String::from_utf8(login).ok()?;
    let (name, secret) = login.split_once(':')?;
    Some((name.to_owned(), secret.to_owned()))
}

/// A token without a signature, which the test's broker takes.
fn token(name: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let header = part(json!({ "alg": "none" }));
    let claims = part(json!({ "sub": name, "scope": "kafka", "iat": now, "exp": now + LIFETIME }));
    format!("{header}.{claims}.")
}
