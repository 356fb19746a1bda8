//! Timers that come by the topic `timers`, from whoever can write to it: what they may hold, and
//! which others they may take the place of.
//!
//! What a timer produces, it produces with the handlers' rights. So it may do no more than its sender
//! could do by itself: send an event of a topic that is open to everybody. Services set theirs by a
//! call of the object, which nobody else can make, and are not asked.

use bytes::Bytes;
use millstream_events::Declaration;
use serde::{Deserialize, Serialize};

use super::MAX_DELAY;
use crate::codec::{DecodeError, RegistryError, Verdict};
use crate::failure::{self, Failure};
use crate::identity::events::Incoming;
use crate::record::key;
use crate::record::source_offset::SourceOffset;
use crate::service::Shared;

/// Who set a timer by an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sender {
    /// Proven; `None`: nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

impl Sender {
    /// Whether a timer that was set by `owner` is this sender's to replace or to cancel. `None`: a
    /// service set it.
    pub fn may_change(&self, owner: Option<&Self>) -> Result<(), Failure> {
        let refusal = match owner {
            None => "a service set the timer of this name; use another name",
            Some(owner) if owner.principal.is_some() && owner != self => {
                "somebody else set the timer of this name; use another name"
            }
            Some(_) => return Ok(()),
        };
        Err(Failure::new(failure::FORBIDDEN, refusal))
    }
}

/// When a timer is due and what it is to produce.
pub(super) struct Wanted<'w> {
    pub due: i64,
    pub topic: &'w str,
    pub key: &'w str,
    pub value: &'w [u8],
}

/// Why a timer cannot be set, if it cannot. `position` is that of the event that asks for it.
pub(super) async fn refusal(
    shared: &Shared,
    wanted: &Wanted<'_>,
    position: &SourceOffset,
) -> Result<Option<Failure>, RegistryError> {
    let refused = |failure| Ok(Some(failure));
    let delay = wanted.due.saturating_sub(position.recorded_micros());
    if u128::try_from(delay).is_ok_and(|delay| delay > MAX_DELAY.as_micros()) {
        let message = "not_before is over a hundred years away";
        return refused(Failure::invalid_request(message));
    }
    let declaration = match destination(shared, wanted.topic) {
        Ok(declaration) => declaration,
        Err(failure) => return refused(failure),
    };
    if let Err(failure) = key::check(wanted.key, "key of the event") {
        return refused(Failure::invalid_request(failure.message));
    }
    match shared.codec.check(declaration, wanted.value).await? {
        Verdict::Event => {}
        Verdict::Answerable(failure) | Verdict::Unusable(failure) => {
            let message = format!("the event cannot be produced: {}", failure.message);
            return refused(Failure::invalid_request(message));
        }
    }
    Ok(unproven(shared, wanted, position).await?.err())
}

/// The topic, if everybody may send to it.
fn destination(shared: &Shared, topic: &str) -> Result<&'static Declaration, Failure> {
    let Some(declaration) = shared.topics.get(topic) else {
        let message = format!(
            "no topic {topic} is declared by the project that serves the timers of this installation; \
             let a handler of its own project set the timer"
        );
        return Err(Failure::invalid_request(message));
    };
    if declaration.is_open() {
        return Ok(declaration);
    }
    let access = declaration.access.as_str();
    let message = format!(
        "the topic {topic} is not open to everybody (its `access` is {access:?}); only services set \
         timers for it"
    );
    Err(Failure::new(failure::FORBIDDEN, message))
}

/// Refuses an event that names a principal and does not prove it.
async fn unproven(
    shared: &Shared,
    wanted: &Wanted<'_>,
    position: &SourceOffset,
) -> Result<Result<(), Failure>, RegistryError> {
    let unreadable = |failure: String| Err(Failure::invalid_request(failure));
    let looked = async {
        let meta = shared.codec.meta(wanted.value).await?;
        let full_name = shared.codec.full_name(wanted.value).await?;
        let body_at = shared.codec.body_at(wanted.value).await?;
        Ok((meta, full_name, body_at))
    };
    let (meta, full_name, body_at) = match looked.await {
        Ok(looked) => looked,
        Err(DecodeError::Registry(error)) => return Err(error),
        Err(error) => return Ok(unreadable(error.to_string())),
    };
    let Some(mut meta) = meta else {
        return Ok(Ok(()));
    };
    if meta.principal.as_ref().is_none_or(String::is_empty) {
        return Ok(Ok(()));
    }
    let value = Bytes::copy_from_slice(wanted.value);
    let event = Incoming {
        address: (wanted.topic, wanted.key),
        full_name: &full_name,
        position,
        record: &value,
        body_at,
    };
    let proven = shared.proofs.prove(&mut meta, &event);
    Ok(proven.map_err(|unproven| {
        let message = format!("the event names a principal that is not proven: {unproven}");
        Failure::new(failure::FORBIDDEN, message)
    }))
}

#[cfg(test)]
mod tests {
    use millstream_events::Access;
    use millstream_topics::TOPICS;

    use super::*;
    use crate::config::Endpoints;
    use crate::service::Pipeline;

    fn sender(principal: Option<&str>) -> Sender {
        let principal = principal.map(str::to_owned);
        Sender { principal }
    }

    #[test]
    fn nobody_takes_the_place_of_a_timer_that_is_not_theirs() {
        let (alice, bob, nobody) = (sender(Some("alice")), sender(Some("bob")), sender(None));
        for who in [&alice, &bob, &nobody] {
            assert_eq!(
                who.may_change(None).unwrap_err().code,
                failure::FORBIDDEN,
                "a service's"
            );
            assert!(who.may_change(Some(&nobody)).is_ok());
        }
        assert!(alice.may_change(Some(&alice)).is_ok());
        for who in [&bob, &nobody] {
            assert!(who.may_change(Some(&alice)).is_err());
        }
    }

    #[test]
    fn timers_send_to_topics_that_are_open_to_everybody() {
        let pipeline = Pipeline::new(&Endpoints::default(), TOPICS, "test").unwrap();
        for declaration in TOPICS {
            let open = declaration.access == Access::Public;
            let refused = destination(&pipeline.shared, declaration.name).err();
            let code = refused.map(|failure| failure.code);
            assert_eq!(code.is_none(), open, "{}: {code:?}", declaration.name);
            assert!(open || code.is_some_and(|code| code == failure::FORBIDDEN));
        }
    }
}
