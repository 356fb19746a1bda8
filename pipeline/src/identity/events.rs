//! Principals on their way through a process: proven when an event comes in, signed when one that it
//! causes goes out.

use std::borrow::Cow;
use std::ops::Range;

use millstream_events::EventMeta;

use super::{Claim, Proofs, Signer, Unproven};
use crate::codec::EncodedBody;
use crate::record::source_offset::SourceOffset;

/// An event that came in.
pub(crate) struct Incoming<'a> {
    /// The declared topic and the key.
    pub address: (&'a str, &'a str),
    pub full_name: &'a str,
    /// Where Kafka recorded it, and when.
    pub position: &'a SourceOffset,
    pub record: &'a [u8],
    /// Where in it its body without `meta` stands; `None` where `meta` is not the last field.
    pub body_at: Option<Range<usize>>,
}

impl Proofs {
    /// Takes the principal out of `meta` unless it is proven, and the proof in any case.
    pub(crate) fn prove(&self, meta: &mut EventMeta, event: &Incoming<'_>) -> Result<(), Unproven> {
        let principal = meta.principal.take().filter(|name| !name.is_empty());
        let proof = meta.proof.take().filter(|proof| !proof.is_empty());
        let (Some(principal), Some(proof)) = (principal, proof) else {
            return Err(Unproven::Absent);
        };
        let body = event.body_at.clone().and_then(|at| event.record.get(at));
        let Some(body) = body else {
            return Err(Unproven::Wrong);
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
        // The broker's own time where a proof is required, however long ago: a subscription that is
        // rewound by months comes to the same verdict.
        let recorded = event.position.timestamp_ms.saturating_mul(1000);
        self.trusted.check(&claim, &proof, recorded)?;
        meta.principal = Some(principal);
        Ok(())
    }

    /// `meta` with the proof of its principal, if it has one. It holds from `meta.time` on, which is
    /// the same at every attempt.
    pub(crate) fn signed<'m>(
        &self,
        (topic, key): (&str, &str),
        body: &EncodedBody,
        meta: &'m EventMeta,
    ) -> Cow<'m, EventMeta> {
        match &self.signer {
            Some(signer) => signer.signed((topic, key), body, meta),
            None => Cow::Borrowed(meta),
        }
    }
}

impl Signer {
    /// `meta` with the proof of its principal, if it names one.
    pub(crate) fn signed<'m>(
        &self,
        (topic, key): (&str, &str),
        body: &EncodedBody,
        meta: &'m EventMeta,
    ) -> Cow<'m, EventMeta> {
        let Some(principal) = &meta.principal else {
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
        let proof = self.proof(&claim, meta.time);
        Cow::Owned(EventMeta {
            proof: Some(proof),
            ..meta.clone()
        })
    }
}
