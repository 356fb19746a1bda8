//! Workflows: one run for each key, however many commands ask for it, and one answer for each of
//! them.
//!
//! The engine silently ignores a second `run` for a key. So a workflow's topic is subscribed by its
//! shared handler `onEvent`, which starts `run` ([`Service::start`]), awaits what it comes to and
//! answers its own command with that. `run` takes the record of the first command
//! ([`Service::run`]) and returns an encoded result or refusal ([`Flow::finish`]).
//!
//! The result can be had for as long as the engine keeps it: `workflow_completion_retention`, which
//! is thirty days for every workflow of the catalogue. A key that comes again later runs again, and
//! what that run emits has ids of its own; only what is emitted by [`Steps::once`] has the same ids
//! again.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use millstream_events::{EventMeta, Topic};
use restate_sdk::context::RequestTarget;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Digested, EncodedBody};
use crate::failure::{self, Failure};
use crate::identity::events::Incoming;
use crate::lane::keyed::position;
use crate::lane::origin::Origin;
use crate::process::{Emitter, filled};
use crate::record::digest::hex;
use crate::record::source_offset::SourceOffset;
use crate::service::Service;
use crate::state::STATE_ENTRY;
use crate::steps::{StepError, StepResult, Steps};

/// Name of the handler that runs a workflow.
const RUN: &str = "run";
/// What is decoded with a digest has one.
const NO_DIGEST: &str = "the command's body has no digest";

/// What a run came to, as it is kept by the engine.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    /// Digest of the command that started it: another one under the same key is refused.
    request: String,
    #[serde(flatten)]
    end: End,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// The result in Confluent's wire format with `meta` null, in base64.
    Result {
        name: String,
        value: String,
    },
    Refused {
        code: String,
        message: String,
    },
}

impl Service {
    /// Starts the workflow's `run` with this record, unless it runs or ran already, and answers the
    /// command with what the run comes to.
    pub async fn start<T: Topic>(
        &self,
        ctx: &SharedWorkflowContext<'_>,
        record: Bytes,
    ) -> HandlerResult<()> {
        let position = position(ctx.headers(), ctx.invocation_id())?;
        let came = (ctx.key(), position);
        let received = self.shared_turn::<T>(ctx, came, record.clone(), Digested::Always);
        let Some(turn) = received.await? else {
            return Ok(());
        };
        turn.handled.origin().waits();
        let request = match &turn.handled.checked.body_digest {
            Some(digest) => hex::<16>(digest),
            None => return Err(TerminalError::new(NO_DIGEST).into()),
        };
        let target = RequestTarget::workflow(self.name, ctx.key(), RUN);
        let mut run = ctx.request::<_, Bytes>(target, record);
        for (name, value) in turn.handled.checked.received.position.to_headers() {
            run = run.header(name.to_owned(), value);
        }
        let running = match run.send().await {
            Ok(handle) => handle.attach::<Bytes>().await,
            Err(error) => Err(error),
        };
        let outcome: Outcome = match running {
            Ok(outcome) => serde_json::from_slice(&outcome)?,
            Err(error) => return turn.fail(Failure::of_terminal(&error)).await,
        };
        if outcome.request != request {
            let failure = Failure::new(
                failure::IDEMPOTENCY_MISMATCH,
                "this key was used before with another body; use a new key for a new request",
            );
            return turn.fail(failure).await;
        }
        match outcome.end {
            End::Refused { code, message } => turn.fail(Failure::remote(code, message)).await,
            End::Result { name, value } => {
                let value = BASE64_STANDARD.decode(value)?;
                turn.answer_encoded(name, value).await
            }
        }
    }

    /// Begins the workflow's `run` with the record of the command that started it.
    pub async fn run<'a, T: Topic>(
        &self,
        ctx: &'a WorkflowContext<'_>,
        record: Bytes,
    ) -> HandlerResult<Flow<'a, T>> {
        let position = position(ctx.headers(), ctx.invocation_id())?;
        let shared = Arc::clone(&self.pipeline.shared);
        let decoded = match shared
            .codec
            .decode_digested::<T::Event>(&record, Digested::Always)
            .await
        {
            Ok(decoded) => decoded,
            Err(DecodeError::Registry(error)) => return Err(error.into()),
            // `onEvent` has decoded it before.
            Err(error) => return Err(TerminalError::new(error.to_string()).into()),
        };
        let terminal = |failure: Failure| TerminalError::new(failure.to_string());
        let event = decoded.event.map_err(terminal)?;
        let digest = decoded.body_digest.transpose().map_err(terminal)?;
        let digest = digest.ok_or_else(|| TerminalError::new(NO_DIGEST))?;
        let received = self.received::<T>(ctx.key(), position, record);
        let position = &received.position;
        let mut cause = filled(decoded.meta.unwrap_or_default(), &received);
        let came = Incoming {
            address: (T::DECLARATION.name, ctx.key()),
            full_name: &decoded.full_name,
            position,
            record: &received.record,
            body_at: decoded.body_at,
        };
        // `onEvent` has refused what must be proven and is not; here it is about the name alone.
        let _ = shared.proofs.prove(&mut cause, &came);
        let emitter = Emitter::of(&received, &Arc::new(cause));
        let emitter = Emitter {
            handler: format!("{}/{RUN}", self.name).into(),
            // That of the command that asked first. A run of the same key after the retention has
            // another one, so whom it asks does not take its commands for copies.
            id_base: Some(format!("{}/{}", emitter.source, emitter.cause.id)),
            ..emitter
        };
        let origin = Origin::new(shared, emitter, position.recorded_micros());
        Ok(Flow {
            event,
            ctx,
            request: hex::<16>(&digest),
            position: received.position,
            steps: Steps::new(ctx, Arc::new(origin)),
        })
    }
}

/// A running workflow.
pub struct Flow<'a, T: Topic> {
    /// The command that started it.
    pub event: T::Event,
    ctx: &'a WorkflowContext<'a>,
    request: String,
    position: SourceOffset,
    steps: Steps<'a>,
}

impl<'a, T: Topic> Flow<'a, T> {
    /// `meta` of the command that started it.
    pub fn meta(&self) -> &EventMeta {
        &self.steps.origin.emitter.cause
    }

    /// When that command was recorded, in milliseconds since 1970-01-01 UTC.
    pub fn recorded_ms(&self) -> i64 {
        self.position.recorded_ms()
    }

    /// Journaled emits, requests and waits.
    pub fn steps(&self) -> Steps<'a> {
        self.steps.clone()
    }

    /// Shows how far the workflow is: `restate kv get` prints it.
    pub fn show(&self, state: &impl Serialize) -> HandlerResult<()> {
        let state = Bytes::from(serde_json::to_vec(state)?);
        self.ctx.set(STATE_ENTRY, state);
        Ok(())
    }

    /// Ends the run with its result or refusal, for every command that waits for it.
    pub async fn finish(self, result: StepResult<impl Into<T::Result>>) -> HandlerResult<Bytes> {
        let end = match result {
            Ok(result) => self.encoded(result.into()).await?,
            Err(StepError::Failed(failure)) => refused(failure),
            Err(StepError::Attempt(error)) => return Err(error),
        };
        let request = self.request;
        Ok(serde_json::to_vec(&Outcome { request, end })?.into())
    }

    async fn encoded(&self, result: T::Result) -> HandlerResult<End> {
        let Some(body) = EncodedBody::of(&result) else {
            return Err(TerminalError::new("a workflow's topic has commands only").into());
        };
        let body = match body {
            Ok(body) => body,
            Err(failure) => return Ok(refused(failure)),
        };
        let value = self.steps.origin.shared.codec.join(&body, None).await?;
        Ok(End::Result {
            name: body.schema.full_name.to_owned(),
            value: BASE64_STANDARD.encode(value),
        })
    }
}

fn refused(failure: Failure) -> End {
    let failure = failure.shortened();
    End::Refused {
        code: failure.code.into_owned(),
        message: failure.message,
    }
}
