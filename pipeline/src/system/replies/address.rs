//! What a `reply_key` says: who waits, for how long, and for what.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use millstream_events::Declaration;

use crate::lane::invocation;
use crate::record::digest::{digest, hex};

/// What awakeable ids begin with; an invocation id (24 bytes) and the awakeable's index (4 bytes,
/// big-endian) follow in base64.
///
/// Source: restate-sdk-shared-core, `awakeable_id_str`.
const AWAKEABLE_PREFIX: &str = "sign_1";
/// Signals below are the engine's own: the first one cancels an invocation.
const FIRST_AWAKEABLE: u32 = 17;

/// Somebody who waits for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiter<'k> {
    /// A request of the library.
    Named {
        invocation: &'k str,
        name: &'k str,
        wait_ms: i64,
    },
    /// An awakeable, which takes any reply: its owner looks at the `causation_id` himself.
    Awakeable { id: &'k str, wait_ms: Option<i64> },
}

impl Waiter<'_> {
    /// How long it waits.
    pub fn wait_ms(self) -> Option<i64> {
        match self {
            Self::Named { wait_ms, .. } => Some(wait_ms),
            Self::Awakeable { wait_ms, .. } => wait_ms,
        }
    }
}

/// Whose answer a command of this topic and key gets, where that is known: its one handler's.
pub(crate) fn answering(topic: &Declaration, key: &str) -> Option<String> {
    match topic.subscriptions {
        [one] => Some(format!("{}/{key}", one.service)),
        _ => None,
    }
}

/// The name of what the sender of the command with this id waits for. `source`: see [`answering`].
pub(crate) fn name(command_id: &str, source: Option<&str>) -> String {
    let (known, source) = match source {
        Some(source) => (b"from".as_slice(), source),
        None => (b"any".as_slice(), ""),
    };
    hex::<16>(&digest(&[
        b"reply",
        command_id.as_bytes(),
        known,
        source.as_bytes(),
    ]))
}

/// The `reply_key` of a request of this invocation that waits so long for the reply of this name.
pub(crate) fn reply_key(invocation: &str, deadline: Duration, name: &str) -> String {
    format!("{invocation}.{}.{name}", deadline.as_millis())
}

/// Who waits under a `reply_key`. Only ids of the right form may reach the engine, which would try
/// any other for ever.
pub(super) fn parse(reply_key: &str) -> Option<Waiter<'_>> {
    let mut parts = reply_key.split('.');
    let id = parts.next()?;
    let wait_ms = parts.next().map(str::parse).transpose().ok()?;
    let waiter = match (parts.next(), wait_ms) {
        (None, wait_ms) if is_awakeable(id) => Waiter::Awakeable { id, wait_ms },
        (Some(name), Some(wait_ms)) if invocation::is_id(id) && is_name(name) => Waiter::Named {
            invocation: id,
            name,
            wait_ms,
        },
        _ => return None,
    };
    parts.next().is_none().then_some(waiter)
}

fn is_awakeable(id: &str) -> bool {
    let id = id.strip_prefix(AWAKEABLE_PREFIX);
    let id = id.and_then(|id| BASE64_URL_SAFE_NO_PAD.decode(id).ok());
    let id: Option<[u8; 28]> = id.and_then(|id| id.try_into().ok());
    id.is_some_and(|id| u32::from_be_bytes([id[24], id[25], id[26], id[27]]) >= FIRST_AWAKEABLE)
}

fn is_name(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.len() == 32 && name.bytes().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn awakeable(index: u32) -> String {
        let mut bytes = [7; 28];
        bytes[24..].copy_from_slice(&index.to_be_bytes());
        let id = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{AWAKEABLE_PREFIX}{id}")
    }

    #[test]
    fn only_what_a_handler_can_wait_for_is_completed() {
        let good = awakeable(17);
        let waits = |wait_ms| Some(Waiter::Awakeable { id: &good, wait_ms });
        assert_eq!(parse(&good), waits(None));
        assert_eq!(parse(&format!("{good}.5000")), waits(Some(5000)));
        let cancel = awakeable(1);
        for bad in ["", "sign_1", "sign_1AAAA", "prom_1x", &good[1..], &cancel] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for rest in [".soon", ".", ".5000.", ".5000.5000"] {
            assert_eq!(parse(&format!("{good}{rest}")), None, "{rest}");
        }
    }

    #[test]
    fn a_request_waits_under_the_name_of_its_command() {
        let name = name("command", Some("Service/key"));
        // The largest numbers that an id can hold.
        let last = "inv_1lYGhA16ahyf7N42dgm5tFLK9N8MT7fHC7";
        for invocation in ["inv_1dqhEx4aQPXV7sn6BMfgGJwsh0ofK4uLZL", last] {
            let key = reply_key(invocation, Duration::from_secs(5), &name);
            let waiter = Waiter::Named {
                invocation,
                name: &name,
                wait_ms: 5000,
            };
            assert_eq!(parse(&key), Some(waiter));
            for bad in [
                format!("{invocation}.5000"),
                invocation.to_owned(),
                format!("{key}.x"),
                format!("{invocation}..{name}"),
                key.to_uppercase(),
                key[1..].to_owned(),
                key[..key.len() - 1].to_owned(),
            ] {
                assert_eq!(parse(&bad), None, "{bad}");
            }
        }
    }

    #[test]
    fn names_tell_commands_and_entities_apart() {
        let names = [
            name("command", Some("Service/key")),
            name("other", Some("Service/key")),
            name("command", Some("Service/other")),
            name("command", Some("")),
            name("command", None),
        ];
        for (number, one) in names.iter().enumerate() {
            assert!(is_name(one));
            assert!(!names[number + 1..].contains(one), "{number}");
        }
    }
}
