//! The library's own services, beside those of a project.

pub mod replies;
pub mod timers;

use restate_sdk::endpoint::{Builder, Endpoint};

use crate::observe::metrics::{Known, Program, metrics};
use crate::service::Pipeline;
use crate::system::replies::Replies;
use crate::system::timers::Timers;

impl Pipeline {
    /// What the services of the project are bound to, to be [served](crate::serve::Handlers). What
    /// handlers count is shown from now on.
    pub fn endpoint(&self) -> Builder {
        metrics().begin(Program::Handlers, &Known::of(&self.topics()));
        Endpoint::builder()
    }

    /// The services of the library itself, which requests between services and timers go through.
    pub(crate) fn system(&self) -> Builder {
        Endpoint::builder()
            .bind(Replies::new(self))
            .bind(Timers::new(self))
    }
}
