//! Uploads whose URL is answered, or mailed once to those who did not wait.

mod kill;

use millstream_pipeline::client::Client;
use millstream_pipeline::events::Topic;
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::data_uploads::{UploadCompleted, UploadData};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::upload_emails::{EmailAccepted, EmailUploadUrl};
use millstream_topics::{DataUploads, OutboundEmails, UploadEmails};

use crate::support::{LIMIT, client, endpoints, failure, sql, unique, until};

/// Bytes that take 20 ms, and ten seconds.
const SMALL: i64 = 200_000;
const LARGE: i64 = 100_000_000;

const ADDRESS: &str = "user@example.com";

fn data(size_bytes: i64) -> UploadData {
    UploadData {
        user_id: "userid1".into(),
        size_bytes,
    }
}

async fn upload(client: &Client, id: &str, size_bytes: i64) -> Seen {
    let request = client.request::<DataUploads>(id, data(size_bytes), LIMIT);
    request.await.unwrap()
}

async fn ask(client: &Client, id: &str, email: &str) -> Seen {
    let email = EmailUploadUrl {
        email: email.into(),
    };
    let request = client.request::<UploadEmails>(id, email, LIMIT);
    request.await.unwrap()
}

/// The mails about an upload, with copies.
fn mails(client: &Client, id: &str) -> Vec<Seen> {
    let topic = OutboundEmails::DECLARATION.name;
    client.seen(|seen| seen.topic == topic && seen.key.as_deref() == Some(id))
}

/// Waits for the mail about an upload and checks that it is the only one.
async fn mailed_once(client: &Client, id: &str, completed: &UploadCompleted) {
    until("the mail", async || mails(client, id).pop()).await;
    // A request that comes now is answered after whatever it could send.
    ask(client, id, ADDRESS)
        .await
        .event::<EmailAccepted>()
        .unwrap();
    let mails = mails(client, id);
    assert_eq!(mails.len(), 1, "{mails:?}");
    let mail: SendEmail = mails[0].event().unwrap();
    assert_eq!(mail.recipient, ADDRESS);
    assert!(mail.body.contains(&completed.url), "{}", mail.body);
    assert_eq!(
        mails[0].meta.as_ref().unwrap().source,
        format!("DataUpload/{id}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_runs_once_for_all_who_ask() {
    let (client, id) = (client().await, unique("upload"));
    let (first, second) = tokio::join!(upload(&client, &id, SMALL), upload(&client, &id, SMALL));
    let later = upload(&client, &id, SMALL).await;
    for seen in [&first, &second, &later] {
        let completed: UploadCompleted = seen.event().unwrap();
        assert_eq!(
            completed.url,
            format!("https://uploads.example/userid1/{id}")
        );
    }
    let runs = sql::journals(endpoints(), "DataUpload", &id).await;
    let sleeps = |entries: &Vec<String>| entries.iter().any(|it| it == "Command: Sleep");
    let slept = runs.iter().filter(|(_, entries)| sleeps(entries)).count();
    assert_eq!(slept, 1, "{runs:?}");
    assert_eq!(
        failure(&upload(&client, &id, LARGE).await),
        "idempotency-mismatch"
    );
    assert!(mails(&client, &id).is_empty(), "nobody asked for a mail");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_asked_for_before_during_or_after_is_sent_once() {
    let client = client().await;
    for (when, size) in [("before", SMALL), ("during", LARGE), ("after", SMALL)] {
        let (id, meta) = (unique(when), client.meta());
        if when == "before" {
            for _ in 0..3 {
                ask(&client, &id, ADDRESS)
                    .await
                    .event::<EmailAccepted>()
                    .unwrap();
            }
        }
        let sending = client.send::<DataUploads>(&id, data(size), Some(&meta));
        sending.await.unwrap();
        if when == "during" {
            for _ in 0..3 {
                ask(&client, &id, ADDRESS)
                    .await
                    .event::<EmailAccepted>()
                    .unwrap();
            }
            let waiting = client.seen(|seen| {
                seen.meta.as_ref().and_then(|it| it.causation_id.as_ref()) == Some(&meta.id)
            });
            assert!(waiting.is_empty(), "it still runs");
            assert!(mails(&client, &id).is_empty(), "there is no URL yet");
        }
        let seen = client.result_of(&meta, LIMIT).await.unwrap();
        if when == "after" {
            let asking = (0..5).map(|_| ask(&client, &id, ADDRESS));
            for seen in futures::future::join_all(asking).await {
                seen.event::<EmailAccepted>().unwrap();
            }
        }
        mailed_once(&client, &id, &seen.event().unwrap()).await;
    }
}

/// Requests that hit the very moment of completion, from both sides of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_asked_for_at_completion_is_sent_once() {
    let client = client().await;
    let racing = (0..40).map(|_| async {
        let id = unique("race");
        let (uploaded, ..) = tokio::join!(
            upload(&client, &id, 1),
            ask(&client, &id, ADDRESS),
            ask(&client, &id, ADDRESS)
        );
        mailed_once(&client, &id, &uploaded.event().unwrap()).await;
    });
    futures::future::join_all(racing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_address_gets_the_mail() {
    let (client, id) = (client().await, unique("upload"));
    ask(&client, &id, ADDRESS)
        .await
        .event::<EmailAccepted>()
        .unwrap();
    let other = ask(&client, &id, "other@example.com").await;
    assert_eq!(failure(&other), "other-address");
    let completed = upload(&client, &id, SMALL).await.event().unwrap();
    let other = ask(&client, &id, "other@example.com").await;
    assert_eq!(failure(&other), "other-address");
    mailed_once(&client, &id, &completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_uploads_and_addresses_are_refused() {
    let client = client().await;
    for (user, size) in [("", 5), ("u", 0), ("u", -5), ("u", i64::MAX)] {
        let id = unique("upload");
        let bad = UploadData {
            user_id: user.into(),
            size_bytes: size,
        };
        let request = client.request::<DataUploads>(&id, bad, LIMIT);
        assert_eq!(failure(&request.await.unwrap()), "invalid-request");
        let refused = ask(&client, &id, ADDRESS).await;
        assert_eq!(failure(&refused), "upload-failed");
        assert!(mails(&client, &id).is_empty());
    }
    let id = unique("upload");
    for address in ["", "nobody", "a@b\r\nBcc: c@d"] {
        assert_eq!(
            failure(&ask(&client, &id, address).await),
            "invalid-request"
        );
    }
    // None of them has taken the place of a good one.
    ask(&client, &id, ADDRESS)
        .await
        .event::<EmailAccepted>()
        .unwrap();
    let completed = upload(&client, &id, SMALL).await.event().unwrap();
    mailed_once(&client, &id, &completed).await;
}
