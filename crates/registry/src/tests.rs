use std::time::Duration;

use super::*;

/// No broker listens on port 1.
#[tokio::test]
async fn without_kafka_every_route_says_that_it_is_not_ready() {
    let stop = CancellationToken::new();
    let config = RegistryConfig::new("127.0.0.1:1", "127.0.0.1:0".parse().unwrap());
    let running = start(config, stop.clone()).await.unwrap();
    let http = millstream_pipeline::http::client();
    for path in [
        "/",
        "/health",
        "/subjects",
        "/schemas/ids/1",
        "/config",
        "/no/such/route",
    ] {
        let answer = http
            .get(format!("http://{}{path}", running.address))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["error_code"], 50301, "{path}");
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with("still reading _schemas"), "{message}");
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), running.join())
        .await
        .expect("it stops")
        .unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_said_so() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = RegistryConfig::new("127.0.0.1:1", taken.local_addr().unwrap());
    let error = start(config, CancellationToken::new()).await.unwrap_err();
    assert!(
        error.to_string().contains("choose another address"),
        "{error}"
    );
}
