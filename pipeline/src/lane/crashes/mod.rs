//! The last line of defence: a record whose handling has ended the process several times becomes the
//! dead letter `handler-crashed` (decision 22).
//!
//! An attempt that Restate repeats is marked while a thread runs it, which is when it can end the
//! process; waiting it is not. First attempts are not marked, so in the ordinary case this costs
//! nothing. After a death one attempt runs at a time, first ones are marked too, and the next death
//! tells whom to blame. Who was running alone three times is not run again.

mod letter;
mod marks;

use std::io;
use std::path::Path;
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::lane::protocol::First;
use crate::service::Pipeline;
use marks::Marks;

pub(crate) use letter::{MESSAGE, unread};

/// Deaths after which an invocation is not run again.
const ENOUGH: u32 = 3;

/// Notices attempts that end the process.
pub struct CrashGuard {
    marks: Marks,
    pipeline: Pipeline,
}

impl CrashGuard {
    /// Keeps its marks in `folder`, which should outlive the process; several may share it.
    pub fn open(folder: &Path, pipeline: &Pipeline) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            marks: Marks::open(folder)?,
            pipeline: pipeline.clone(),
        }))
    }

    /// Whether the first messages of a request have to be looked at before its handler runs.
    pub(crate) fn is_careful(&self) -> bool {
        self.marks.is_careful()
    }

    /// What answers the invocation that begins so, `path` being `/invoke/Service/handler`, if it has
    /// ended the process too often.
    pub(crate) fn convicts(
        &self,
        path: &str,
        first: &First,
        messages: &[u8],
    ) -> Option<BoxFuture<'static, Bytes>> {
        let service = path.rsplit('/').nth(1).unwrap_or_default();
        if self.pipeline.shared.served.is_lane(service) {
            // A work order harms nobody, and the next one would come to the same records. Which of
            // them ends processes the lease notes itself.
            return None;
        }
        let deaths = self.marks.deaths(&first.invocation);
        if deaths < ENOUGH {
            return None;
        }
        // The way to answer may have ended the process, too.
        let is_read = deaths < ENOUGH + 2;
        letter::answer(&self.pipeline, path, messages, is_read)
    }

    /// An attempt is about to run, of which `invocation` is known but for its first time.
    pub(crate) fn runs<'g>(&'g self, invocation: Option<&str>) -> Running<'g> {
        let turn = self.marks.turn();
        if let Some(invocation) = invocation {
            self.marks.enter(invocation);
        }
        Running {
            marks: &self.marks,
            _turn: turn,
        }
    }

    /// Marks an attempt that has begun to run, if it must be; tells whether it must.
    pub(crate) fn begins(&self, first: &First) -> bool {
        let is_marked = first.attempt > 1 || self.marks.is_careful();
        if is_marked {
            self.marks.enter(&first.invocation);
        }
        is_marked
    }

    /// An invocation has come to its end.
    pub(crate) fn ended(&self, invocation: &str) {
        self.marks.ended(invocation);
    }
}

/// An attempt runs on this thread.
pub(crate) struct Running<'g> {
    marks: &'g Marks,
    _turn: Option<MutexGuard<'g, ()>>,
}

impl Running<'_> {
    /// It was marked.
    pub fn leave(self) {
        self.marks.leave();
    }
}
