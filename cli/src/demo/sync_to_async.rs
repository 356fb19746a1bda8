//! A small upload is waited for. A large one is not: its URL comes by mail, once.

use std::time::Duration;

use millstream_pipeline::events::Topic;
use millstream_schemas::data_uploads::{UploadCompleted, UploadData};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::upload_emails::{EmailAccepted, EmailUploadUrl};
use millstream_topics::{DataUploads, OutboundEmails, UploadEmails};

use super::Run;

/// How long the caller waits for the URL.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bytes that take a tenth of a second, and three seconds.
const SMALL: i64 = 1_000_000;
const LARGE: i64 = 30_000_000;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let data = |size_bytes| UploadData {
        user_id: "userid1".into(),
        size_bytes,
    };
    let upload = run.key("upload1");
    let completed: UploadCompleted = run.request::<DataUploads, _>(&upload, data(SMALL)).await?;
    run.expect("the URL", completed.url.ends_with(&upload), true);

    let upload = run.key("upload2");
    let waiting = run.meta();
    run.send::<DataUploads>(&upload, data(LARGE), &waiting)
        .await?;
    let in_time = run.is_answered_within(&waiting, PATIENCE).await;
    run.expect("the large upload is there in time", in_time, false);
    let email = || EmailUploadUrl {
        email: "userid1@example.com".into(),
    };
    run.request::<UploadEmails, EmailAccepted>(&upload, email())
        .await?;
    let mail = run
        .record(OutboundEmails::DECLARATION.name, &upload)
        .await?;
    let completed: UploadCompleted = run.result_of(&waiting).await?.event()?;
    let mail: SendEmail = mail.event()?;
    run.expect(
        "the mail has the URL",
        mail.body.contains(&completed.url),
        true,
    );

    run.request::<UploadEmails, EmailAccepted>(&upload, email())
        .await?;
    let mails = run.records(OutboundEmails::DECLARATION.name, &upload).len();
    run.expect("mails of the large upload", mails, 1);
    Ok(())
}
