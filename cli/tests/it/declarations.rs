//! Bringing an installation to its declarations: again, after changes, and what is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::declarations::{Settings, apply, plan};
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::{Declaration, PackageQueries, ProductReservations, TOPICS, Topic};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::support::command::millstream_on;
use crate::support::{LIMIT, OwnStack, client_of, endpoints, unique, until};

const GROUP: &str = "millstream.product-reservations.ProductReservations.onEvent";

/// What `status` tells.
async fn status(endpoints: &Endpoints) -> Value {
    let ran = millstream_on(endpoints, &["status", "--json"], "").await;
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.json()
}

/// The ids of the declared subscriptions by topic.
async fn subscriptions(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let status = status(endpoints).await;
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let rows = status["subscriptions"].as_array().unwrap();
    rows.iter()
        .map(|row| (text(row, "topic"), text(row, "id")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn applying_again_changes_nothing() {
    let endpoints = endpoints();
    let before = subscriptions(endpoints).await;
    let subscribed = TOPICS
        .iter()
        .filter(|topic| !topic.subscriptions.is_empty());
    assert_eq!(before.len(), subscribed.count());
    let status = status(endpoints).await;
    let ours = |row: &&Value| {
        row["services"]
            .as_array()
            .unwrap()
            .contains(&json!("ProductReservations"))
    };
    let deployments = status["deployments"].as_array().unwrap();
    let handlers = deployments.iter().find(ours).unwrap()["uri"]
        .as_str()
        .unwrap();
    for verb in ["plan", "apply", "apply"] {
        let ran = millstream_on(endpoints, &[verb, "--json", "--handlers", handlers], "").await;
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(ran.json()["changes"], json!([]), "{verb}");
    }
    assert_eq!(
        subscriptions(endpoints).await,
        before,
        "the same subscriptions"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_partition_count_of_a_keyed_topic_is_refused() {
    let declared = PackageQueries::DECLARATION;
    let other = Declaration {
        partitions: declared.partitions + 1,
        ..declared.clone()
    };
    let plan = plan(&[&other], endpoints(), &Settings::default())
        .await
        .unwrap();
    let refusals: Vec<_> = plan
        .refusals()
        .map(|refusal| refusal.message.as_str())
        .collect();
    let [refusal] = refusals[..] else {
        panic!("one refusal: {refusals:?}");
    };
    for part in [
        "package-queries has 8 partitions and its declaration says 9",
        "the order of their events is lost",
        "Set partitions = 8 in topics/package-queries.toml",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let refused = apply(&plan, endpoints(), |change| panic!("{change}")).await;
    refused.unwrap_err();
    let status = status(endpoints()).await;
    let topics = status["topics"].as_array().unwrap();
    let topic = topics
        .iter()
        .find(|topic| topic["topic"] == "package-queries")
        .unwrap();
    assert_eq!(topic["partitions"], declared.partitions);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_subscription_handles_no_event_twice() {
    const EVENTS: usize = 30;
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let client = client_of(&endpoints).await;
    let products = ["a", "b", "c"].map(unique);
    for _ in 0..EVENTS / products.len() {
        reserve_all(&client, &products).await;
    }
    let before = subscriptions(&endpoints).await;

    let id = &before["product-reservations"];
    let url = format!("{}/subscriptions/{id}", endpoints.restate_admin);
    let deleted = millstream_pipeline::http::client()
        .delete(url)
        .send()
        .await
        .unwrap();
    deleted.error_for_status().unwrap();
    // Without its offsets the new subscription begins with the oldest record.
    forget_offsets(&endpoints).await;
    assert_eq!(stack.apply().await, 1, "only the subscription is missing");
    let after = subscriptions(&endpoints).await;
    assert_ne!(&after["product-reservations"], id);

    reserve_all(&client, &products).await;
    for product in &products {
        let results = client.seen(|seen| seen.key.as_ref() == Some(product));
        let seqs: Vec<_> = results
            .iter()
            .map(|seen| seen.meta.as_ref().unwrap().seq.unwrap())
            .collect();
        let expected: Vec<_> = (1..=(EVENTS / products.len()) as i64 + 1).collect();
        assert_eq!(seqs, expected);
    }
    let metrics = millstream_pipeline::http::client()
        .get(&endpoints.metrics)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let skipped = metrics.lines().find_map(|line| {
        let value = line
            .strip_prefix("millstream_events_skipped_total{")?
            .rsplit(' ')
            .next();
        line.contains("redelivered").then_some(value?.to_owned())
    });
    assert_eq!(
        skipped,
        Some(EVENTS.to_string()),
        "every old event came again:\n{metrics}"
    );
}

/// One reservation of each product, answered.
async fn reserve_all(client: &Client, products: &[String]) {
    let command = || ReserveProduct {
        reservation_id: "r1".into(),
    };
    let asked = products
        .iter()
        .map(|product| client.request::<ProductReservations>(product, command(), LIMIT));
    for answer in join_all(asked).await {
        answer.unwrap();
    }
}

/// Deletes the consumer group, which is only possible once its consumer has left.
async fn forget_offsets(endpoints: &Endpoints) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", &endpoints.kafka)
        .create()
        .unwrap();
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    until("the consumer's leave", async || {
        let deleted = admin.delete_groups(&[GROUP], &options).await.unwrap();
        deleted[0].is_ok().then_some(())
    })
    .await;
}
