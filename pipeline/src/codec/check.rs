//! Whether a value is an event of a topic, where nobody needs the event itself.

use millstream_events::Declaration;

use super::{Codec, DecodeError, Payload, RegistryError};
use crate::failure::{self, Failure};
use crate::record::wire;

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
            Err(reason) => return unusable(failure::UNDECODABLE, reason),
        };
        let writer = match self.writer(id).await {
            Ok(writer) => writer,
            Err(DecodeError::Registry(error)) => return Err(error),
            Err(DecodeError::Value(failure)) => return Ok(Verdict::Unusable(failure)),
            Err(error @ DecodeError::UnknownSchema(_)) => {
                return unusable(failure::UNKNOWN_SCHEMA, error.to_string());
            }
        };
        let (record, bytes) = match writer.record(body) {
            Ok(found) => found,
            Err(failure) => return Ok(Verdict::Unusable(failure)),
        };
        let event = declaration.event(record.full_name());
        let unknown_type = || {
            let (name, topic) = (record.full_name(), declaration.name);
            let reason =
                format!("{name} is not declared on {topic}; declare it or send it elsewhere");
            Failure::new(failure::UNKNOWN_TYPE, reason)
        };
        let payload = match Payload::of(record, bytes) {
            Ok(payload) => payload,
            Err(failure) => {
                let failure = event.map_or_else(unknown_type, |_| failure);
                return Ok(Verdict::Unusable(failure));
            }
        };
        let fits = || match event {
            Some(event) => payload.fits((event.schema)()),
            None => Err(unknown_type()),
        };
        Ok(match self.leisure.run(payload.walked, fits).await {
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
