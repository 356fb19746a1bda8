//! An object's state while events are handled.

use std::any::Any;

use bytes::Bytes;

use super::Received;
use crate::failure::{self, Failure};
use crate::state::dedup::{Bookkeeping, Input};
use crate::state::{Fields, State, Stored, UnreadableState};

/// An object's state as it is known: what was kept of it, and what has become of that since.
#[derive(Debug)]
pub(crate) struct Object<S: State> {
    pub stored: Stored<S>,
    before: Before,
    /// Whether it keeps the last offset of each partition.
    keeps_offsets: bool,
}

/// What an object goes back to when an event is refused.
#[derive(Debug)]
enum Before {
    /// Its entry; `None`: it has none yet.
    Entry(Option<Bytes>),
    /// As it was after the event before this one, which is not written yet.
    Event(Fields, Option<Bookkeeping>),
}

impl Before {
    fn stored<S: State>(&self) -> Result<Stored<S>, UnreadableState> {
        match self {
            Self::Entry(entry) => Stored::parse(entry.as_ref()),
            Self::Event(fields, bookkeeping) => {
                let mut stored = fields.parse()?;
                stored.bookkeeping.clone_from(bookkeeping);
                Ok(stored)
            }
        }
    }

    /// Bytes of the business fields.
    fn size<S: State>(&self) -> Option<usize> {
        match self {
            Self::Entry(_) => Some(self.stored::<S>().ok()?.fields().ok()?.size()),
            Self::Event(fields, _) => Some(fields.size()),
        }
    }
}

impl<S: State> Object<S> {
    /// Reads an entry; `None`: there is none yet.
    pub fn parse(entry: Option<Bytes>) -> Result<Self, UnreadableState> {
        let before = Before::Entry(entry);
        Ok(Self {
            stored: before.stored()?,
            before,
            keeps_offsets: false,
        })
    }

    /// Everything as it was kept, as if no record had come since.
    pub fn forget(&mut self) -> Result<(), UnreadableState> {
        self.stored = self.before.stored()?;
        Ok(())
    }

    /// The input rule of lanes that keep the last offset of each partition in the state: whether this
    /// record comes for the first time. Others know that without their objects.
    pub fn accept(&mut self, received: &Received) -> Input {
        self.keeps_offsets = true;
        let bookkeeping = self.bookkeeping(received);
        let (position, generation) = (&received.position, received.declaration.generation);
        bookkeeping.map_or(Input::New, |it| it.accept_position(position, generation))
    }
}

/// What a handler keeps, whatever its type.
pub(crate) trait Kept: Send {
    /// The bookkeeping, which begins with this record; `None`: nothing is kept.
    fn bookkeeping(&mut self, received: &Received) -> Option<&mut Bookkeeping>;
    /// Everything as it was kept, but that this record has come.
    fn revert(&mut self, received: &Received) -> Result<(), UnreadableState>;
    /// The business fields, if they may be written: where something was decided they have a limit.
    /// `None`: nothing is kept.
    fn fields(&self, limit: Option<usize>) -> Result<Option<Fields>, Failure>;
    /// The entry with these fields and the bookkeeping.
    fn entry(&self, fields: &Fields) -> Result<Bytes, serde_json::Error>;
}

/// What is kept through several events, and written after the last of them.
pub(crate) trait Held: Kept {
    /// What an outcome says of the state is so from now on: it will be written together with what comes
    /// next.
    fn adopt(&mut self, fields: Fields);
    /// The entry as it is to be written; `None`: there is none.
    fn written(&self) -> Result<Option<Bytes>, serde_json::Error>;
    /// Bytes that its bookkeeping takes.
    fn remembered(&self) -> usize;
    /// For whoever knows the type.
    fn as_any(&self) -> &dyn Any;
    /// The same.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<S: State> Kept for Object<S> {
    fn bookkeeping(&mut self, received: &Received) -> Option<&mut Bookkeeping> {
        let era = (received.declaration.generation, received.shard_epoch);
        let begin = || Bookkeeping::begin(&received.position, era);
        Some(self.stored.bookkeeping.get_or_insert_with(begin))
    }

    fn revert(&mut self, received: &Received) -> Result<(), UnreadableState> {
        self.forget()?;
        if self.keeps_offsets {
            self.accept(received);
        }
        Ok(())
    }

    fn fields(&self, limit: Option<usize>) -> Result<Option<Fields>, Failure> {
        let fields = self.stored.fields().map_err(|error| {
            let message = format!("the state has no form in JSON: {error}");
            Failure::new(failure::HANDLER_FAILED, message)
        })?;
        if let Some(limit) = limit {
            fields.check(|| self.before.size::<S>(), limit)?;
        }
        Ok(Some(fields))
    }

    fn entry(&self, fields: &Fields) -> Result<Bytes, serde_json::Error> {
        fields.with(self.stored.bookkeeping.as_ref())
    }
}

impl<S: State> Held for Object<S> {
    fn adopt(&mut self, fields: Fields) {
        match &mut self.before {
            Before::Event(before, bookkeeping) => {
                *before = fields;
                bookkeeping.clone_from(&self.stored.bookkeeping);
            }
            Before::Entry(_) => {
                self.before = Before::Event(fields, self.stored.bookkeeping.clone());
            }
        }
    }

    fn written(&self) -> Result<Option<Bytes>, serde_json::Error> {
        match &self.before {
            Before::Entry(entry) => Ok(entry.clone()),
            Before::Event(fields, bookkeeping) => fields.with(bookkeeping.as_ref()).map(Some),
        }
    }

    fn remembered(&self) -> usize {
        let bookkeeping = self.stored.bookkeeping.as_ref();
        bookkeeping.map_or(0, Bookkeeping::size)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
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

    fn fields(&self, _: Option<usize>) -> Result<Option<Fields>, Failure> {
        Ok(None)
    }

    fn entry(&self, _: &Fields) -> Result<Bytes, serde_json::Error> {
        Ok(Bytes::new())
    }
}

impl Held for Stateless {
    fn adopt(&mut self, _: Fields) {}

    fn written(&self) -> Result<Option<Bytes>, serde_json::Error> {
        Ok(None)
    }

    fn remembered(&self) -> usize {
        0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
