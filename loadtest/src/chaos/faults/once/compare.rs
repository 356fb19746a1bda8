//! Whether one topic has each result that the reader rule accepts of another one, once and as it came.
//! Pure: it is fed with the records of both, those of the raw topic first.

use std::collections::{HashMap, HashSet};

use millstream_pipeline::events::EventMeta;
use millstream_pipeline::lane::batch::once::LATE;
use millstream_pipeline::record::cloudevents::ID;
use millstream_pipeline::record::digest::digest;
use millstream_pipeline::record::{HeaderList, Record};
use millstream_pipeline::sequence::Reader;

#[cfg(test)]
mod tests;

/// A record of either topic.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub partition: i32,
    pub record: Record,
    /// That of its value: headers mirror it, and are not believed.
    pub meta: Option<EventMeta>,
}

impl Found {
    fn id(&self) -> &str {
        let meta = self.meta.as_ref().map(|meta| meta.id.as_str());
        meta.or_else(|| self.record.header(ID)).unwrap_or_default()
    }
}

/// How often something was found, and where first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    pub count: u64,
    pub first: String,
}

impl Finding {
    fn add(&mut self, what: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = what();
        }
        self.count += 1;
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Results that the rule accepts of the raw topic.
    pub accepted: u64,
    pub duplicates: Finding,
    pub missing: Finding,
    pub altered: Finding,
    pub inversions: Finding,
    pub phantoms: Finding,
}

impl Differences {
    /// Each kind: its figure's name, what is wrong then, and what was found of it.
    pub fn kinds(&self) -> [(&'static str, &'static str, &Finding); 5] {
        [
            (
                "once_duplicates",
                "results that come again",
                &self.duplicates,
            ),
            ("once_missing", "results that are missing", &self.missing),
            ("once_altered", "results that are altered", &self.altered),
            (
                "once_inversions",
                "results behind a later one of their key",
                &self.inversions,
            ),
            (
                "once_phantoms",
                "records that are no accepted result",
                &self.phantoms,
            ),
        ]
    }

    /// A sentence for each kind that was found on `topic`.
    pub fn sentences(&self, topic: &str) -> Vec<String> {
        let kinds = self.kinds().into_iter();
        let wrong = kinds.filter(|(_, _, finding)| finding.count > 0);
        wrong
            .map(|(_, what, Finding { count, first })| {
                format!("{topic}: {what}: {count}, the first is {first}")
            })
            .collect()
    }
}

/// Compares.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Those of the raw topic.
    keys: HashMap<Vec<u8>, Key>,
    /// By id, which two numberings may share.
    accepted: HashMap<String, Vec<Accepted>>,
    /// By digest of the key: the last place that was reached on the other topic.
    reached: HashMap<u64, u64>,
    differences: Differences,
}

/// A result that must be there.
#[derive(Debug)]
struct Accepted {
    print: Print,
    /// Its place among all that are accepted.
    place: u64,
    is_there: bool,
}

/// What a reader knows of a key.
#[derive(Debug, Default)]
struct Key {
    /// By source and epoch.
    numberings: HashMap<(String, String), Numbering>,
    /// Of results without a number.
    ids: HashSet<String>,
}

#[derive(Debug, Default)]
struct Numbering {
    reader: Reader,
    highest: Option<i64>,
}

/// What is compared of a record: digests, for a run has many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Print {
    partition: i32,
    key: u64,
    value: u64,
    headers: u64,
}

impl Comparison {
    /// The next record of a partition of the raw topic.
    pub fn raw(&mut self, found: &Found) {
        let plain = Print::of(found, false);
        let key = found.record.key.clone().unwrap_or_default();
        let key = self.keys.entry(key).or_default();
        let Some(is_late) = key.accept(found.meta.as_ref(), plain.value) else {
            return;
        };
        let accepted = Accepted {
            print: Print::of(found, is_late),
            place: self.differences.accepted,
            is_there: false,
        };
        self.differences.accepted += 1;
        let same = self.accepted.entry(found.id().to_owned());
        same.or_default().push(accepted);
    }

    /// The next record of a partition of the other topic.
    pub fn once(&mut self, found: &Found) {
        let (id, print) = (found.id(), Print::of(found, false));
        let differences = &mut self.differences;
        let Some(same) = self.accepted.get_mut(id) else {
            differences.phantoms.add(|| id.to_owned());
            return;
        };
        let mut to_come = same.iter().enumerate().filter(|(_, it)| !it.is_there);
        let exact = to_come.clone().find(|(_, it)| it.print == print);
        let Some(at) = exact.or_else(|| to_come.next()).map(|(at, _)| at) else {
            differences.duplicates.add(|| id.to_owned());
            return;
        };
        let accepted = &mut same[at];
        accepted.is_there = true;
        if let Some(parts) = accepted.print.altered(print) {
            differences.altered.add(|| format!("{id} ({parts})"));
        }
        // A key's results follow each other as on the raw topic: by number, but for those that are late
        // and say so.
        let reached = self.reached.entry(accepted.print.key).or_default();
        if accepted.place < *reached {
            differences.inversions.add(|| id.to_owned());
        }
        *reached = accepted.place.max(*reached);
    }

    /// What was found, when neither topic has more.
    pub fn finish(mut self) -> Differences {
        let all = self.accepted.iter();
        let all = all.flat_map(|(id, same)| same.iter().map(move |it| (it, id)));
        let mut missing: Vec<_> = all.filter(|(it, _)| !it.is_there).collect();
        missing.sort_unstable_by_key(|(it, _)| it.place);
        for (_, id) in missing {
            self.differences.missing.add(|| id.clone());
        }
        self.differences
    }
}

impl Key {
    /// Whether a reader accepts this, and, if so, whether it is late: behind a higher number.
    fn accept(&mut self, meta: Option<&EventMeta>, value: u64) -> Option<bool> {
        // Nothing tells such a one from another.
        let Some(meta) = meta else {
            return Some(false);
        };
        let Some(seq) = meta.seq else {
            let is_new = meta.id.is_empty() || self.ids.insert(meta.id.clone());
            return is_new.then_some(false);
        };
        let of = (meta.source.clone(), meta.epoch.clone().unwrap_or_default());
        let Numbering { reader, highest } = self.numberings.entry(of).or_default();
        if !reader.see(seq, value).is_accepted() {
            return None;
        }
        let is_late = highest.is_some_and(|highest| seq < highest);
        *highest = (*highest).max(Some(seq));
        Some(is_late)
    }
}

impl Print {
    /// Of a record that is late, or not: what the service adds to one that is belongs to it.
    fn of(found: &Found, is_late: bool) -> Self {
        let record = &found.record;
        Self {
            partition: found.partition,
            key: of_bytes(record.key.as_deref()),
            value: of_bytes(record.value.as_deref()),
            headers: of_headers(&record.headers, is_late),
        }
    }

    /// What of another record is not as here.
    fn altered(self, other: Self) -> Option<String> {
        let parts = [
            ("partition", self.partition != other.partition),
            ("key", self.key != other.key),
            ("value", self.value != other.value),
            ("headers", self.headers != other.headers),
        ];
        let altered = parts.into_iter().filter(|(_, is_altered)| *is_altered);
        let names: Vec<_> = altered.map(|(name, _)| name).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn of_bytes(bytes: Option<&[u8]>) -> u64 {
    match bytes {
        Some(bytes) => short(&[bytes]),
        None => short(&[]),
    }
}

fn of_headers(headers: &HeaderList, is_late: bool) -> u64 {
    let late = (LATE.into(), Some(b"true"[..].into()));
    let headers = headers.iter().chain(is_late.then_some(&late));
    let parts = headers.flat_map(|(name, value)| {
        let is_null: &[u8] = if value.is_none() { b"null" } else { b"" };
        [
            name.as_bytes(),
            is_null,
            value.as_deref().unwrap_or_default(),
        ]
    });
    short(&parts.collect::<Vec<_>>())
}

fn short(parts: &[&[u8]]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(parts);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}
