//! Whatever is done, the log says it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Register(u8, u8),
    DeleteVersion(u8, i32, bool),
    DeleteSubject(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3u8, 0..6u8).prop_map(|(subject, schema)| Step::Register(subject, schema)),
        1 => (0..3u8, 1..6i32, any::<bool>()).prop_map(|(s, v, p)| Step::DeleteVersion(s, v, p)),
        1 => (0..3u8, any::<bool>()).prop_map(|(s, p)| Step::DeleteSubject(s, p)),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    /// Whatever is done, an id never changes its meaning, and the compacted log gives the same state.
    #[test]
    fn ids_keep_their_meaning_and_the_compacted_log_is_enough(steps in steps()) {
        let mut state = State::default();
        take!(state, set_config(None, Some(Level::None), None)).unwrap();
        let mut meanings = std::collections::HashMap::new();
        let mut log: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for step in steps {
            let subject = |n: u8| format!("s{n}");
            let decision = match step {
                Step::Register(s, n) => {
                    register(&state, &subject(s), &request(&record(&format!(r#"{{"name":"f{n}","type":"int"}}"#))))
                        .map(|d| Decision { records: d.records, answer: () })
                }
                Step::DeleteVersion(s, v, p) => delete_version(&state, &subject(s), VersionName::Number(v), p)
                    .map(|d| Decision { records: d.records, answer: () }),
                Step::DeleteSubject(s, p) => delete_subject(&state, &subject(s), p)
                    .map(|d| Decision { records: d.records, answer: () }),
            };
            let Ok(decision) = decision else { continue };
            for record in decision.records {
                let (key, value) = record.write().unwrap();
                state.apply(Record::read(&key, value.as_deref()).unwrap()).unwrap();
                log.retain(|(known, _)| *known != key);
                log.push((key, value));
            }
            for value in state.all(DELETED) {
                let meaning = meanings.entry(value.id).or_insert_with(|| value.schema.clone());
                prop_assert_eq!(&*meaning, &value.schema);
            }
        }
        let mut again = State::default();
        for (key, value) in &log {
            again.apply(Record::read(key, value.as_deref()).unwrap()).unwrap();
        }
        let content = |state: &State| state.all(DELETED).cloned().collect::<Vec<_>>();
        prop_assert_eq!(content(&again), content(&state));
    }
}
