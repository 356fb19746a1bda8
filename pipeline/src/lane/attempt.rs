//! One request of Restate's, which is one attempt at an invocation: the SDK handles it while it is
//! polled, and how it began is told to whoever asks, unless it has ended the process too often.
//!
//! It begins with the object's state and the journal so far, which Restate sends before anything else.
//! The SDK's `get` journals what it reads: a log record more for each event, with the whole state in
//! it. A handler that journals nothing but one `set` can do without: its object is locked, so every
//! attempt finds the same state until the `set` is journaled, and then nothing is left to do
//! (decision 20).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};
use restate_sdk::endpoint::{Endpoint, ResponseBody};

use crate::lane::crashes::{CrashGuard, Running};
use crate::lane::protocol::{EagerState, First, ends, read};

/// What is known of an attempt.
#[derive(Default)]
struct Known {
    /// How it began; empty until its first messages have come.
    first: OnceLock<First>,
    is_taken: AtomicBool,
    /// Whether it is marked while it runs.
    is_marked: AtomicBool,
}

impl Known {
    /// How it began, if it is marked.
    fn marked(&self) -> Option<&First> {
        let is_marked = self.is_marked.load(Ordering::Relaxed);
        self.first.get().filter(|_| is_marked)
    }
}

tokio::task_local! {
    static KNOWN: Arc<Known>;
}

/// What the attempt that this code runs in knows of its object's state. It is told once: whoever comes
/// second comes after the state may have been written.
pub(crate) fn eager_state() -> EagerState {
    let known = KNOWN.try_with(|known| {
        let is_first = !known.is_taken.swap(true, Ordering::Relaxed);
        let first = known.first.get().filter(|_| is_first)?;
        Some(first.beginning.clone())
    });
    known.ok().flatten().unwrap_or(EagerState::FromJournal)
}

/// The number of the attempt that this code runs in, since its journal last grew, from 1.
pub(crate) fn number() -> u32 {
    let known = KNOWN.try_with(|known| known.first.get().map(|first| first.attempt));
    known.ok().flatten().unwrap_or(1)
}

/// Lets the SDK handle a request whose handler may ask how its attempt began, unless it has ended the
/// process too often.
pub(crate) async fn handle<B>(
    endpoint: &Endpoint,
    guard: Option<Arc<CrashGuard>>,
    request: Request<B>,
) -> Response<Attempt>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let (parts, mut rest) = request.into_parts();
    let (mut begun, mut convicted) = (VecDeque::new(), None);
    let known = Arc::new(Known::default());
    if let Some(guard) = guard.as_deref().filter(|guard| guard.is_careful()) {
        let mut received = Vec::new();
        while let Some(Ok(frame)) = rest.frame().await {
            received.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            begun.push_back(frame);
            if let Some(first) = read(&received) {
                convicted = guard.convicts(parts.uri.path(), &first, &received);
                if convicted.is_some() {
                    // What answers in its place is watched as well.
                    known.is_marked.store(true, Ordering::Relaxed);
                    let _ = known.first.set(first);
                }
                break;
            }
        }
    }
    let (to, mut received) = (Arc::clone(&known), Some(Vec::new()));
    let marks = guard.clone();
    let body = Resumed { begun, rest }.map_frame(move |frame| {
        if let (Some(bytes), Some(data)) = (&mut received, frame.data_ref()) {
            bytes.extend_from_slice(data);
            if let Some(first) = read(bytes) {
                // Its handler runs as soon as it has this.
                let is_marked = marks.as_deref().is_some_and(|marks| marks.begins(&first));
                to.is_marked.store(is_marked, Ordering::Relaxed);
                let _ = to.first.set(first);
                received = None;
            }
        }
        frame
    });
    let response = endpoint.handle(Request::from_parts(parts, body));
    // A request that is not signed is not answered by this either.
    let convicted = convicted.filter(|_| response.status().is_success());
    response.map(|body| Attempt {
        run: match convicted {
            Some(answer) => Run::Convicted(Some(answer)),
            None => Run::Handler(body),
        },
        known,
        guard,
    })
}

/// A body of which the first frames were taken before.
struct Resumed<B> {
    begun: VecDeque<Frame<Bytes>>,
    rest: B,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Resumed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.begun.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }
}

/// The response, which runs the handler while it is polled.
pub(crate) struct Attempt {
    run: Run,
    known: Arc<Known>,
    guard: Option<Arc<CrashGuard>>,
}

enum Run {
    Handler(ResponseBody),
    Convicted(Option<BoxFuture<'static, Bytes>>),
}

impl Body for Attempt {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { run, known, guard } = &mut *self;
        let running = guard.as_deref().map(|guard| {
            let marked = known.marked().map(|first| first.invocation.as_str());
            guard.runs(marked)
        });
        let polled = match run {
            Run::Handler(body) => {
                KNOWN.sync_scope(Arc::clone(known), || Pin::new(body).poll_frame(context))
            }
            Run::Convicted(answer) => match answer.as_mut().map(|it| it.poll_unpin(context)) {
                Some(Poll::Pending) => Poll::Pending,
                Some(Poll::Ready(messages)) => {
                    *answer = None;
                    Poll::Ready(Some(Ok(Frame::data(messages))))
                }
                None => Poll::Ready(None),
            },
        };
        // It may have been marked only now.
        if let (Some(guard), Some(first)) = (guard.as_deref(), known.marked()) {
            running.into_iter().for_each(Running::leave);
            let is_end = |frame: &Frame<Bytes>| frame.data_ref().is_some_and(|it| ends(it));
            if let Poll::Ready(Some(Ok(frame))) = &polled
                && is_end(frame)
            {
                guard.ended(&first.invocation);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.run {
            Run::Handler(body) => body.is_end_stream(),
            Run::Convicted(answer) => answer.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.run {
            Run::Handler(body) => body.size_hint(),
            Run::Convicted(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use millstream_events::Topic;
    use millstream_topics::ProductReservations;
    use restate_sdk::prelude::{HandlerResult, ObjectContext};

    use super::*;
    use crate::config::Endpoints;
    use crate::failure::Failure;
    use crate::lane::protocol::tests::{command, sent, state};
    use crate::lane::protocol::{END, OUTPUT, SET_STATE, message};
    use crate::service::{Pipeline, Service};
    use crate::state::STATE_ENTRY;

    struct Refuses(Service);

    #[restate_sdk::object(name = "Refuses")]
    impl Refuses {
        #[handler(name = "onEvent")]
        async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
            let refuse = |(): &mut (), _| Err(Failure::invalid_request("no attempt decides twice"));
            self.0
                .handle::<ProductReservations, _>(&ctx, record, refuse)
                .await
        }
    }

    #[tokio::test]
    async fn an_attempt_after_the_state_was_written_ends_at_once() {
        let declarations = &[ProductReservations::DECLARATION];
        let pipeline = Pipeline::new(&Endpoints::default(), declarations, "test").unwrap();
        let endpoint = Endpoint::builder()
            .bind(Refuses(pipeline.service("Refuses")))
            .build();
        let set = command(SET_STATE, STATE_ENTRY);
        let request = Request::post("/invoke/Refuses/onEvent")
            .header("content-type", "application/vnd.restate.invocation.v6")
            .body(Full::from(sent(vec![state("new")], false, &[&set])))
            .unwrap();
        let answer = handle(&endpoint, None, request).await;
        let answer = answer.into_body().collect().await;
        let answer = answer.unwrap().to_bytes();
        let (mut rest, mut kinds) = (&answer[..], Vec::new());
        while let Some((kind, _)) = message(&mut rest) {
            kinds.push(kind);
        }
        assert_eq!(kinds, [OUTPUT, END]);
    }
}
