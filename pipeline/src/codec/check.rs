//! Whether a value is an event of a topic, where nobody needs the event itself.

use millstream_topics::Declaration;

use super::{Codec, DecodeError, Payload, RegistryError};
use crate::code::{self, Failure};
use crate::wire;

/// What a check says of a value.
#[derive(Debug)]
pub enum Verdict {
    /// It is an event of the topic.
    Event,
    /// It is none, but its `meta` can be read and it asks for a result.
    Answerable(Failure),
    /// It is none.
    Unusable(Failure),
}

impl Codec {
    /// Checks a value against the events of `declaration`.
    pub async fn check(
        &self,
        declaration: &Declaration,
        value: &[u8],
    ) -> Result<Verdict, RegistryError> {
        let unusable = |code, reason| Ok(Verdict::Unusable(Failure::new(code, reason)));
        let (id, body) = match wire::split(value) {
            Ok(split) => split,
            Err(reason) => return unusable(code::UNDECODABLE, reason),
        };
        let writer = match self.writer(id).await {
            Ok(writer) => writer,
            Err(DecodeError::Registry(error)) => return Err(error),
            Err(DecodeError::Value(failure)) => return Ok(Verdict::Unusable(failure)),
            Err(error @ DecodeError::UnknownSchema(_)) => {
                return unusable(code::UNKNOWN_SCHEMA, error.to_string());
            }
        };
        let payload = Payload::new(&writer, body);
        let event = declaration.event(payload.full_name());
        let fits = match event {
            Some(event) => payload.fits((event.schema)()),
            None => Err(Failure::new(
                code::UNKNOWN_TYPE,
                format!(
                    "{} is not declared on {}; declare it or send it elsewhere",
                    payload.full_name(),
                    declaration.name
                ),
            )),
        };
        Ok(match fits {
            Ok(()) => Verdict::Event,
            Err(failure) => {
                let asks = declaration.results.is_some()
                    && event.is_none_or(|event| event.is_command())
                    && payload.meta_alone().is_some();
                match asks {
                    true => Verdict::Answerable(failure),
                    false => Verdict::Unusable(failure),
                }
            }
        })
    }
}
