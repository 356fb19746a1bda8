//! What gives somebody a right is shown to nobody, wherever records are shown: `proof` proves a principal
//! to whoever can write to a topic, and who knows a `reply_key` can answer in another's place.

use memchr::memmem;
use millstream_pipeline::events::{Event, EventMeta, timers::SetTimer};
use serde_json::Value;

use crate::tree::Roles;

/// Stands for what is not shown.
pub const HIDDEN: &str = "***";
/// Stands for it in bytes.
const BYTE: u8 = b'*';
/// Shorter texts give nobody a right: they could be guessed. In bytes they would be found everywhere.
const SHORTEST: usize = 16;
/// No text that gives a right is longer.
const LONGEST: usize = 256;

/// The parts of a record that can hold it.
#[derive(Debug)]
pub struct Parts<'r> {
    /// Where it stands.
    pub topic: &'r str,
    /// The event's full name.
    pub full_name: Option<&'r str>,
    /// The key as text.
    pub key: &'r mut Option<String>,
    /// The key's bytes.
    pub raw_key: &'r mut Option<Vec<u8>>,
    /// The value's bytes.
    pub value: &'r mut Option<Vec<u8>>,
    /// `meta` of the event.
    pub meta: &'r mut Option<EventMeta>,
    /// Its other fields.
    pub data: &'r mut Option<Value>,
}

impl Parts<'_> {
    /// Takes it out of the record. Bytes keep their number; of a key that is hidden there are none.
    pub fn hide(self, roles: &Roles) {
        if roles.hides_keys(self.topic) {
            *self.raw_key = None;
            if let Some(key) = self.key {
                HIDDEN.clone_into(key);
            }
        }
        if let Some(value) = self.value {
            in_bytes(value, self.meta.as_ref());
        }
        if let Some(meta) = self.meta {
            in_meta(meta);
        }
        if let Some(data) = self.data
            && self.full_name == Some(SetTimer::FULL_NAME)
        {
            in_timer(data, roles);
        }
    }
}

/// Hides it in `meta`.
pub fn in_meta(meta: &mut EventMeta) {
    for text in [&mut meta.proof, &mut meta.reply_key].into_iter().flatten() {
        HIDDEN.clone_into(text);
    }
}

/// Hides what a timer is set for: the event's bytes have a proof and no names by which secrets are known,
/// and the key may be that of a reply.
pub fn in_timer(data: &mut Value, roles: &Roles) {
    if let Some(value) = data.get_mut("value") {
        let count = match value {
            Value::Array(bytes) => Some(bytes.len()),
            // A letter is a byte.
            Value::String(text) => Some(text.chars().count()),
            _ => None,
        };
        if let Some(count) = count {
            *value = Value::String(format!("{HIDDEN} ({count} bytes)"));
        }
    }
    let hides_key = data["topic"]
        .as_str()
        .is_some_and(|it| roles.hides_keys(it));
    if let Some(key) = data.get_mut("key").filter(|_| hides_key) {
        *key = Value::String(HIDDEN.into());
    }
}

/// Hides the same in the state of the object `Timers`, which has the event's bytes in base64.
pub fn in_timer_state(state: &mut Value, roles: &Roles) {
    let Some(timer) = state.get_mut("timer").filter(|it| it.is_object()) else {
        return;
    };
    in_timer(timer, roles);
    if let Some(value) = timer.get_mut("value") {
        *value = Value::String(HIDDEN.into());
    }
}

/// Hides in a value's bytes what its `meta` has of it, and all that has the form of it: there may be
/// nobody who knows the schema, and a timer's value holds another one.
pub fn in_bytes(value: &mut [u8], meta: Option<&EventMeta>) {
    let of_meta = meta.map(|meta| [&meta.proof, &meta.reply_key]);
    for text in of_meta.into_iter().flatten().flatten() {
        if text.len() >= SHORTEST {
            cover(value, text.as_bytes(), |_| Some(text.len()));
        }
    }
    cover(value, b"v1.", proof);
    cover(value, b"inv_1", named);
    cover(value, b"sign_1", awakeable);
}

/// Covers what begins so, as far as `length` says of the text from there on.
fn cover(value: &mut [u8], begin: &[u8], length: impl Fn(&[u8]) -> Option<usize>) {
    let found: Vec<usize> = memmem::find_iter(value, begin).collect();
    for at in found {
        let count = value.get(at..).and_then(&length).unwrap_or(0);
        if let Some(hidden) = value.get_mut(at..at + count) {
            hidden.fill(BYTE);
        }
    }
}

/// `v1.<key id>.<expiry>.<signature>`, as docs/security.md has it.
fn proof(text: &[u8]) -> Option<usize> {
    let (before, signature) = parts(text, [u8::is_ascii_hexdigit, u8::is_ascii_digit])?;
    let count = run(signature, is_base64);
    (count >= 86).then_some(before + count)
}

/// `<invocation>.<wait>.<name>`: what a request of the library is answered under.
fn named(text: &[u8]) -> Option<usize> {
    let (before, name) = parts(text, [u8::is_ascii_digit])?;
    let count = run(name, u8::is_ascii_hexdigit);
    (count >= 32).then_some(before + count)
}

/// The id of an awakeable, which whoever knows it completes.
fn awakeable(text: &[u8]) -> Option<usize> {
    let count = run(text.get(..LONGEST).unwrap_or(text), is_base64);
    // `sign_1`, and 28 bytes.
    (count >= 6 + 38).then_some(count)
}

/// The length of a first part and of so many others, each with the dot behind it, and the rest.
fn parts<const N: usize>(text: &[u8], others: [fn(&u8) -> bool; N]) -> Option<(usize, &[u8])> {
    let text = text.get(..LONGEST).unwrap_or(text);
    let mut end = run(text, is_base64);
    for is_one in others {
        let part = text.get(end..)?.strip_prefix(b".")?;
        let count = run(part, is_one);
        if count == 0 {
            return None;
        }
        end += 1 + count;
    }
    let rest = text.get(end..)?.strip_prefix(b".")?;
    Some((end + 1, rest))
}

fn run(text: &[u8], is_one: impl Fn(&u8) -> bool) -> usize {
    text.iter().take_while(|it| is_one(it)).count()
}

fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The example of docs/security.md.
    const PROOF: &str = "v1.fe812c12f3ab4ce6.1763773200000000.5-UsYZmwpySLAZerBnLJ_irovYKgItxWw2GbdzoNO-FKtx5hnLWXMsP7VCcB8c2ovpB8EpZjbx5FSF8cVPX4AA";
    const NAMED: &str =
        "inv_1dqhEx4aQPXV7sn6BMfgGJwsh0ofK4uLZL.5000.0123456789abcdef0123456789abcdef";
    const AWAKEABLE: &str = "sign_1BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAAAAEQ";

    fn roles() -> Roles {
        Roles::of(millstream_topics::TOPICS)
    }

    fn hidden(value: &[u8], meta: Option<&EventMeta>) -> String {
        let mut value = value.to_vec();
        in_bytes(&mut value, meta);
        String::from_utf8_lossy(&value).into_owned()
    }

    #[test]
    fn a_record_keeps_its_content_and_loses_what_gives_a_right() {
        let record = |topic: &str| {
            let mut meta = Some(EventMeta {
                principal: Some("ann".into()),
                proof: Some(PROOF.into()),
                reply_key: Some("an own key of replies".into()),
                ..EventMeta::default()
            });
            let value = format!("\u{0}laptop{PROOF}\u{2}an own key of replies\u{0}");
            let (mut key, mut raw_key) = (Some("k".to_owned()), Some(b"k".to_vec()));
            let (mut value, mut data) = (Some(value.into_bytes()), Some(json!({ "value": "v" })));
            let parts = Parts {
                topic,
                full_name: Some("millstream.user_sessions.AddItem"),
                key: &mut key,
                raw_key: &mut raw_key,
                value: &mut value,
                meta: &mut meta,
                data: &mut data,
            };
            parts.hide(&roles());
            let value = String::from_utf8(value.unwrap()).unwrap();
            (key, raw_key, value, meta.unwrap(), data.unwrap())
        };
        let (key, raw_key, value, meta, data) = record("user-sessions");
        assert_eq!(key.as_deref(), Some("k"));
        assert_eq!(raw_key.as_deref(), Some(&b"k"[..]));
        let (proof, reply_key) = ("*".repeat(PROOF.len()), "*".repeat(21));
        assert_eq!(value, format!("\u{0}laptop{proof}\u{2}{reply_key}\u{0}"));
        assert_eq!(meta.principal.as_deref(), Some("ann"));
        assert_eq!(meta.proof.as_deref(), Some("***"));
        assert_eq!(meta.reply_key.as_deref(), Some("***"));
        assert_eq!(data, json!({ "value": "v" }), "it is no timer");
        // The key of a reply is the `reply_key` of its request.
        for topic in ["replies", "replies-dlq"] {
            let (key, raw_key, ..) = record(topic);
            assert_eq!((key.as_deref(), raw_key), (Some("***"), None), "{topic}");
        }
    }

    #[test]
    fn bytes_that_nobody_can_decode_are_searched_for_it() {
        for text in [PROOF, NAMED, AWAKEABLE, &format!("{AWAKEABLE}.5000")] {
            // A letter before it may be the length in Avro.
            let shown = hidden(format!("aX{text}\u{0}b {text}").as_bytes(), None);
            let rest = text.strip_prefix(AWAKEABLE).unwrap_or_default();
            let stars = "*".repeat(text.len() - rest.len());
            assert_eq!(shown, format!("aX{stars}{rest}\u{0}b {stars}{rest}"));
        }
        let cut = &PROOF[..PROOF.len() - 1];
        let invocation = NAMED.split('.').next().unwrap();
        for harmless in [cut, invocation, "v1.2.3", "v1.", "sign_1", "sign_12", ""] {
            assert_eq!(hidden(harmless.as_bytes(), None), harmless);
        }
        // What could be guessed is left: it would be found everywhere.
        let meta = EventMeta {
            reply_key: Some("a".into()),
            ..EventMeta::default()
        };
        assert_eq!(hidden(b"banana", Some(&meta)), "banana");
    }

    #[test]
    fn bytes_that_mean_harm_are_searched_in_a_moment() {
        let begun = std::time::Instant::now();
        for part in ["v1.", "inv_1", "sign_1", "v1.a.1."] {
            let value = part.repeat(200_000);
            assert_eq!(hidden(value.as_bytes(), None).len(), value.len());
        }
        assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    }

    #[test]
    fn the_bytes_of_an_event_that_is_to_come_are_not_shown_nor_is_the_key_of_a_reply() {
        let shown = |mut data: Value| {
            in_timer(&mut data, &roles());
            data
        };
        for value in [json!([0, 0, 97]), json!("\u{0}\u{ff}a")] {
            assert_eq!(
                shown(json!({ "topic": "tasks", "key": "t", "value": value })),
                json!({ "topic": "tasks", "key": "t", "value": "*** (3 bytes)" })
            );
        }
        for topic in ["replies", "replies-dlq"] {
            assert_eq!(
                shown(json!({ "topic": topic, "key": "sign_1", "value": [0] })),
                json!({ "topic": topic, "key": "***", "value": "*** (1 bytes)" })
            );
        }
        assert_eq!(
            shown(json!({ "topic": "tasks" })),
            json!({ "topic": "tasks" })
        );
        let mut state =
            json!({ "timer": { "topic": "replies", "key": "k", "value": "AAAA", "due": 1 } });
        in_timer_state(&mut state, &roles());
        let held = json!({ "topic": "replies", "key": "***", "value": "***", "due": 1 });
        assert_eq!(state, json!({ "timer": held }));
        in_timer_state(&mut state["timer"], &roles());
        assert_eq!(state, json!({ "timer": held }), "there is no timer in it");
    }
}
