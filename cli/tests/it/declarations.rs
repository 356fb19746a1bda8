//! Bringing an installation to its declarations: again, after changes, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use millstream_control::restate::Restate;
use millstream_control::{Outcome, Plan, Settings, apply, doctor, plan};
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Declaration, Event, Lane, Topic};
use millstream_schemas::order_approvals::ApproveOrder;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_topics::{OrderApprovals, PackageQueries, ProductReservations, TOPICS};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::support::command::millstream_on;
use crate::support::{LIMIT, OwnStack, client_of, endpoints, unique, until};

const TOPIC: &str = "product-reservations";
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
        .filter(|topic| topic.lane == Lane::Event && !topic.subscriptions.is_empty());
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

/// Anybody may register what handlers cannot read until the subject is held to the level; what got in
/// before is told with what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_declared_subject_takes_only_what_its_handlers_read() {
    let name: &'static str = unique("declared").leak();
    let declared = Declaration {
        name,
        partitions: 1,
        subscriptions: &[],
        results: None,
        dead_letters: false,
        ..ProductReservations::DECLARATION.clone()
    };
    let (endpoints, settings) = (endpoints(), Settings::default());
    let look = async || plan(&[&declared], endpoints, &settings).await.unwrap();
    let about = |plan: &Plan| {
        let changes = plan.changes.iter().map(ToString::to_string);
        let problems = plan.problems.iter().map(ToString::to_string);
        let all = changes.chain(problems).filter(|it| it.contains(name));
        all.collect::<Vec<_>>()
    };
    let register = async |schema: &str| {
        let body = json!({ "schema": schema });
        let url = format!(
            "{}/subjects/{name}-value/versions",
            endpoints.schema_registry
        );
        let sent = millstream_pipeline::http::client()
            .post(url)
            .json(&body)
            .send();
        sent.await.unwrap().status().as_u16()
    };
    let own: Value = serde_json::from_str(ReserveProduct::schema().json).unwrap();
    let with = |fields: Value| {
        let mut schema = own.clone();
        schema["fields"] = fields;
        schema.to_string()
    };
    // Before anybody has applied anything, somebody registers a schema without our field.
    let foreign = with(json!([{ "name": "nope", "type": ["null", "string"] }]));
    assert_eq!(register(&foreign).await, 200);
    let blocked = look().await;
    let refused: Vec<_> = blocked.refusals().map(|it| it.message.as_str()).collect();
    let delete = format!("DELETE /subjects/{name}-value/versions/1");
    for part in ["version 1 of", "reservation_id", "nope", &delete] {
        assert!(refused.concat().contains(part), "{part}: {refused:?}");
    }
    let url = format!(
        "{}/subjects/{name}-value/versions/1",
        endpoints.schema_registry
    );
    let http = millstream_pipeline::http::client();
    http.delete(&url)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();

    let first = look().await;
    apply(&first, endpoints, |_| {}).await.unwrap();
    assert_eq!(about(&look().await), Vec::<String>::new());
    assert!(
        about(&first)
            .iter()
            .any(|it| it.contains("FULL_TRANSITIVE (was "))
    );
    assert_eq!(register(&foreign).await, 409);
    let note = json!({ "name": "note", "type": "string", "default": "" });
    let fitting = with(json!([own["fields"][0], note, own["fields"][1]]));
    assert_eq!(register(&fitting).await, 200);
    assert_eq!(
        about(&look().await),
        Vec::<String>::new(),
        "what fits is welcome"
    );

    // Somebody opens it again and registers the other one after all.
    let level = format!("{}/config/{name}-value", endpoints.schema_registry);
    let open = http
        .put(&level)
        .json(&json!({ "compatibility": "NONE" }))
        .send();
    open.await.unwrap().error_for_status().unwrap();
    assert_eq!(register(&foreign).await, 200);
    let told = about(&look().await);
    assert!(told[0].contains("FULL_TRANSITIVE (was NONE)"), "{told:?}");
    assert!(told[1].starts_with("note: version 4 of"), "{told:?}");
    let checks = doctor(&[&declared], endpoints, &settings).await;
    let warned: Vec<_> = checks
        .iter()
        .filter(|check| check.check == "schemas" && check.outcome == Outcome::Warn)
        .collect();
    assert_eq!(warned.len(), 2, "{checks:?}");
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
    let records = records(&endpoints).await;
    let skipped = skipped(&endpoints).await;

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
    assert_eq!(
        self::skipped(&endpoints).await,
        skipped + records,
        "every old event came again"
    );
}

/// How many records the topic has.
async fn records(endpoints: &Endpoints) -> u64 {
    let status = status(endpoints).await;
    let topics = status["topics"].as_array().unwrap();
    let topic = topics.iter().find(|row| row["topic"] == TOPIC).unwrap();
    topic["records"].as_u64().unwrap()
}

/// How many events the handlers have skipped since they met them before.
async fn skipped(endpoints: &Endpoints) -> u64 {
    let metrics = millstream_pipeline::http::client()
        .get(&endpoints.metrics)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counts = metrics.lines().filter_map(|line| {
        let labels = line.strip_prefix("millstream_events_skipped_total{")?;
        let (labels, count) = labels.split_once("} ")?;
        (labels.contains("redelivered") && labels.contains(TOPIC)).then_some(count)
    });
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
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

/// A reader that expects a number there takes each of them for the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_names_the_topics_whose_results_have_no_numbers() {
    const PAGE: &str = include_str!("../../../docs/events.md");
    let restate = Restate::new(&endpoints().restate_admin).unwrap();
    let services = restate.services().await.unwrap();
    let counts = |service: &str, handler: &str| {
        let mut services = services.iter().filter(|it| it.name == service);
        services.any(|it| {
            let mut handlers = it.handlers.iter();
            handlers.any(|it| it.name == handler && it.ty.as_deref() == Some("Exclusive"))
        })
    };
    // Those of the batch lane are numbered by whoever has the lease.
    let of_event_lane = TOPICS.iter().filter(|topic| topic.lane == Lane::Event);
    let of_commands = of_event_lane.filter(|topic| topic.results.is_some());
    let without: BTreeSet<&str> = of_commands
        .filter(|topic| {
            let mut to = topic.subscriptions.iter();
            !to.any(|to| counts(to.service, to.handler))
        })
        .map(|topic| topic.name)
        .collect();
    assert!(without.contains("orders"), "{without:?}");
    let (_, named) = PAGE.split_once("these are the results of ").unwrap();
    let named = named.split('.').next().unwrap();
    let named: BTreeSet<&str> = named.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, without);

    let (client, order) = (client_of(endpoints()).await, unique("order"));
    let approve = ApproveOrder { approved: true };
    let answered = client.request::<OrderApprovals>(&order, approve, LIMIT);
    let meta = answered.await.unwrap().meta.unwrap();
    assert_eq!((meta.seq, meta.epoch), (None, None));
}
