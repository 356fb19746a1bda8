//! One event of a batch.

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{Message, OwnedMessage};

use super::Note;
use super::by::Handles;
use super::objects::Objects;
use super::sizes::Sizes;
use crate::codec::Need;
use crate::failure::{self, Failure};
use crate::lane::batch::topics::ShardError;
use crate::lane::crashes;
use crate::process::{
    Checked, Code, End, Ending, Held, Kept, Numbers, Outcome, Received, Rules, Stateless, Stop,
    letter,
};
use crate::record::Record;
use crate::record::key;
use crate::record::partition;
use crate::record::source_offset::SourceOffset;
use crate::service::Shared;
use crate::state::Fields;

/// What became of a record.
pub(crate) struct Come {
    pub checked: Checked,
    pub is_sequenced: bool,
    pub outcome: Outcome,
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
        message: &OwnedMessage,
        objects: &mut Objects<'_, '_>,
        outputs: &mut Vec<Record>,
        note: &mut Note,
    ) -> Result<(), ShardError> {
        let bytes = message.key().unwrap_or_default();
        let received = Arc::new(self.received(handler, message));
        let foreign = foreign(bytes, &received);
        let key: Arc<str> = received.key.as_str().into();
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
        let fields = self.publish(come, message, outputs, note).await?;
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
        message: &OwnedMessage,
        is_read: bool,
        outputs: &mut Vec<Record>,
        note: &mut Note,
    ) -> Result<(), ShardError> {
        let received = Arc::new(self.received(handler, message));
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
        self.publish(come, message, outputs, note).await?;
        Ok(())
    }

    fn received(&self, handler: &dyn Handles, message: &OwnedMessage) -> Received {
        Received {
            declaration: handler.declaration(),
            service: self.service,
            handler: handler.handler().to_owned(),
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            position: SourceOffset::of(message, Some(self.now / 1000)),
            shard_epoch: self.epoch,
            record: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        }
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
    async fn publish(
        &self,
        come: Come,
        message: &OwnedMessage,
        outputs: &mut Vec<Record>,
        note: &mut Note,
    ) -> Result<Option<Fields>, ShardError> {
        let (received, meta) = (&come.checked.received, &come.checked.meta);
        let topic = received.declaration.name;
        let outcome = come.outcome;
        if let Some(failure) = &outcome.dead_letter
            && received.declaration.dead_letters
        {
            let original = Some(Record::copy_of(message));
            let letter = letter(received, original, failure, &self.shared.prefix);
            outputs.push(self.sizes.shortened(letter).await?);
            *note
                .letters
                .entry((topic, failure.code.to_string()))
                .or_default() += 1;
        }
        let published = outcome.records.into_iter().chain(outcome.answer);
        outputs.extend(published.map(|output| output.record));
        if outcome.is_repeated {
            *note.repeated.entry(topic).or_default() += 1;
        }
        match outcome.code {
            Code::Skipped(reason) => *note.skipped.entry((topic, reason)).or_default() += 1,
            Code::Ended(code) => {
                tracing::debug!(
                    event_id = meta.id,
                    key = received.key,
                    topic,
                    partition = received.position.partition,
                    offset = received.position.offset,
                    correlation_id = meta.correlation_id,
                    handler = received.handler,
                    outcome = %code,
                    "event decided"
                );
                let said = received.position.believed_micros(meta.time);
                let age = self.now.saturating_sub(said).max(0) as f64 / 1e6;
                note.ages.push((topic, age));
                let handler = received.handler.clone();
                *note
                    .ended
                    .entry((topic, handler, code.into_owned()))
                    .or_default() += 1;
            }
        }
        Ok(outcome.fields)
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
