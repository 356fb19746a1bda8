//! One event of a batch.

use std::sync::Arc;

use super::Note;
use super::by::Handles;
use super::objects::Objects;
use super::sizes::Sizes;
use crate::codec::Need;
use crate::failure::{self, Failure};
use crate::lane::batch::topics::{ShardError, Taken};
use crate::lane::crashes;
use crate::process::{
    Checked, Code, End, Ending, Held, Kept, Numbers, Outcome, Received, Rules, Stateless, Stop,
    remains,
};
use crate::record::Record;
use crate::record::key;
use crate::record::partition;
use crate::service::Shared;
use crate::state::Fields;

/// What became of a record.
pub(crate) struct Come {
    pub checked: Checked,
    pub is_sequenced: bool,
    pub outcome: Outcome,
}

/// What events of a batch come to.
pub(super) struct Yield {
    pub outputs: Vec<Record>,
    pub letters: Vec<Letter>,
    pub note: Note,
}

/// A dead letter that is to be made.
pub(super) struct Letter {
    /// Its place among the outputs.
    pub at: usize,
    pub received: Arc<Received>,
    pub raw: Raw,
    pub failure: Failure,
}

/// What handlers are not told of a record.
pub(super) struct Raw {
    /// `None`: null.
    key: Option<Vec<u8>>,
    is_null: bool,
}

impl Raw {
    /// What is left of a record that Kafka has no longer.
    pub fn record(self, received: &Received) -> Record {
        let value = (!self.is_null).then(|| received.record.to_vec());
        remains(self.key, value)
    }
}

impl Yield {
    /// Of so many events.
    pub fn of(count: usize) -> Self {
        Self {
            outputs: Vec::with_capacity(count),
            letters: Vec::new(),
            note: Note::default(),
        }
    }
}

pub(super) fn ending<'e>(rules: Rules<'e>, checked: &'e Checked, sequenced: bool) -> Ending<'e> {
    let numbers = Numbers {
        sequenced,
        ..Numbers::from(checked)
    };
    Ending {
        rules,
        checked,
        numbers,
    }
}

/// Why nothing became of a record.
fn undecidable(key: &str, stop: Stop) -> ShardError {
    match stop {
        Stop::Unreadable(error) => ShardError::state(key, &error),
        Stop::Never(failure) => ShardError::Undecidable(failure),
        Stop::Need(_) => ShardError::Undecidable(Failure::new(
            failure::HANDLER_FAILED,
            "a schema is not known although it was fetched",
        )),
    }
}

/// What is the same for all events of a batch.
pub(super) struct One<'b> {
    pub shared: &'b Shared,
    pub service: &'static str,
    pub sizes: &'b Sizes,
    /// Microseconds since 1970-01-01 UTC.
    pub now: i64,
    /// How often the shard was rewound.
    pub epoch: u32,
}

impl One<'_> {
    /// Decides about a record, and says what is to be produced and kept.
    pub async fn decide(
        &self,
        handler: &dyn Handles,
        taken: Taken,
        objects: &mut Objects<'_, '_>,
        made: &mut Yield,
    ) -> Result<(), ShardError> {
        let (raw, received) = self.received(handler, taken);
        let foreign = foreign(raw.key.as_deref().unwrap_or_default(), &received);
        let key = Arc::clone(&received.key);
        let mut object: Box<dyn Held> = match &foreign {
            Some(_) => Box::new(Stateless),
            None => objects.take(handler, &key)?,
        };
        let mut never = None;
        let come = loop {
            let read = handler.read(self.shared, &received, self.now).await?;
            let rules = self.shared.rules();
            let come = match &foreign {
                Some(failure) => read.refuse(rules, Arc::clone(&received), failure.clone()),
                None => read.decide(rules, Arc::clone(&received), &mut *object, never.clone()),
            };
            match come {
                Err(Stop::Need(need @ Need::Writer(_))) if never.is_none() => {
                    never = self.shared.codec.fetch(need).await?.err();
                }
                Err(Stop::Need(need)) => self.fetch(need).await?,
                come => break come.map_err(|stop| undecidable(&key, stop))?,
            }
        };
        let come = self.fitting(come, &mut *object).await?;
        let fields = self.publish(come, raw, made);
        match fields.filter(|_| foreign.is_none()) {
            Some(fields) => objects.put(key, object, fields),
            None => Ok(()),
        }
    }

    /// A record that has ended its process as often as is enough: it is kept as a dead letter, and a
    /// command is answered as far as its `meta` can be read; unless that has ended processes, too.
    pub async fn crashed(
        &self,
        handler: &dyn Handles,
        taken: Taken,
        is_read: bool,
        made: &mut Yield,
    ) -> Result<(), ShardError> {
        let (raw, received) = self.received(handler, taken);
        let checked = crashes::unread(self.shared, received, is_read).await?;
        let failure = Failure::new(failure::HANDLER_CRASHED, crashes::MESSAGE);
        let come = loop {
            let ending = ending(self.shared.rules(), &checked, false);
            match ending.ended(&mut Stateless, &End::Refuse(failure.clone())) {
                Ok(outcome) => break outcome,
                Err(Stop::Need(need)) => self.fetch(need).await?,
                Err(stop) => return Err(undecidable(&checked.received.key, stop)),
            }
        };
        let come = Come {
            checked,
            is_sequenced: false,
            outcome: come,
        };
        let come = self.fitting(come, &mut Stateless).await?;
        self.publish(come, raw, made);
        Ok(())
    }

    /// The record as handlers know it, and what they are not told.
    fn received(&self, handler: &dyn Handles, taken: Taken) -> (Raw, Arc<Received>) {
        let position = taken.position(handler.topic(), Some(self.now / 1000));
        let key = taken.key.as_deref().unwrap_or_default();
        let is_null = taken.value.is_none();
        let received = Received {
            declaration: handler.declaration(),
            service: self.service,
            handler: Arc::clone(handler.handler()),
            key: String::from_utf8_lossy(key).into(),
            position,
            shard_epoch: self.epoch,
            record: taken.value.unwrap_or_default(),
        };
        let raw = Raw {
            key: taken.key,
            is_null,
        };
        (raw, Arc::new(received))
    }

    async fn fetch(&self, need: Need) -> Result<(), ShardError> {
        let fetched = self.shared.codec.fetch(need).await?;
        fetched.map_err(ShardError::Undecidable)
    }

    /// What is published fits its topics, or something else is published instead, and in the place of
    /// that at last nothing but a dead letter.
    async fn fitting(&self, mut come: Come, kept: &mut dyn Kept) -> Result<Come, ShardError> {
        while let Some(error) = self.never(&come.outcome).await? {
            let instead = {
                let rules = self.shared.rules();
                let ending = ending(rules, &come.checked, come.is_sequenced);
                ending.unpublished(kept, &come.outcome, &[], &error)
            };
            match instead {
                Ok(instead) => come.outcome = instead,
                Err(Stop::Need(need)) => self.fetch(need).await?,
                Err(stop) => return Err(undecidable(&come.checked.received.key, stop)),
            }
        }
        Ok(come)
    }

    /// Why this can never be published.
    async fn never(&self, outcome: &Outcome) -> Result<Option<String>, ShardError> {
        if !outcome.timers.is_empty() {
            let why = "the batch lane sets no timers: emit an event to `timers`";
            return Ok(Some(why.to_owned()));
        }
        for output in outcome.published() {
            if let Some(limit) = self.sizes.exceeded(&output.record).await? {
                let topic = &output.record.topic;
                let why = format!("it is larger than the {limit} bytes that {topic} takes");
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    /// What is to be produced, and what is to be counted; gives what the object keeps.
    fn publish(&self, come: Come, raw: Raw, made: &mut Yield) -> Option<Fields> {
        let Come {
            checked, outcome, ..
        } = come;
        let (received, meta, note) = (&checked.received, &checked.meta, &mut made.note);
        let topic = received.declaration.name;
        if let Some(failure) = outcome.dead_letter
            && received.declaration.dead_letters
        {
            let letter = (topic, failure.code.clone());
            *note.letters.entry(letter).or_default() += 1;
            made.letters.push(Letter {
                at: made.outputs.len(),
                received: Arc::clone(received),
                raw,
                failure,
            });
            made.outputs.push(Record::default());
        }
        let published = outcome.records.into_iter().chain(outcome.answer);
        made.outputs.extend(published.map(|output| output.record));
        if outcome.is_repeated {
            *note.repeated.entry(topic).or_default() += 1;
        }
        match outcome.code {
            Code::Skipped(reason) => *note.skipped.entry((topic, reason)).or_default() += 1,
            Code::Ended(code) => {
                tracing::debug!(
                    event_id = meta.id,
                    key = &*received.key,
                    topic,
                    partition = received.position.partition,
                    offset = received.position.offset,
                    correlation_id = meta.correlation_id,
                    handler = &*received.handler,
                    outcome = %code,
                    "event decided"
                );
                let said = received.position.believed_micros(meta.time);
                let age = self.now.saturating_sub(said).max(0) as f64 / 1e6;
                note.ages.entry(topic).or_default().push(age);
                let ended = (topic, Arc::clone(&received.handler), code);
                *note.ended.entry(ended).or_default() += 1;
            }
        }
        outcome.fields
    }
}

/// Why nothing is kept under a record's key in this shard, if nothing is.
pub(in crate::lane::batch) fn foreign(key: &[u8], received: &Received) -> Option<Failure> {
    let (declaration, at) = (received.declaration, received.position.partition);
    if std::str::from_utf8(key).is_err() {
        let message = format!("the key is not UTF-8; it must be the {}", declaration.key);
        return Some(Failure::new(failure::INVALID_KEY, message));
    }
    if let Err(failure) = key::check(&received.key, declaration.key) {
        return Some(failure);
    }
    let belongs = partition::of_key(key, declaration.partitions);
    (belongs != at).then(|| {
        let message = format!(
            "the key belongs on partition {belongs} and came on {at}: its producer must use the \
             partitioner murmur2_random; `dlq replay` puts it where it belongs"
        );
        Failure::new(failure::WRONG_PARTITION, message)
    })
}
