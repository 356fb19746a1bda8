//! Compares what was sent, what was answered and what was kept as a dead letter.
//!
//! It is fed as records come, in any order between the topics, and needs memory per key, not per
//! event: what it knows of a key is numbers without holes.

use std::collections::{HashMap, HashSet};

use millstream_pipeline::sequence::{Reader, Verdict};
use serde::Serialize;

use super::event::{id, next_chain, parse_id};
use super::numbers::Numbers;

#[cfg(test)]
mod tests;

/// How many sentences a report has at most.
const MAX_NOTES: usize = 20;
/// How many epochs of a key are remembered.
const MAX_EPOCHS: usize = 4;

/// Where a record stands: partition and offset.
pub type Place = (i32, i64);

/// A record on the input topic that holds an event of the generator's.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its number.
    pub in_seq: i64,
    /// Where it stands.
    pub place: Place,
    /// Whether it cannot be handled, so that it must become a dead letter as well.
    pub expects_letter: bool,
}

/// A record on the result topic.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// Its key.
    pub key: &'a str,
    /// `seq` of its meta.
    pub seq: Option<i64>,
    /// `epoch` of its meta.
    pub epoch: &'a str,
    /// Digest of its value.
    pub digest: u64,
    /// `causation_id` of its meta.
    pub cause: &'a str,
    /// What it says; `None`: that the command failed.
    pub booked: Option<Booked<'a>>,
    /// Whether it failed with `handler-crashed`, which is answered without the key's state and so
    /// without a number.
    pub crashed: bool,
}

/// What a ledger says that it booked.
#[derive(Debug, Clone)]
pub struct Booked<'a> {
    /// Number of the entry.
    pub in_seq: i64,
    /// Entries so far.
    pub count: i64,
    /// The chain.
    pub chain: &'a str,
}

/// The checker.
#[derive(Debug)]
pub struct Checker {
    sequence_rule: bool,
    keys: HashMap<String, Key>,
    letters: HashMap<Place, Letters>,
    expected: u64,
    answered: u64,
    report: Report,
}

#[derive(Debug, Default)]
struct Key {
    /// Acknowledged to the generator.
    acknowledged: Numbers,
    /// On the input topic.
    inputs: Numbers,
    /// Answered, as a reader sees it.
    answered: Numbers,
    highest: i64,
    readers: Vec<(String, Reader)>,
    /// Digests of answers without a number.
    unnumbered: HashSet<u64>,
    count: i64,
    chain: String,
}

#[derive(Debug, Default)]
struct Letters {
    expected: bool,
    seen: u32,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Events that were sent.
    pub events: u64,
    /// Records on the input topic that hold an event sent before.
    pub repeated_inputs: u64,
    /// Records on the result topic.
    pub raw_results: u64,
    /// Copies among them, which readers drop.
    pub raw_duplicates: u64,
    /// Dead letters, copies included.
    pub dead_letters: u64,
    /// Dead letters of the same record.
    pub dead_letter_copies: u64,
    /// Events without an answer, and records without the dead letter that is due.
    pub loss: u64,
    /// Events that a reader sees answered twice.
    pub visible_duplicates: u64,
    /// Answers that a reader sees after a later one of the key.
    pub inversions: u64,
    /// Missing numbers that a reader is told of.
    pub gaps: u64,
    /// Results and dead letters of what was never sent.
    pub phantoms: u64,
    /// Other values under the same number.
    pub conflicts: u64,
    /// Answers whose count or chain is not that of the answers before.
    pub chain_mismatches: u64,
    /// The first few findings, for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Report {
    /// Whether every guarantee was kept.
    pub fn is_clean(&self) -> bool {
        [
            self.loss,
            self.visible_duplicates,
            self.inversions,
            self.gaps,
            self.phantoms,
            self.conflicts,
            self.chain_mismatches,
        ]
        .iter()
        .all(|count| *count == 0)
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text());
        }
    }
}

impl Checker {
    /// A checker that applies the readers' sequence rule, or that takes every result as it is.
    pub fn new(sequence_rule: bool) -> Self {
        Self {
            sequence_rule,
            keys: HashMap::new(),
            letters: HashMap::new(),
            expected: 0,
            answered: 0,
            report: Report::default(),
        }
    }

    fn key(&mut self, key: &str) -> &mut Key {
        self.keys.entry(key.to_owned()).or_default()
    }

    /// The generator was told that Kafka has this event.
    pub fn acknowledged(&mut self, key: &str, in_seq: i64) {
        let known = self.key(key);
        if known.acknowledged.insert(in_seq) && !known.inputs.contains(in_seq) {
            self.expected += 1;
        }
    }

    /// An event of the generator's is on the input topic; answers whether it is new.
    pub fn input(&mut self, input: &Input<'_>) -> bool {
        let known = self.key(input.key);
        if !known.inputs.insert(input.in_seq) {
            self.report.repeated_inputs += 1;
            return false;
        }
        if !known.acknowledged.contains(input.in_seq) {
            self.expected += 1;
        }
        if input.expects_letter {
            self.letters.entry(input.place).or_default().expected = true;
        }
        true
    }

    /// Something that holds no event is on the input topic.
    pub fn bad_input(&mut self, place: Place) {
        self.letters.entry(place).or_default().expected = true;
    }

    /// The record at `place` has become a dead letter.
    pub fn letter(&mut self, place: Place) {
        self.report.dead_letters += 1;
        let letters = self.letters.entry(place).or_default();
        letters.seen += 1;
        self.report.dead_letter_copies += u64::from(letters.seen > 1);
    }

    /// A record is on the result topic; answers whether an event has its first answer by it.
    pub fn answer(&mut self, answer: &Answer<'_>) -> bool {
        self.report.raw_results += 1;
        let sequence_rule = self.sequence_rule;
        let verdict = self.key(answer.key).judge(answer);
        let report = &mut self.report;
        match verdict {
            None => {
                report.phantoms += 1;
                report.note(|| format!("{}: a result without a number", answer.key));
                return false;
            }
            Some(Verdict::AcceptAfterGap { missing }) => {
                report.gaps += missing;
                report.note(|| format!("{missing} numbers missing before {answer:?}"));
            }
            Some(Verdict::Duplicate) => report.raw_duplicates += 1,
            Some(Verdict::Conflict) => {
                report.conflicts += 1;
                report.note(|| format!("another value under the same number: {answer:?}"));
            }
            Some(Verdict::Accept | Verdict::AcceptLate) => {}
        }
        let is_seen = !sequence_rule || verdict.is_some_and(Verdict::is_accepted);
        is_seen && self.seen(answer)
    }

    /// What a reader sees.
    fn seen(&mut self, answer: &Answer<'_>) -> bool {
        let Some((_, in_seq)) = parse_id(answer.cause).filter(|(key, _)| *key == answer.key) else {
            self.report.phantoms += 1;
            self.report
                .note(|| format!("an answer to what was never sent: {answer:?}"));
            return false;
        };
        let known = self.keys.entry(answer.key.to_owned()).or_default();
        let report = &mut self.report;
        if !known.answered.insert(in_seq) {
            report.visible_duplicates += 1;
            report.note(|| format!("answered twice: {answer:?}"));
            return false;
        }
        self.answered += 1;
        if in_seq < known.highest {
            report.inversions += 1;
            report.note(|| format!("after {}: {answer:?}", known.highest));
        }
        known.highest = known.highest.max(in_seq);
        let Some(booked) = &answer.booked else {
            return true;
        };
        let chain = next_chain(&known.chain, &id(answer.key, in_seq));
        if (booked.in_seq, booked.count, booked.chain) != (in_seq, known.count + 1, chain.as_str())
        {
            report.chain_mismatches += 1;
            report.note(|| format!("expected {} and {chain}: {answer:?}", known.count + 1));
        }
        // The ledger's own word, so that one mistake is counted once.
        known.count = booked.count;
        known.chain = booked.chain.to_owned();
        true
    }

    /// Events whose answers have not come.
    pub fn outstanding(&self) -> u64 {
        self.expected.saturating_sub(self.answered)
    }

    /// Dead letters that are due and have not come.
    pub fn letters_due(&self) -> usize {
        self.letters
            .values()
            .filter(|letters| letters.expected && letters.seen == 0)
            .count()
    }

    /// The acknowledged events that have no answer yet.
    pub fn unanswered(&self) -> Vec<(String, i64)> {
        self.keys
            .iter()
            .flat_map(|(name, key)| {
                let missing = key.acknowledged.without(&key.answered);
                missing.map(|in_seq| (name.clone(), in_seq))
            })
            .collect()
    }

    /// Whether this event has its answer.
    pub fn is_answered(&self, key: &str, in_seq: i64) -> bool {
        self.keys
            .get(key)
            .is_some_and(|key| key.answered.contains(in_seq))
    }

    /// The report, when nothing more comes.
    pub fn finish(&self) -> Report {
        let mut report = self.report.clone();
        report.events = self.expected;
        for (name, key) in &self.keys {
            let mut sent = key.inputs.clone();
            for in_seq in key.acknowledged.without(&key.inputs) {
                report.note(|| format!("{name}.{in_seq} was acknowledged and is not on its topic"));
                sent.insert(in_seq);
            }
            for in_seq in sent.without(&key.answered) {
                report.loss += 1;
                report.note(|| format!("{name}.{in_seq} has no answer"));
            }
            for in_seq in key.answered.without(&sent) {
                report.phantoms += 1;
                report.note(|| format!("{name}.{in_seq} was answered and never sent"));
            }
        }
        for (place, letters) in &self.letters {
            if letters.expected && letters.seen == 0 {
                report.loss += 1;
                report.note(|| format!("{place:?} should be a dead letter"));
            }
            if !letters.expected {
                report.phantoms += 1;
                report.note(|| format!("{place:?} is a dead letter and should not be"));
            }
        }
        report
    }
}

impl Key {
    /// The sequence rule's verdict; `None` for an answer without a number that should have one.
    fn judge(&mut self, answer: &Answer<'_>) -> Option<Verdict> {
        let Some(seq) = answer.seq else {
            let is_new = answer
                .crashed
                .then(|| self.unnumbered.insert(answer.digest))?;
            return Some(if is_new {
                Verdict::Accept
            } else {
                Verdict::Duplicate
            });
        };
        let at = self
            .readers
            .iter()
            .position(|(epoch, _)| epoch == answer.epoch);
        let reader = match at {
            Some(at) => &mut self.readers[at].1,
            None => {
                if self.readers.len() == MAX_EPOCHS {
                    self.readers.remove(0);
                }
                let mut reader = Reader::default();
                // The suite's keys are new, so their numbers are known to begin with 1.
                reader.see(0, 0);
                self.readers.push((answer.epoch.to_owned(), reader));
                let last = self.readers.len() - 1;
                &mut self.readers[last].1
            }
        };
        Some(reader.see(seq, answer.digest))
    }
}
