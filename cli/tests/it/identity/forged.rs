//! Handlers take requests from Restate alone.

use millstream_devstack::Ports;
use millstream_devstack::request::{CONTENT_TYPE, invocation, token};
use millstream_pipeline::codec::{Codec, EncodedBody};
use millstream_pipeline::identity::SigningKey;
use millstream_pipeline::kafka::reader::Seen;
use millstream_pipeline::record::source_offset::SourceOffset;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::TOPICS;
use reqwest::StatusCode;

use crate::support::{LIMIT, client, endpoints, stack_folder, unique};

const PATH: &str = "/invoke/ProductReservations/onEvent";

#[tokio::test]
async fn a_forged_request_is_refused_and_runs_no_handler_code() {
    let client = client().await;
    let ports = std::fs::read(stack_folder().join("ports.json")).unwrap();
    let ports: Ports = serde_json::from_slice(&ports).unwrap();
    let url = format!("http://127.0.0.1:{}{PATH}", ports.handlers);
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let codec = Codec::new(&endpoints().schema_registry, TOPICS).unwrap();

    // A command that its handler would answer: who calls it alone makes the difference.
    let send = async |key: &str, token: Option<String>, path: &str| {
        let command = ReserveProduct {
            reservation_id: "forged".into(),
        };
        let body = EncodedBody::of(&command).unwrap().unwrap();
        let mut meta = client.meta();
        meta.id = format!("{key}-event");
        meta.correlation_id.clone_from(&meta.id);
        let record = codec.join(&body, Some(&meta)).await.unwrap();
        let position = SourceOffset {
            topic: "product-reservations".into(),
            partition: 0,
            offset: i64::MAX - 1,
            timestamp_ms: 1,
            taken_ms: None,
        };
        let mut request = http
            .post(url.replace(PATH, path))
            .header("content-type", CONTENT_TYPE)
            .body(invocation(key, &position, &record));
        request = match token {
            Some(token) => request
                .header("x-restate-signature-scheme", "v1")
                .header("x-restate-jwt-v1", token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status();
        // The handler runs while its answer is read.
        answer.bytes().await.unwrap();
        status
    };

    let restate = SigningKey::read(&stack_folder().join("keys/restate.pem")).unwrap();
    let stranger = SigningKey::generate().unwrap();
    let forged = [
        (unique("unsigned"), None, PATH),
        (unique("stranger"), Some(token(&stranger, PATH, 0)), PATH),
        (unique("expired"), Some(token(&restate, PATH, -300)), PATH),
        (
            unique("other-path"),
            Some(token(&restate, "/invoke/ProductReservations/other", 0)),
            PATH,
        ),
        (unique("discovery"), None, "/discover"),
    ];
    for (key, forged_token, path) in forged {
        let status = send(&key, forged_token, path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{key}");
        // The same request from Restate is handled: what the other came to would stand before it.
        let status = send(&key, Some(token(&restate, PATH, 0)), PATH).await;
        assert_eq!(status, StatusCode::OK, "{key}");
        let is_of_the_key = |seen: &Seen| seen.key.as_ref() == Some(&key);
        let result = client.wait_for("the result of the signed request", LIMIT, is_of_the_key);
        result.await.unwrap();
        assert_eq!(client.seen(is_of_the_key).len(), 1, "{key}");
    }
}
