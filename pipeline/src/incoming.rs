//! `meta` on the way in: what stands in for what a producer does not say.

use millstream_schemas::EventMeta;

use crate::position::Position;

/// What stands in for `meta` when a producer knows nothing of it.
pub(crate) fn stand_in(position: &Position) -> EventMeta {
    let id = position.to_string();
    EventMeta {
        correlation_id: id.clone(),
        id,
        time: position.timestamp_micros(),
        ..EventMeta::default()
    }
}

/// `meta` with what its producer left empty. Many languages have no better way to say "none" of a
/// text, and an empty key, or an idempotency key that all commands share, helps nobody.
pub(crate) fn filled(meta: EventMeta, position: &Position) -> EventMeta {
    let stand_in = stand_in(position);
    let or = |text: String, other: &String| if text.is_empty() { other.clone() } else { text };
    let id = or(meta.id, &stand_in.id);
    EventMeta {
        correlation_id: or(meta.correlation_id, &id),
        reply_key: meta.reply_key.filter(|key| !key.is_empty()),
        idempotency_key: meta.idempotency_key.filter(|key| !key.is_empty()),
        time: if meta.time > 0 {
            meta.time
        } else {
            stand_in.time
        },
        id,
        ..meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_empty_is_filled_and_the_rest_is_kept() {
        let position = Position {
            topic: "t".into(),
            partition: 1,
            offset: 2,
            timestamp_ms: 3,
        };
        let empty = EventMeta {
            reply_key: Some(String::new()),
            idempotency_key: Some(String::new()),
            time: -1,
            ..EventMeta::default()
        };
        assert_eq!(filled(empty, &position), stand_in(&position));
        let full = EventMeta {
            id: "id".into(),
            correlation_id: "correlation".into(),
            reply_to: Some("replies".into()),
            reply_key: Some("key".into()),
            idempotency_key: Some("once".into()),
            time: 4,
            ..EventMeta::default()
        };
        assert_eq!(filled(full.clone(), &position), full);
    }
}
