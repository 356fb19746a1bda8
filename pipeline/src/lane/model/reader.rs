//! A consumer of the results, by the rules for readers.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::record::Record;
use crate::sequence::{Reader, Verdict};

/// What readers take of a log, by the rules for readers; and what they raise alarms about.
pub fn read(log: &[Record]) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let mut readers: BTreeMap<String, Reader> = BTreeMap::new();
    let mut ids: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut events, mut alarms) = (BTreeMap::<String, Vec<String>>::new(), Vec::new());
    for record in log {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let header = |name| record.header(name).unwrap_or_default().to_owned();
        let stream = format!("{} {key}", record.topic);
        let value = record.value.clone().unwrap_or_default();
        let seq = record
            .header("ce_sequence")
            .and_then(|seq| seq.parse().ok());
        let is_new = match seq {
            _ if record.topic.ends_with("-dlq") => {
                // A dead letter is named by where its original stood.
                let name = header("__connect.errors.offset");
                ids.insert(format!("{stream} {name}"), value.clone())
                    .is_none()
            }
            Some(seq) => {
                let reader = format!("{stream} {} {}", header("ce_source"), header("ce_epoch"));
                let mut digest = DefaultHasher::new();
                value.hash(&mut digest);
                let verdict = readers.entry(reader).or_default().see(seq, digest.finish());
                match verdict {
                    Verdict::Accept | Verdict::Duplicate => {}
                    alarm => alarms.push(format!("{stream} {seq}: {alarm:?}")),
                }
                verdict.is_accepted()
            }
            None => match ids.insert(format!("{stream} {}", header("ce_id")), value.clone()) {
                Some(other) if other != value => {
                    alarms.push(format!("{stream} {}: another value", header("ce_id")));
                    false
                }
                other => other.is_none(),
            },
        };
        if is_new {
            let event = format!("{} {:?} {value:?}", header("ce_type"), seq);
            events.entry(stream).or_default().push(event);
        }
    }
    (events, alarms)
}
