//! What the value of a record says: only of those that belong to the request.

use std::time::Duration;

use millstream_pipeline::codec::{Codec, DecodeError};
use millstream_pipeline::events::{Event, EventMeta, RequestFailed, timers::SetTimer};
use millstream_pipeline::failure::Failure;
use serde_json::Value;
use tokio::time::timeout;

use crate::content;
use crate::found::{Found, Letter};
use crate::hidden;
use crate::search::Hit;
use crate::tree::Roles;

/// How long the registry may take to answer for one record.
const REGISTRY_LIMIT: Duration = Duration::from_secs(5);

/// Decodes hits; once the registry was asked in vain, it is not asked again.
pub struct Decoder {
    codec: Codec,
    roles: Roles,
    /// Whether the rest of an event is kept.
    with_content: bool,
    /// Why the registry did not answer.
    pub away: Option<String>,
}

impl Decoder {
    /// A decoder that keeps the fields of events if they are wanted.
    pub fn new(codec: Codec, roles: Roles, with_content: bool) -> Self {
        Self {
            codec,
            roles,
            with_content,
            away: None,
        }
    }

    /// What the record says, with what stands in its value alone.
    pub async fn found(&mut self, hit: &Hit) -> (Found, Option<EventMeta>) {
        let mut found = hit.found.clone();
        let (mut data, mut meta, mut undecodable) = (None, None, None);
        match self.value(hit).await {
            Ok((full_name, mut value, of_event)) => {
                if full_name == SetTimer::FULL_NAME {
                    hidden::in_timer(&mut value, &self.roles);
                }
                found.complete(full_name, of_event.as_ref());
                if found.full_name.as_deref() == Some(RequestFailed::FULL_NAME) {
                    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                    found.failure = Some((text("code"), text("message")));
                }
                if found.full_name.as_deref() == Some(SetTimer::FULL_NAME) {
                    let due = of_event.as_ref().and_then(|meta| meta.not_before);
                    found.due = due.map(|micros| micros / 1000);
                }
                (data, meta) = (Some(value), of_event);
            }
            Err(reason) => undecodable = Some(reason),
        }
        if self.with_content {
            found.content = Some(content::of(&hit.record, data, meta.as_ref(), undecodable));
        }
        (found, meta)
    }

    /// What a mark of a dead letter says.
    pub async fn mark(&mut self, hit: &Hit) -> Option<String> {
        let (_, data, _) = self.value(hit).await.ok()?;
        Some(data["mark"].as_str()?.to_owned())
    }

    async fn value(&mut self, hit: &Hit) -> Result<(String, Value, Option<EventMeta>), String> {
        let Some(value) = hit.record.value.as_deref() else {
            return Err("the value is null: a tombstone of its key".into());
        };
        if let Some(away) = &self.away {
            return Err(away.clone());
        }
        let decoded = self.codec.look(value, |payload| {
            let (data, meta) = payload.in_json()?;
            Ok::<_, Failure>((payload.full_name().to_owned(), data, meta))
        });
        match timeout(REGISTRY_LIMIT, decoded).await {
            Ok(Ok(decoded)) => decoded.map_err(|failure| failure.to_string()),
            Ok(Err(error @ DecodeError::Registry(_))) => Err(self.is_away(error.to_string())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(self.is_away("the schema registry does not answer".into())),
        }
    }

    fn is_away(&mut self, reason: String) -> String {
        self.away = Some(reason.clone());
        reason
    }
}

/// Whether a hit belongs to one of these ids. One without headers was taken because an id stands
/// somewhere in it.
pub fn belongs(found: &Found, ids: &[String]) -> bool {
    let is_one = |id: &str| ids.iter().any(|known| known == id);
    let named = [
        &found.correlation_id,
        &found.causation_id,
        &found.replay_of,
        &found.relayed_from,
    ];
    let original = found
        .letter
        .as_ref()
        .map(|Letter { original, .. }| original);
    is_one(&found.id())
        || named.into_iter().flatten().any(|id| is_one(id))
        || original.is_some_and(|id| is_one(id))
        || is_one(&found.place.to_string())
}
