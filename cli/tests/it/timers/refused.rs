//! Timers that cannot be set.

use millstream_schemas::Bytes;
use millstream_schemas::timers::SetTimer;
use millstream_topics::{OutboundEmails, Timers, Topic};

use super::{Setter, letter};
use crate::support::{Bench, endpoints, letter_code, sql, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_makes_no_sense_is_a_dead_letter() {
    let bench = Bench::new(endpoints()).await;
    let setter = Setter { bench: &bench };
    let key = unique("mail");
    let value = bench.value(&letter(&key), None).await;
    let good = SetTimer {
        topic: OutboundEmails::DECLARATION.name.into(),
        key: key.clone(),
        value: Bytes(value),
    };
    let topic = |topic: &str| SetTimer {
        topic: topic.into(),
        ..good.clone()
    };
    let value = |value: &[u8]| SetTimer {
        value: Bytes(value.to_vec()),
        ..good.clone()
    };
    let no_key = SetTimer {
        key: String::new(),
        ..good.clone()
    };
    for (set, not_before, reason) in [
        (topic("no-such-topic"), None, "no-such-topic"),
        (topic(""), None, "no topic"),
        (topic("outbound-emails-dlq"), None, "no topic"),
        (no_key, None, "key"),
        (value(b""), None, ""),
        (value(b"plain text"), None, ""),
        (value(&[0, 0, 0]), None, ""),
        (good.clone(), Some(i64::MAX), "hundred years"),
        (good.clone(), Some(9_999_999_999_000_000), "hundred years"),
    ] {
        let name = unique("timer");
        let at = setter.send(&name, set.clone(), not_before).await;
        let letter = bench.dead_letter(Timers::DECLARATION.name, at).await;
        assert_eq!(letter_code(&letter), "invalid-request", "{set:?}");
        let message = letter.header("__connect.errors.exception.message").unwrap();
        assert!(message.contains(reason), "{set:?}: {message}");
        assert_eq!(letter.key.as_deref(), Some(name.as_str()));
        for (_, entry) in sql::state(endpoints(), "Timers", &name).await {
            assert!(entry.get("timer").is_none(), "{entry}");
        }
    }
    assert!(setter.mails(&key).is_empty());
}
