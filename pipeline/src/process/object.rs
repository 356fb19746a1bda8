//! An object's state while events are handled.

use bytes::Bytes;

use super::Received;
use crate::failure::{self, Failure};
use crate::state::dedup::{Bookkeeping, Input};
use crate::state::{Fields, State, Stored, UnreadableState};

/// An object's state as it is known: what its entry says, and what has become of that since.
#[derive(Debug)]
pub(crate) struct Object<S: State> {
    pub stored: Stored<S>,
    entry: Option<Bytes>,
    /// Whether it keeps the last offset of each partition.
    keeps_offsets: bool,
}

impl<S: State> Object<S> {
    /// Reads an entry; `None`: there is none yet.
    pub fn parse(entry: Option<Bytes>) -> Result<Self, UnreadableState> {
        Ok(Self {
            stored: Stored::parse(entry.as_ref())?,
            entry,
            keeps_offsets: false,
        })
    }

    /// What an outcome says of the state is so from now on: it was written, or will be together with
    /// what is held now.
    #[cfg(test)]
    pub fn adopt(&mut self, entry: Option<Bytes>) {
        if entry.is_some() {
            self.entry = entry;
        }
    }

    /// Everything as the entry says, as if no record had come since.
    pub fn forget(&mut self) -> Result<(), UnreadableState> {
        self.stored = Stored::parse(self.entry.as_ref())?;
        Ok(())
    }

    /// The input rule of lanes that keep the last offset of each partition in the state: whether this
    /// record comes for the first time. Others know that without their objects.
    pub fn accept(&mut self, received: &Received) -> Input {
        self.keeps_offsets = true;
        let generation = received.declaration.generation;
        let bookkeeping = begun(&mut self.stored.bookkeeping, received);
        bookkeeping.accept_position(&received.position, generation)
    }
}

fn begun<'b>(bookkeeping: &'b mut Option<Bookkeeping>, received: &Received) -> &'b mut Bookkeeping {
    let era = (received.declaration.generation, received.shard_epoch);
    bookkeeping.get_or_insert_with(|| Bookkeeping::begin(&received.position, era))
}

/// What a handler keeps, whatever its type.
pub(crate) trait Kept: Send {
    /// The bookkeeping, which begins with this record; `None`: nothing is kept.
    fn bookkeeping(&mut self, received: &Received) -> Option<&mut Bookkeeping>;
    /// Everything as the entry says, but that this record has come.
    fn revert(&mut self, received: &Received) -> Result<(), UnreadableState>;
    /// The business fields, if they may be written.
    fn fields(&self, limit: usize) -> Result<Fields, Failure>;
    /// The entry with these fields and the bookkeeping; `None`: nothing is kept.
    fn entry(&self, fields: Fields) -> Result<Option<Bytes>, Failure>;
    /// The entry with the business fields as they are: nothing was decided.
    fn unchanged(&self) -> Result<Option<Bytes>, Failure>;
}

impl<S: State> Kept for Object<S> {
    fn bookkeeping(&mut self, received: &Received) -> Option<&mut Bookkeeping> {
        Some(begun(&mut self.stored.bookkeeping, received))
    }

    fn revert(&mut self, received: &Received) -> Result<(), UnreadableState> {
        self.forget()?;
        if self.keeps_offsets {
            self.accept(received);
        }
        Ok(())
    }

    fn fields(&self, limit: usize) -> Result<Fields, Failure> {
        let fields = self.stored.fields().map_err(|error| no_json(&error))?;
        fields.check::<S>(self.entry.as_ref(), limit)?;
        Ok(fields)
    }

    fn entry(&self, fields: Fields) -> Result<Option<Bytes>, Failure> {
        let entry = fields.with(self.stored.bookkeeping.as_ref());
        entry.map(Some).map_err(|error| no_json(&error))
    }

    fn unchanged(&self) -> Result<Option<Bytes>, Failure> {
        let fields = self.stored.fields().map_err(|error| no_json(&error))?;
        self.entry(fields)
    }
}

fn no_json(error: &serde_json::Error) -> Failure {
    let message = format!("the state has no form in JSON: {error}");
    Failure::new(failure::HANDLER_FAILED, message)
}

/// What a shared handler, a service and the runs of workflows keep.
pub(crate) struct Stateless;

impl Kept for Stateless {
    fn bookkeeping(&mut self, _: &Received) -> Option<&mut Bookkeeping> {
        None
    }

    fn revert(&mut self, _: &Received) -> Result<(), UnreadableState> {
        Ok(())
    }

    fn fields(&self, _: usize) -> Result<Fields, Failure> {
        Ok(Fields::default())
    }

    fn entry(&self, _: Fields) -> Result<Option<Bytes>, Failure> {
        Ok(None)
    }

    fn unchanged(&self) -> Result<Option<Bytes>, Failure> {
        Ok(None)
    }
}
