//! Uploads that become asynchronous: whoever does not wait for the URL asks for it by mail.
//!
//! `run` uploads, for each upload id once. A request for the mail and the completion may come in
//! either order, or together. Each says so by a promise of the workflow and then looks at the
//! other's, so at least one of them sees both. Whoever does claims the mail by a third promise,
//! and the one whose claim was first sends it.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::http;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::{StepError, StepResult, Steps};
use millstream_schemas::data_uploads::{UploadCompleted, UploadData};
use millstream_schemas::outbound_emails::SendEmail;
use millstream_schemas::upload_emails::EmailAccepted;
use millstream_topics::{DataUploads, OutboundEmails, TOPICS, UploadEmails};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

/// The mail goes to another address, which asked first.
pub const OTHER_ADDRESS: &str = "other-address";
/// There is no URL to be mailed, because the upload failed.
pub const UPLOAD_FAILED: &str = "upload-failed";

/// Promise: the address that asked for the mail first.
const EMAIL: &str = "email";
/// Promise: what the upload came to.
const UPLOAD: &str = "upload";
/// Promise: who sends the mail.
const SENDER: &str = "sender";

/// Name of `run` among those who claim the mail.
const RUN: &str = "run";

/// The largest upload: what object stores take, 5 TiB.
const MAX_BYTES: i64 = 5 << 40;
/// The longest mail address, by RFC 5321.
const MAX_ADDRESS_BYTES: usize = 254;
/// Where uploads can be had.
const PLACE: &str = "https://uploads.example/";

/// How fast uploads are.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Bytes per second of the simulated uploads of sync-to-async
    #[arg(
        long,
        default_value = "10000000",
        env = "MILLSTREAM_UPLOAD_BYTES_PER_SECOND",
        value_name = "BYTES"
    )]
    pub upload_bytes_per_second: u64,
}

/// The workflow. Its key is the upload id.
pub struct DataUpload {
    service: Service,
    bytes_per_second: u64,
}

/// What the upload came to, as the promise holds it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Upload {
    Url(String),
    /// With the code of the failure.
    Failed(String),
}

impl DataUpload {
    /// The workflow on `pipeline`; uploads are simulated.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(DataUpload in TOPICS)),
            bytes_per_second: settings.upload_bytes_per_second,
        }
    }
}

#[restate_sdk::workflow(workflow_completion_retention = "30d")]
impl DataUpload {
    /// Uploads, once for each upload id.
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, record: Bytes) -> HandlerResult<Bytes> {
        let flow = self.service.run::<DataUploads>(&ctx, record).await?;
        let steps = flow.steps();
        let uploaded = upload(&steps, ctx.key(), &flow.event, self.bytes_per_second).await;
        let outcome = match &uploaded {
            Ok(completed) => Upload::Url(completed.url.clone()),
            Err(StepError::Failed(failure)) => Upload::Failed(failure.code.to_string()),
            Err(StepError::Attempt(_)) => return flow.finish(uploaded).await,
        };
        ctx.resolve_promise(UPLOAD, Bytes::from(serde_json::to_vec(&outcome)?));
        if let Upload::Url(url) = outcome {
            let mut sent = mail_if_wanted(&ctx, &steps, &url).await;
            if is_cancelled(&sent) {
                // It is too late for that: the upload is complete, and the mail was promised.
                sent = mail_if_wanted(&ctx, &steps, &url).await;
            }
            match sent {
                Err(StepError::Attempt(error)) => return Err(error),
                Err(StepError::Failed(failure)) => {
                    tracing::error!(%failure, upload = ctx.key(), "the mail cannot be sent");
                }
                Ok(()) => {}
            }
        }
        flow.finish(uploaded).await
    }

    /// Handles `data-uploads`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: SharedWorkflowContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.service.start::<DataUploads>(&ctx, record).await
    }

    /// Handles `upload-emails`.
    #[handler(name = "onEmail")]
    async fn on_email(&self, ctx: SharedWorkflowContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive_shared::<UploadEmails>(&ctx, record);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        let claimant = format!("event {}", turn.meta().id);
        let accepted = accept(&ctx, &turn.steps(), claimant, &turn.event.email).await;
        turn.finish(accepted).await
    }
}

async fn upload(
    steps: &Steps<'_>,
    upload: &str,
    data: &UploadData,
    bytes_per_second: u64,
) -> StepResult<UploadCompleted> {
    check(upload, data)?;
    let url = url(&data.user_id, upload)?;
    steps
        .sleep(duration(data.size_bytes, bytes_per_second))
        .await?;
    Ok(UploadCompleted { url })
}

/// The end of `run`: sends the mail if somebody has asked for it by now.
async fn mail_if_wanted(ctx: &WorkflowContext<'_>, steps: &Steps<'_>, url: &str) -> StepResult<()> {
    let Some(email) = ctx.peek_promise::<Bytes>(EMAIL).await? else {
        return Ok(());
    };
    ctx.resolve_promise(SENDER, Bytes::from(RUN));
    if ctx.promise::<Bytes>(SENDER).await? == RUN.as_bytes() {
        mail(steps, ctx.key(), &String::from_utf8_lossy(&email), url).await?;
    }
    Ok(())
}

/// Takes a request for the mail; sends it if the upload is complete by now.
async fn accept(
    ctx: &SharedWorkflowContext<'_>,
    steps: &Steps<'_>,
    claimant: String,
    email: &str,
) -> StepResult<EmailAccepted> {
    check_address(email)?;
    ctx.resolve_promise(EMAIL, Bytes::from(email.to_owned()));
    if ctx.promise::<Bytes>(EMAIL).await? != email.as_bytes() {
        let message = "another address asked for this mail first; look there";
        return Err(Failure::new(OTHER_ADDRESS, message).into());
    }
    let Some(outcome) = ctx.peek_promise::<Bytes>(UPLOAD).await? else {
        return Ok(EmailAccepted {});
    };
    let outcome = serde_json::from_slice(&outcome).map_err(HandlerError::from)?;
    let url = match outcome {
        Upload::Url(url) => url,
        Upload::Failed(code) => {
            let message = format!("the upload ended with {code}; upload again under a new id");
            return Err(Failure::new(UPLOAD_FAILED, message).into());
        }
    };
    ctx.resolve_promise(SENDER, Bytes::from(claimant.clone()));
    if ctx.promise::<Bytes>(SENDER).await? == claimant.as_bytes() {
        mail(steps, ctx.key(), email, &url).await?;
    }
    Ok(EmailAccepted {})
}

async fn mail(steps: &Steps<'_>, upload: &str, email: &str, url: &str) -> StepResult<()> {
    let mail = SendEmail {
        recipient: email.to_owned(),
        subject: "Your upload is complete".into(),
        body: format!("Your data is at {url}"),
    };
    let steps = steps.once("mail");
    steps.emit::<OutboundEmails>(upload, mail).await
}

fn is_cancelled(result: &StepResult<()>) -> bool {
    matches!(result, Err(StepError::Failed(failure)) if failure.code == failure::CANCELLED)
}

/// Who uploads and the upload become parts of its URL.
fn check(upload: &str, data: &UploadData) -> Result<(), Failure> {
    if data.user_id.trim().is_empty() {
        return Err(Failure::invalid_request("user_id is empty; fill it in"));
    }
    http::check_segment(&data.user_id)?;
    http::check_segment(upload)?;
    if !(1..=MAX_BYTES).contains(&data.size_bytes) {
        return Err(Failure::invalid_request(format!(
            "size_bytes must be 1 to {MAX_BYTES}"
        )));
    }
    Ok(())
}

/// Whether a mail could go there: nobody can tell before it is sent.
fn check_address(email: &str) -> Result<(), Failure> {
    let halves = email.rsplit_once('@');
    let is_text = |half: &str| {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>,;".contains(c);
        !half.is_empty() && half.chars().all(is_plain)
    };
    match halves {
        Some((name, host))
            if is_text(name) && is_text(host) && email.len() <= MAX_ADDRESS_BYTES =>
        {
            Ok(())
        }
        _ => Err(Failure::invalid_request(
            "email is no mail address; write one, such as name@example.com",
        )),
    }
}

/// How long an upload takes; more than nothing, so that it can be overtaken.
fn duration(size_bytes: i64, bytes_per_second: u64) -> Duration {
    let bytes = size_bytes.unsigned_abs();
    let ms = u128::from(bytes) * 1000 / u128::from(bytes_per_second.max(1));
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX).max(1))
}

fn url(user: &str, upload: &str) -> Result<String, HandlerError> {
    Ok(http::address(PLACE, [user, upload])?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_upload_says_whose_and_how_much() {
        let data = |user_id: &str, size_bytes| UploadData {
            user_id: user_id.into(),
            size_bytes,
        };
        assert_eq!(check("a/b", &data("u", 1)), Ok(()));
        assert_eq!(check("up", &data("u", MAX_BYTES)), Ok(()));
        for bad in [
            data(" ", 1),
            data("u", 0),
            data("u", -1),
            data("u", i64::MAX),
        ] {
            assert_eq!(check("up", &bad).unwrap_err().code, "invalid-request");
        }
    }

    #[test]
    fn a_mail_address_has_two_halves() {
        for good in ["a@b", "first.last+tag@example.com", "\"a@b\"@c"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "a@b\r\nBcc: c@d",
            "a@b,c@d",
            &long,
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_hold_any_key() {
        assert_eq!(
            url("user 1", "a/b?c").unwrap(),
            "https://uploads.example/user%201/a%2Fb%3Fc"
        );
    }

    proptest! {
        #[test]
        fn more_takes_longer(a in 1..MAX_BYTES, b in 1..MAX_BYTES, rate in 0..u64::MAX) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(duration(less, rate) <= duration(more, rate));
            prop_assert!(!duration(less, rate).is_zero());
        }
    }
}
