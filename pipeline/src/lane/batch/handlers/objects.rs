//! The objects of a batch: each is read once and written once, however many of the events are its own.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::by::Handles;
use crate::lane::batch::memory::Overlay;
use crate::lane::batch::topics::ShardError;
use crate::process::Held;
use crate::state::Fields;

/// Beyond so many bytes all are written, and read again when they are needed.
const OPEN_BYTES: usize = 16 * 1024 * 1024;

/// Those that are open.
pub(super) struct Objects<'o, 'm> {
    states: &'o mut Overlay<'m, Arc<str>, Bytes>,
    open: HashMap<Arc<str>, Box<dyn Held>>,
    bytes: usize,
}

impl<'o, 'm> Objects<'o, 'm> {
    /// Of a batch that sees these states.
    pub fn new(states: &'o mut Overlay<'m, Arc<str>, Bytes>) -> Self {
        Self {
            states,
            open: HashMap::new(),
            bytes: 0,
        }
    }

    /// The object of a key, as this handler knows it.
    pub fn take(
        &mut self,
        handler: &dyn Handles,
        key: &Arc<str>,
    ) -> Result<Box<dyn Held>, ShardError> {
        let entry = match self.open.remove(key) {
            Some(object) if handler.knows(&*object) => return Ok(object),
            // A topic of the same service with another type of state.
            Some(object) => object
                .written()
                .map_err(|error| ShardError::state(key, &error))?,
            None => self.states.get(key)?,
        };
        handler
            .object(entry)
            .map_err(|error| ShardError::state(key, &error))
    }

    /// Has an object again, of which an outcome says that this is kept.
    pub fn put(
        &mut self,
        key: Arc<str>,
        mut object: Box<dyn Held>,
        fields: Fields,
    ) -> Result<(), ShardError> {
        self.bytes += fields.size();
        object.adopt(fields);
        self.bytes += 2 * object.remembered();
        self.open.insert(key, object);
        match self.bytes > OPEN_BYTES {
            true => self.close(),
            false => Ok(()),
        }
    }

    /// Writes all of them.
    pub fn close(&mut self) -> Result<(), ShardError> {
        self.bytes = 0;
        for (key, object) in self.open.drain() {
            let written = object
                .written()
                .map_err(|error| ShardError::state(&key, &error))?;
            if let Some(entry) = written {
                self.states.set(key, entry);
            }
        }
        Ok(())
    }
}
