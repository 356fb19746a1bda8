//! Each pattern of the catalogue over HTTP, in earnest. See [`super::routes`] for reservations,
//! packages, users and baskets, and [`super::webhooks`].

use millstream_handlers::delayed_queue::TASK_NOT_FOUND;
use serde_json::{Value, json};

use super::{Got, Http, got, shared};
use crate::support::{unique, until};

/// Sends JSON and waits for the result.
async fn post(http: &Http, path: &str, body: Value) -> Got {
    got(http.post(path).header("prefer", "wait=60").json(&body)).await
}

/// The fields of a result.
async fn result(http: &Http, path: &str, body: Value) -> Value {
    post(http, path, body).await.expect(200).body["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_submitted_and_asked_for() {
    let (http, task) = (shared(), unique("task"));
    let path = format!("/tasks/{task}");
    let later = json!({ "description": "report", "delay_ms": 300 });
    let submitted = http.post(&path).header("prefer", "respond-async");
    let submitted = got(submitted.json(&later)).await.expect(202);
    // The question comes before the task is done, and is answered then. It goes by another topic, so
    // that it may come before the task.
    let asked = until("an answer about the task", async || {
        let asked = http.request(reqwest::Method::GET, &path);
        let asked = got(asked.header("prefer", "wait=60")).await;
        (asked.body["code"] != TASK_NOT_FOUND).then_some(asked)
    })
    .await
    .expect(200);
    assert!(asked.body["data"]["outcome"].is_string(), "{asked:?}");
    let waited = format!("{}?wait=60", submitted.header("location"));
    let answer = http.get(&waited).await.expect(200);
    assert_eq!(answer.body["data"], asked.body["data"]);
    let absurd = json!({ "description": "report", "delay_ms": -1 });
    let refused = post(&http, &format!("/tasks/{}", unique("task")), absurd).await;
    refused.problem(422, "invalid-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_are_awaited_and_resolved() {
    let (http, promise) = (shared(), unique("promise"));
    let path = format!("/promises/{promise}");
    let peeked = http.get(&path).await.expect(200);
    assert_eq!(peeked.body["data"]["status"], "PENDING");
    let awaited = http.request(reqwest::Method::GET, &format!("{path}/await"));
    let awaited = got(awaited.header("prefer", "wait=60"));
    let resolve = format!("{path}/resolve");
    let resolved = result(&http, &resolve, json!({ "value": "yes" }));
    let (awaited, resolved) = tokio::join!(awaited, resolved);
    let awaited = &awaited.expect(200).body["data"];
    for state in [awaited, &resolved] {
        assert_eq!(
            (&state["status"], &state["value"]),
            (&json!("RESOLVED"), &json!("yes"))
        );
    }
    // The first completion counts, and the second one is told so: no failure.
    let late = result(&http, &format!("{path}/reject"), json!({ "message": "no" })).await;
    assert_eq!(late["status"], "RESOLVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_answered_and_mailed() {
    let (http, upload) = (shared(), unique("upload"));
    let path = format!("/uploads/{upload}");
    let data = json!({ "user_id": "userid1", "size_bytes": 1024 });
    let done = result(&http, &path, data).await;
    assert!(done["url"].as_str().unwrap().contains(&upload), "{done}");
    let email = json!({ "email": "userid1@example.com" });
    result(&http, &format!("{path}/email"), email).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_by_card_succeed_or_are_declined() {
    let http = shared();
    for (method, delayed, status) in [
        ("pm_card_visa", false, "SUCCEEDED"),
        ("pm_card_visa", true, "SUCCEEDED"),
        // A result as well: nothing failed.
        ("pm_card_visa_chargeDeclined", true, "DECLINED"),
    ] {
        let path = format!("/payment-intents/{}", unique("payment"));
        let payment = json!({
            "payment_method_id": method, "amount_cents": 10_900, "delayed_status": delayed,
        });
        assert_eq!(result(&http, &path, payment).await["status"], status);
    }
    let path = format!("/payment-intents/{}", unique("payment"));
    let payment = json!({
        "payment_method_id": "pm_card_none", "amount_cents": 1, "delayed_status": false,
    });
    let refused = post(&http, &path, payment).await;
    refused.problem(409, "unknown-payment-method");
}

#[tokio::test(flavor = "multi_thread")]
async fn trips_are_booked_or_rejected() {
    let http = shared();
    let trip = |card: &str| {
        json!({
            "flight": { "flight_id": "12345", "passenger_name": "John Doe" },
            "car": { "pickup_location": "Airport", "rental_date": "2024-12-16" },
            "payment": { "card_number": card, "amount_cents": 150_000 },
        })
    };
    let path = || format!("/trips/{}", unique("trip"));
    let booked = post(&http, &path(), trip("4242424242424242"))
        .await
        .expect(200);
    assert_eq!(booked.body["type"], "millstream.trip_bookings.TripBooked");
    let rejected = post(&http, &path(), trip("4111111111111111"))
        .await
        .expect(200);
    assert_eq!(
        rejected.body["type"],
        "millstream.trip_bookings.TripRejected"
    );
    assert_eq!(rejected.body["data"]["compensations"][0], "refund-charge");
    let mut wrong = trip("4242424242424242");
    wrong["flight"]["flight_id"] = json!(5);
    let wrong = post(&http, &path(), wrong)
        .await
        .problem(400, "invalid-request");
    assert_eq!(wrong["errors"][0]["field"], "flight.flight_id");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_jobs_and_calls_are_answered() {
    let http = shared();
    let machine = format!("/machines/{}/set-up", unique("machine"));
    let state = result(&http, &machine, json!({})).await;
    assert_eq!(state, json!({ "status": "UP", "changed": true }));
    let job = format!("/jobs/{}", unique("job"));
    let done = result(&http, &job, json!({ "description": "shower,make coffee" })).await;
    assert_eq!(done["results"][1]["description"], "make coffee");
    let call = format!("/expensive-calls/{}", unique("call"));
    let sum = result(
        &http,
        &call,
        json!({ "left": 1, "right": 2, "priority": 1 }),
    )
    .await;
    assert_eq!(sum, json!({ "result": 3 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn money_moves_and_comes_back() {
    let (http, account, payment) = (shared(), unique("account"), unique("payment"));
    let deposit = format!("/accounts/{account}/deposits");
    let balance = result(&http, &deposit, json!({ "amount_cents": 1000 })).await;
    assert_eq!(balance["balance_cents"], 1000);
    let path = format!("/payments/{payment}");
    let make = json!({ "account_id": account, "amount_cents": 100 });
    let made = result(&http, &path, make).await;
    assert_eq!(made["status"], "COMPLETED_SUCCESSFULLY");
    let cancelled = result(&http, &format!("{path}/cancel"), json!({})).await;
    assert_eq!(cancelled["status"], "CANCELLED");
    let path = format!("/payments/{}", unique("payment"));
    let too_much = json!({ "account_id": account, "amount_cents": 10_000 });
    let refused = post(&http, &path, too_much).await;
    refused.problem(409, "insufficient-funds");
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_orders_invoices_and_rows_are_taken() {
    let http = shared();
    let path = format!("/users/{}/posts", unique("user"));
    let post_it = json!({ "content": "Hi!", "metadata": "public" });
    assert_eq!(result(&http, &path, post_it).await["status"], "PUBLISHED");
    // An approval may come before its order.
    let path = format!("/orders/{}/approve", unique("order"));
    let approved = got(http.post(&path)).await.expect(200);
    assert_eq!(approved.body["data"], json!({ "approved": true }));
    let path = format!("/invoices/{}/payment-succeeded", unique("invoice"));
    let fact = json!({ "customer": "cus_1", "created": 1_633_025_000_000_000_i64 });
    let accepted = post(&http, &path, fact).await.expect(202);
    assert_eq!(accepted.body["status"], "accepted");
    let path = format!("/v1/topics/db-users/{}", unique("user"));
    let row = json!({ "name": "Emm", "address": "Paris", "credits": 7 });
    let insert = json!({ "type": "InsertUser", "data": row });
    result(&http, &path, insert).await;
    let read = result(&http, &path, json!({ "type": "ReadUser" })).await;
    assert_eq!(read, row);
}
