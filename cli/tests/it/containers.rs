//! What images and docker-compose.yml use of the command: health checks, and keys made in a folder.

use crate::support::command::millstream;
use crate::support::endpoints;

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_tells_by_its_exit_status() {
    let metrics = endpoints().metrics.as_str();
    let health = metrics.replace("/metrics", "/health");
    assert_eq!(
        millstream(&["healthcheck", &health, metrics]).await.status,
        0
    );
    let nothing = health.replace("/health", "/nothing");
    for (url, word) in [
        (nothing.as_str(), "404"),
        ("http://127.0.0.1:1/health", "answer"),
    ] {
        let ran = millstream(&["healthcheck", &health, url]).await;
        assert_eq!((ran.status, ran.stdout.as_str()), (1, ""), "{ran:?}");
        assert!(ran.stderr.contains(word), "{ran:?}");
    }
}

#[tokio::test]
async fn keys_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let make = ["identity", "--all", folder.path().to_str().unwrap()];
    let keys = folder.path().join("keys");
    let read = |name: &str| std::fs::read_to_string(keys.join(name)).unwrap();
    assert_eq!(millstream(&make).await.status, 0);
    let first = ["restate.pub", "gateway.pub", "handlers.pub"].map(read);
    assert!(
        first.iter().all(|key| key.starts_with("publickeyv1_")),
        "{first:?}"
    );
    let private = keys.join("gateway.pem").display().to_string();
    assert_eq!(millstream(&["identity", &private]).await.stdout, first[1]);
    let api_keys = folder.path().join("api-keys.json");
    let api_keys = ["keys", "list", "--keys", api_keys.to_str().unwrap()];
    assert_eq!(millstream(&api_keys).await.status, 0);
    assert_eq!(millstream(&make).await.status, 0);
    assert_eq!(
        ["restate.pub", "gateway.pub", "handlers.pub"].map(read),
        first
    );
}
