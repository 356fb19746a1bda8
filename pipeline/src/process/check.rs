//! What is checked of every record before anybody decides about it.

use std::borrow::Cow;
use std::sync::Arc;

use millstream_events::EventMeta;
use millstream_events::Identity;

use super::{Emitter, Received, Rules, Unread};
use crate::codec::Decoded;
use crate::failure::{self, Failure};
use crate::identity::events::Incoming;
use crate::observe::metrics::TOMBSTONE;
use crate::state::dedup::{Bookkeeping, Idempotency};
use crate::state::idempotency::{IdempotentRequest, Remembered};
use crate::state::reserved::TIMERS;

/// Why a known id is passed over.
const DUPLICATE_ID: &str = "duplicate-id";

/// What had to be asked for.
#[derive(Debug)]
pub(crate) struct Facts<E> {
    /// The value, or why there is none: see [`Received::is_to_be_read`].
    pub decoded: Result<Decoded<E>, Unread>,
    /// The time in microseconds since 1970-01-01 UTC, the same at every attempt; `None`: it need not be
    /// known ([`Facts::want_time`]).
    pub now: Option<Result<i64, Failure>>,
}

impl<E> Facts<E> {
    /// Whether it depends on the time what becomes of the event.
    pub fn want_time(&self, received: &Received) -> bool {
        let Ok(decoded) = &self.decoded else {
            return false;
        };
        let meta = decoded.meta.as_ref();
        let is_timed = meta.is_some_and(|meta| {
            meta.expires_at.is_some() && check_not_before(received, meta).is_ok()
        });
        decoded.event.is_ok() && is_timed
    }
}

/// Topic and key that an answer goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub topic: Cow<'static, str>,
    pub key: Arc<str>,
}

/// An event that was checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub received: Arc<Received>,
    /// The event's own `meta`, with nothing in it that is not proven, or what stands in for it.
    pub meta: Arc<EventMeta>,
    /// Where the events come from that it causes.
    pub emitter: Emitter,
    /// When the event was recorded, as far as its object knows: never before an earlier event.
    pub recorded_ms: i64,
    /// Where the answer goes; `None` when there is none to give.
    pub reply: Option<Address>,
    pub idempotent: Option<IdempotentRequest>,
    /// Digest of the event's body, if somebody needs it.
    pub body_digest: Option<[u8; 32]>,
    /// Whether the event's id was accepted into the object's window.
    pub id_accepted: bool,
}

/// What is to be done with an event.
#[derive(Debug)]
pub(crate) enum Verdict<E> {
    /// To decide about it.
    Handle(E),
    /// Nothing, for this reason.
    Skip(&'static str),
    /// The answer that the same request was given before.
    Repeat(Remembered<'static>),
    Refuse(Failure),
}

impl Checked {
    /// A record of which nothing is known but its `meta`.
    pub fn unread(received: Arc<Received>, meta: Option<EventMeta>) -> Self {
        let meta = match meta {
            Some(meta) => filled(meta, &received),
            None => received.stand_in(),
        };
        let meta = Arc::new(meta);
        Self {
            emitter: Emitter::of(&received, &meta),
            meta,
            recorded_ms: received.position.recorded_ms(),
            reply: None,
            idempotent: None,
            body_digest: None,
            id_accepted: false,
            received,
        }
    }

    /// When the event came, in milliseconds since 1970-01-01 UTC; not before [`Self::recorded_ms`].
    pub fn taken_ms(&self) -> i64 {
        let taken = self.received.position.taken_ms;
        taken.map_or(self.recorded_ms, |taken| taken.max(self.recorded_ms))
    }

    /// The bookkeeping of an object that has forgotten this event: as it was after [`check`], but
    /// without the event's id where that is to come again.
    pub fn accept_again(&self, bookkeeping: &mut Bookkeeping, forgets_id: bool) {
        bookkeeping.advance(self.received.position.recorded_ms());
        if self.id_accepted && !forgets_id {
            let window = self.received.declaration.input_window;
            bookkeeping.accept_id(&self.meta.id, window);
        }
    }
}

/// Applies the rules that hold for every handler. `bookkeeping` is the object's, where there is one: it
/// remembers the event from now on.
pub(crate) fn check<E>(
    rules: Rules<'_>,
    received: Arc<Received>,
    facts: Facts<E>,
    mut bookkeeping: Option<&mut Bookkeeping>,
) -> (Checked, Verdict<E>) {
    let recorded_ms = received.position.recorded_ms();
    let recorded_ms = match &mut bookkeeping {
        Some(bookkeeping) => bookkeeping.advance(recorded_ms),
        None => recorded_ms,
    };
    let Decoded {
        full_name,
        meta,
        body_digest,
        body_at,
        event,
    } = match facts.decoded {
        Ok(decoded) => decoded,
        Err(unread) => {
            let checked = Checked {
                recorded_ms,
                ..Checked::unread(received, None)
            };
            let verdict = match unread {
                Unread::PassedOver => Verdict::Skip(TOMBSTONE),
                Unread::Refused(failure) => Verdict::Refuse(failure),
            };
            return (checked, verdict);
        }
    };
    // An undecodable body without meta tells nobody to answer.
    let is_answerable = event.is_ok() || meta.is_some();
    let has_id = meta.as_ref().is_some_and(|meta| !meta.id.is_empty());
    let mut meta = match meta {
        Some(meta) => filled(meta, &received),
        None => received.stand_in(),
    };
    let came = Incoming {
        address: (received.declaration.name, &received.key),
        full_name: &full_name,
        position: &received.position,
        record: &received.record,
        body_at,
    };
    let proven = rules.proofs.prove(&mut meta, &came);
    let is_required = received.declaration.identity == Identity::Required;
    let forged = proven.err().filter(|_| is_required);
    // What nobody has proven must not keep out the event that it bears the id of.
    let (mut is_known, mut id_accepted) = (false, false);
    if let (true, Some(bookkeeping)) = (has_id && forged.is_none(), &mut bookkeeping) {
        id_accepted = bookkeeping.accept_id(&meta.id, received.declaration.input_window);
        is_known = !id_accepted;
    }
    let event_of = received.declaration.event(&full_name);
    let is_command = event_of.is_none_or(|event| event.is_command());
    let (reply, wrong_address) = match is_answerable && is_command && !is_known {
        true => address(rules, &received, &meta),
        false => (None, None),
    };
    let digest = body_digest.transpose();
    let key = meta.idempotency_key.as_ref().filter(|_| reply.is_some());
    let asked = match (key, &digest) {
        // It is digested wherever there is a key.
        (Some(key), Ok(Some(digest))) => Some(IdempotentRequest::new(key, digest)),
        _ => None,
    };
    let remembered = match (&bookkeeping, &asked) {
        (Some(bookkeeping), Some(asked)) => bookkeeping.idempotency(asked, recorded_ms),
        _ => Idempotency::Unknown,
    };
    let verdict = if is_known {
        Verdict::Skip(DUPLICATE_ID)
    } else {
        let forged = forged.map(|unproven| {
            let why = format!("this topic takes only events whose sender is proven: {unproven}");
            Failure::new(failure::FORBIDDEN, why)
        });
        let refused = |failure: Option<Failure>| failure.map_or(Ok(()), Err);
        let checked = refused(wrong_address)
            .and(event)
            .and_then(|event| refused(forged).map(|()| event))
            .and_then(|event| check_times(&received, &meta, facts.now).map(|()| event))
            .and_then(|event| digest.clone().map(|_| event));
        match (checked, remembered) {
            (Err(failure), _) => Verdict::Refuse(failure),
            (Ok(event), Idempotency::Unknown) => Verdict::Handle(event),
            (Ok(_), Idempotency::Repeated(before)) => Verdict::Repeat(before),
            (Ok(_), Idempotency::Mismatch) => Verdict::Refuse(Failure::new(
                failure::IDEMPOTENCY_MISMATCH,
                "this idempotency key was used with another body; use a new key for a new request",
            )),
        }
    };
    // Only an answer that is new is remembered for its key.
    let is_new = matches!(verdict, Verdict::Handle(_));
    let meta = Arc::new(meta);
    let checked = Checked {
        emitter: Emitter::of(&received, &meta),
        meta,
        recorded_ms,
        reply,
        idempotent: asked.filter(|_| is_new && bookkeeping.is_some()),
        body_digest: digest.ok().flatten(),
        id_accepted,
        received,
    };
    (checked, verdict)
}

/// Where the answer goes, and why it cannot go where it should.
pub(crate) fn address(
    rules: Rules<'_>,
    received: &Received,
    meta: &EventMeta,
) -> (Option<Address>, Option<Failure>) {
    let Some(results) = &received.declaration.results else {
        return (None, None);
    };
    let to = |topic: &'static str, key: Option<&str>| Address {
        topic: topic.into(),
        key: key.map_or_else(|| Arc::clone(&received.key), Arc::from),
    };
    let key = meta.reply_key.as_deref();
    let named = meta.reply_to.as_deref();
    let Some(topic) = named.filter(|topic| *topic != results.name) else {
        return (Some(to(results.name, key)), None);
    };
    if let Some(declared) = rules.topics.get(topic).filter(|it| it.replies) {
        return (Some(to(declared.name, key)), None);
    }
    let why = format!(
        "{topic} is not declared with `replies = true`; leave reply_to out or name one that is"
    );
    let failure = Failure::new(failure::INVALID_REPLY_TO, why);
    (Some(to(results.name, None)), Some(failure))
}

/// `not_before` is honoured by one topic.
fn check_not_before(received: &Received, meta: &EventMeta) -> Result<(), Failure> {
    match meta.not_before {
        Some(_) if received.declaration.name != TIMERS => Err(Failure::invalid_request(
            "not_before is honoured by the topic `timers` alone; leave it out",
        )),
        _ => Ok(()),
    }
}

/// Refuses a command that is too late.
fn check_times(
    received: &Received,
    meta: &EventMeta,
    now: Option<Result<i64, Failure>>,
) -> Result<(), Failure> {
    check_not_before(received, meta)?;
    let Some(expires_at) = meta.expires_at else {
        return Ok(());
    };
    let untold = || Failure::new(failure::HANDLER_FAILED, "nobody has told the time");
    let now = now.ok_or_else(untold)??;
    if now <= expires_at {
        return Ok(());
    }
    let late = now.saturating_sub(expires_at) / 1000;
    let why = format!("the command expired {late} ms before it was handled");
    Err(Failure::new(failure::EXPIRED, why))
}

/// `meta` with what its producer left empty. Many languages have no better way to say "none" of a
/// text, and an empty key, or an idempotency key that all commands share, helps nobody.
pub(crate) fn filled(meta: EventMeta, received: &Received) -> EventMeta {
    let id = match meta.id.is_empty() {
        true => received.position.to_string(),
        false => meta.id,
    };
    EventMeta {
        correlation_id: match meta.correlation_id.is_empty() {
            true => id.clone(),
            false => meta.correlation_id,
        },
        reply_key: meta.reply_key.filter(|key| !key.is_empty()),
        idempotency_key: meta.idempotency_key.filter(|key| !key.is_empty()),
        time: match meta.time > 0 {
            true => meta.time,
            false => received.position.recorded_micros(),
        },
        id,
        ..meta
    }
}
