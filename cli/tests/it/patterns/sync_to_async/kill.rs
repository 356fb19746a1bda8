//! Handlers that are killed while they upload, and around the mail.

use std::collections::BTreeMap;

use millstream_devstack::Part;
use millstream_schemas::data_uploads::UploadCompleted;
use millstream_schemas::upload_emails::EmailAccepted;
use millstream_topics::DataUploads;

use super::{ADDRESS, LARGE, SMALL, ask, data, mailed_once, mails, upload};
use crate::support::{LIMIT, OwnStack, client_of, sql, unique, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_and_its_mail_survive_kills() {
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let client = client_of(&endpoints).await;
    let restart = async || {
        stack.kill_part(Part::Handlers).await.unwrap();
        stack.start_part(Part::Handlers).await.unwrap();
    };

    // While it uploads; the mail was asked for.
    let (id, meta) = (unique("upload"), client.meta());
    let sending = client.send::<DataUploads>(&id, data(LARGE), Some(&meta));
    sending.await.unwrap();
    ask(&client, &id, ADDRESS)
        .await
        .event::<EmailAccepted>()
        .unwrap();
    until("the durable timer", async || {
        let journals = sql::journals(&endpoints, "DataUpload", &id).await;
        let sleeps = |entries: &[String]| entries.iter().any(|it| it == "Command: Sleep");
        journals.iter().any(|(_, it)| sleeps(it)).then_some(())
    })
    .await;
    restart().await;
    let completed: UploadCompleted = client
        .result_of(&meta, LIMIT)
        .await
        .unwrap()
        .event()
        .unwrap();
    mailed_once(&client, &id, &completed).await;

    // As soon as a mail by `run` is there, and as soon as one by a late request is there.
    for late in [false, true] {
        let (id, meta) = (unique("upload"), client.meta());
        if late {
            upload(&client, &id, SMALL).await;
        }
        let (first, second) = tokio::join!(
            async {
                let sending = client.send::<DataUploads>(&id, data(SMALL), Some(&meta));
                sending.await.unwrap();
                ask(&client, &id, ADDRESS).await
            },
            async {
                until("the mail", async || mails(&client, &id).pop()).await;
                restart().await;
            }
        );
        first.event::<EmailAccepted>().unwrap();
        let () = second;
        let seen = client.result_of(&meta, LIMIT).await.unwrap();
        // A copy of the mail is allowed by a kill between Kafka and the journal, with the same id.
        let copies = mails(&client, &id);
        let same = copies
            .iter()
            .all(|it| it.meta.as_ref().unwrap().id == copies[0].meta.as_ref().unwrap().id);
        assert!(same, "{copies:?}");
        seen.event::<UploadCompleted>().unwrap();
    }
}
