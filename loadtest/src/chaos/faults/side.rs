//! One ledger in a run: its load, and its judge.

use std::sync::Arc;

use millstream_pipeline::kafka::publisher::Record;

use super::harness::Harness;
use crate::chaos::ledger::checker::{Checker, Report};
use crate::chaos::ledger::event::{Book, is_spoilt, key};
use crate::chaos::ledger::generator::{Generator, Load};
use crate::chaos::ledger::watch::Watch;
use crate::random::Random;

/// A ledger in a run.
pub struct Side {
    pub book: Book,
    pub run: String,
    pub watch: Arc<Watch>,
    pub generator: Arc<Generator>,
}

impl Side {
    /// Begins to watch.
    pub async fn start(harness: &Harness, book: Book, run: &str) -> anyhow::Result<Self> {
        let codec = Arc::clone(&harness.codec);
        // Of the batch lane's results plain readers see each once.
        let checker = Checker::new(harness.rules.sequence_rule && !book.is_once());
        let kafka = &harness.endpoints.kafka;
        let watch = Watch::start(kafka, Arc::clone(&codec), book, run, checker).await?;
        let publisher = Arc::clone(&harness.publisher);
        Ok(Self {
            book,
            run: run.to_owned(),
            watch: Arc::new(watch),
            generator: Arc::new(Generator::new(book, run, codec, publisher)),
        })
    }

    /// Sends a load, and on until `is_over`.
    pub async fn send(
        &self,
        load: &Load,
        random: Random,
        is_over: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        self.generator
            .send(load, &self.watch, random, is_over)
            .await
    }

    /// A bad value on the key of one of so many good events, in a partition that is to be spoilt.
    pub fn bad(&self, keys: usize, random: &mut Random, value: Vec<u8>) -> Record {
        let first = random.below(keys as u64) as usize;
        let mut known = (0..keys).map(|step| key(&self.run, (first + step) % keys));
        let key = known.find(|key| is_spoilt(self.book.partition(key)));
        Record {
            topic: self.book.declaration().name.to_owned(),
            key: key.map(String::into_bytes),
            value: Some(value),
            headers: Vec::new(),
        }
    }

    /// Whether everything is answered and kept.
    pub fn is_answered(&self) -> bool {
        let checker = self.watch.checker();
        checker.outstanding() == 0 && checker.letters_due() == 0
    }

    /// The events that are acknowledged and have no answer by now.
    pub fn waiting(&self) -> Waiting {
        Waiting {
            events: self.watch.checker().unanswered(),
            watch: Arc::clone(&self.watch),
        }
    }

    /// Whether this is what the guarantees allow.
    pub fn is_clean(&self, report: &Report) -> bool {
        report.is_clean() && (report.raw_duplicates == 0 || !self.book.is_once())
    }
}

/// Events that waited for their answers at some moment.
pub struct Waiting {
    events: Vec<(String, i64)>,
    watch: Arc<Watch>,
}

impl Waiting {
    /// Whether all of them have been answered since.
    pub fn is_over(&mut self) -> bool {
        let checker = self.watch.checker();
        let answered = |(key, in_seq): &(String, i64)| checker.is_answered(key, *in_seq);
        self.events.retain(|event| !answered(event));
        self.events.is_empty()
    }
}
