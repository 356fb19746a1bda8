//! Principals on their way through a process: proven when an event comes in, signed when one that it
//! causes goes out.

use std::borrow::Cow;

use millstream_schemas::EventMeta;

use super::{Claim, Unproven};
use crate::codec::{DecodeError, EncodedBody, RegistryError};
use crate::position::Position;
use crate::service::Shared;
use crate::wire;

/// An event that came in.
pub(crate) struct Incoming<'a> {
    /// The declared topic and the key.
    pub address: (&'a str, &'a str),
    pub full_name: &'a str,
    /// Where Kafka recorded it, and when.
    pub position: &'a Position,
    pub record: &'a [u8],
    /// How many bytes of its Avro body stand before `meta`, where that is known.
    pub body_length: Option<usize>,
}

impl Shared {
    /// Takes the principal out of `meta` unless it is proven, and the proof in any case.
    pub async fn prove(
        &self,
        meta: &mut EventMeta,
        event: &Incoming<'_>,
    ) -> Result<Result<(), Unproven>, RegistryError> {
        let principal = meta.principal.take().filter(|name| !name.is_empty());
        let proof = meta.proof.take().filter(|proof| !proof.is_empty());
        let (Some(principal), Some(proof)) = (principal, proof) else {
            return Ok(Err(Unproven::Absent));
        };
        let length = match event.body_length {
            Some(length) => Some(length),
            None => match self.codec.before_meta(event.record).await {
                Ok(length) => length,
                Err(DecodeError::Registry(error)) => return Err(error),
                Err(_) => None,
            },
        };
        let body = event.record.get(wire::HEADER_LENGTH..);
        let Some(body) = body.and_then(|body| body.get(..length?)) else {
            return Ok(Err(Unproven::Wrong));
        };
        let (topic, key) = event.address;
        let claim = Claim {
            topic,
            key,
            full_name: event.full_name,
            event_id: &meta.id,
            principal: &principal,
            body,
        };
        let recorded = event.position.timestamp_micros();
        let verdict = self.proofs.trusted.check(&claim, &proof, recorded);
        if verdict.is_ok() {
            meta.principal = Some(principal);
        }
        Ok(verdict)
    }

    /// `meta` with the proof of its principal, if it has one. It holds from `meta.time` on, which is
    /// the same at every attempt.
    pub fn signed<'m>(
        &self,
        (topic, key): (&str, &str),
        body: &EncodedBody,
        meta: &'m EventMeta,
    ) -> Cow<'m, EventMeta> {
        let (Some(signer), Some(principal)) = (&self.proofs.signer, &meta.principal) else {
            return Cow::Borrowed(meta);
        };
        let claim = Claim {
            topic,
            key,
            full_name: body.schema.full_name,
            event_id: &meta.id,
            principal,
            body: &body.bytes,
        };
        let proof = signer.proof(&claim, meta.time);
        Cow::Owned(EventMeta {
            proof: Some(proof),
            ..meta.clone()
        })
    }
}
