//! Requests to several services at once, sent by a service of the test's own.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_devstack::Part;
use millstream_pipeline::events::Topic;
use millstream_pipeline::failure::HANDLER_FAILED;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline, Service};
use millstream_pipeline::steps::{StepError, StepResult, Steps};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::product_reservations::ReserveProduct;
use millstream_schemas::subtasks::RunSubtask;
use millstream_topics::{OutboundEmails, ProductReservations, Subtasks, TOPICS};
use restate_sdk::endpoint::Endpoint;
use restate_sdk::http_server::HttpServer;
use restate_sdk::prelude::*;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::support::{LIMIT, OwnStack, client_of, query, unique, until};

/// Asks two services about a mail.
struct Asker {
    service: Service,
    told: UnboundedSender<Heard>,
}

/// Of which mail and by which invocation it was told what.
struct Heard {
    subject: String,
    invocation: String,
    told: Told,
}

/// What it was told: the requests in the order in which they were answered, and the answers.
#[derive(Debug, PartialEq)]
struct Told {
    order: Vec<usize>,
    reserved: bool,
    outcome: String,
    refused: String,
}

#[restate_sdk::service(name = "Asker")]
impl Asker {
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: Context<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive_in_service::<OutboundEmails>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        match ask(&turn.steps(), &turn.event.subject).await {
            Ok(told) => self.told.send(Heard {
                subject: turn.event.subject.clone(),
                invocation: ctx.invocation_id().to_owned(),
                told,
            })?,
            Err(StepError::Failed(failure)) => return turn.fail(failure).await,
            Err(StepError::Attempt(error)) => return Err(error),
        }
        turn.answer(()).await
    }
}

async fn ask(steps: &Steps<'_>, key: &str) -> StepResult<Told> {
    let mut requests = steps.ask(LIMIT);
    let description = "a".to_owned();
    let slow = requests.add::<Subtasks>(key, RunSubtask { description });
    let reserve = |reservation_id| ReserveProduct { reservation_id };
    let quick = requests.add::<ProductReservations>(key, reserve("r1".into()));
    // Its topic does not take it.
    let large = requests.add::<ProductReservations>(key, reserve("r".repeat(1_100_000)));
    let mut order = Vec::new();
    while let Some(number) = requests.next().await? {
        order.push(number);
    }
    let refused = match requests.get(large).await {
        Err(StepError::Failed(failure)) => failure.code.into_owned(),
        other => format!("{other:?}"),
    };
    Ok(Told {
        order,
        reserved: requests.get(quick).await?.reserved,
        outcome: requests.get(slow).await?.outcome,
        refused,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_asks_several_services_at_once() {
    let keep = (
        "RESTATE_DEFAULT_JOURNAL_RETENTION".to_owned(),
        "1h".to_owned(),
    );
    let stack = OwnStack::start(BTreeMap::from([(Part::Restate, [keep].into())])).await;
    let endpoints = stack.endpoints();
    let (told, mut hears) = unbounded_channel();
    let pipeline = Pipeline::new(&endpoints, TOPICS, DEFAULT_PREFIX).unwrap();
    let service = pipeline.service("Asker");
    let endpoint = Endpoint::builder().bind(Asker { service, told }).build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(HttpServer::new(endpoint).serve(listener));
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    let topic = OutboundEmails::DECLARATION.name;
    for (path, body) in [
        ("deployments", json!({ "uri": uri })),
        (
            "subscriptions",
            json!({
                "source": format!("kafka://millstream/{topic}"),
                "sink": "service://Asker/onEvent",
                "options": { "auto.offset.reset": "earliest", "group.id": "asker" },
            }),
        ),
    ] {
        let url = format!("{}/{path}", endpoints.restate_admin);
        let done = http.post(url).json(&body).send().await.unwrap();
        done.error_for_status().unwrap();
    }
    let client = client_of(&endpoints).await;
    let subject = unique("asked");
    let mail = SendEmail {
        recipient: "somebody".into(),
        subject: subject.clone(),
        body: String::new(),
    };
    let key = unique("mail");
    let sent = client.send::<OutboundEmails>(&key, mail, None);
    sent.await.unwrap();
    // Others who had this stack have sent mails, too.
    let Heard {
        invocation,
        mut told,
        ..
    } = loop {
        let heard = tokio::time::timeout(LIMIT, hears.recv()).await.unwrap();
        let heard = heard.unwrap();
        if heard.subject == subject {
            break heard;
        }
    };
    assert_eq!(told.order[0], 2, "what cannot be sent is known at once");
    // Which of the two others is answered first is up to how fast their topics are taken.
    told.order.sort_unstable();
    let expected = Told {
        order: vec![0, 1, 2],
        reserved: true,
        outcome: "DONE".into(),
        refused: HANDLER_FAILED.into(),
    };
    assert_eq!(told, expected);
    // One timer and one `run` for all of them, and a signal for each of the two that are waited for.
    // A signal may be journaled before the timer is: an answer can be faster than the asking.
    let sql = format!(
        "SELECT j.entry_type FROM sys_journal j JOIN sys_invocation i ON i.id = j.id \
         WHERE i.id = '{invocation}' AND i.status = 'completed' ORDER BY j.index"
    );
    let entries = until("the end of the invocation", async || {
        let rows = query(&endpoints.restate_admin, &sql).await;
        let ended = rows
            .iter()
            .any(|row| row["entry_type"] == "Command: Output");
        ended.then_some(rows)
    })
    .await;
    let (signals, own): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|row| row["entry_type"].as_str().unwrap())
        .partition(|entry| *entry == "Notification: Signal");
    assert_eq!(signals.len(), 2);
    let expected = [
        "Command: Input",
        "Command: Sleep",
        "Command: Run",
        "Notification: Run",
        "Command: Output",
    ];
    assert_eq!(own, expected);
}
