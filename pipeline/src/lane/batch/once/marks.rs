//! The reader rule over the results of one key, whoever emitted them. Pure: what is known of the key is
//! its state, and the time is told.

use std::collections::VecDeque;

use millstream_events::EventMeta;
use serde::{Deserialize, Serialize};

use crate::record::digest::{digest, hex};
use crate::sequence::{Reader, Verdict};

/// How many numberings of a key are known: one for each source and epoch. The one that was silent for
/// longest goes first.
const MAX_NUMBERINGS: usize = 16;
/// How many results of a numbering are told from conflicts when they come again. A copy comes soon
/// after its original, and each costs space in every state that is written.
const MAX_DIGESTS: usize = 8;
/// How many ids of results without a number are known.
const MAX_IDS: usize = 64;

/// What a result says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It has a number in its source's numbering.
    Numbered {
        source: String,
        epoch: String,
        seq: i64,
        /// Of its value.
        digest: u64,
    },
    /// It has an id alone.
    Named(String),
    /// Nothing tells it from another.
    Nothing,
}

impl Said {
    /// As its `meta` has it.
    pub fn of(meta: Option<EventMeta>, value: &[u8]) -> Self {
        match meta {
            Some(EventMeta {
                seq: Some(seq),
                source,
                epoch,
                ..
            }) => {
                let [a, b, c, d, e, f, g, h, ..] = digest(&[value]);
                Self::Numbered {
                    source,
                    epoch: epoch.unwrap_or_default(),
                    seq,
                    digest: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
                }
            }
            Some(meta) if !meta.id.is_empty() => Self::Named(meta.id),
            _ => Self::Nothing,
        }
    }
}

/// What is known of a key's results: the state of the key, as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    /// When the last result of the key was seen, in milliseconds since 1970-01-01 UTC.
    seen_ms: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    numberings: Vec<Numbering>,
    /// Digests of the ids of results without a number, the newest last.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    ids: VecDeque<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Numbering {
    /// Digest of source and epoch, which may be long.
    of: String,
    seen_ms: i64,
    #[serde(flatten)]
    reader: Reader,
}

impl Marks {
    /// Judges a result that is seen now.
    pub fn judge(&mut self, said: Said, now_ms: i64) -> Verdict {
        self.seen_ms = self.seen_ms.max(now_ms);
        match said {
            Said::Numbered {
                source,
                epoch,
                seq,
                digest,
            } => {
                let numbering = self.numbering(&source, &epoch, now_ms);
                let verdict = numbering.reader.see(seq, digest);
                numbering.reader.shorten(MAX_DIGESTS);
                verdict
            }
            Said::Named(id) => {
                let id = hex::<8>(&digest(&[id.as_bytes()]));
                if self.ids.contains(&id) {
                    return Verdict::Duplicate;
                }
                if self.ids.len() == MAX_IDS {
                    self.ids.pop_front();
                }
                self.ids.push_back(id);
                Verdict::Accept
            }
            Said::Nothing => Verdict::Accept,
        }
    }

    fn numbering(&mut self, source: &str, epoch: &str, now_ms: i64) -> &mut Numbering {
        let of = hex::<8>(&digest(&[source.as_bytes(), epoch.as_bytes()]));
        let is_it = |it: &Numbering| it.of == of;
        let at = self.numberings.iter().position(is_it);
        // The one in use is the last, so the first was silent for longest.
        let mut numbering = match at {
            Some(at) => self.numberings.remove(at),
            None => {
                if self.numberings.len() == MAX_NUMBERINGS {
                    self.numberings.remove(0);
                }
                Numbering {
                    of,
                    seen_ms: now_ms,
                    reader: Reader::default(),
                }
            }
        };
        numbering.seen_ms = numbering.seen_ms.max(now_ms);
        self.numberings.push(numbering);
        let last = self.numberings.len() - 1;
        &mut self.numberings[last]
    }

    /// Forgets numberings that were silent for longer than `kept_ms`; -1: none.
    pub fn forget(&mut self, now_ms: i64, kept_ms: i64) {
        self.numberings
            .retain(|it| !is_over(it.seen_ms, now_ms, kept_ms));
    }

    /// Whether nothing of the key is worth keeping any more.
    pub fn is_over(&self, now_ms: i64, kept_ms: i64) -> bool {
        is_over(self.seen_ms, now_ms, kept_ms)
    }
}

fn is_over(seen_ms: i64, now_ms: i64, kept_ms: i64) -> bool {
    kept_ms >= 0 && now_ms.saturating_sub(seen_ms) > kept_ms
}

#[cfg(test)]
mod tests;
