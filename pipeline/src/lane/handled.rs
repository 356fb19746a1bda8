//! A checked event that is being handled, in any lane of Restate's.

use std::sync::{Arc, OnceLock};

use restate_sdk::prelude::*;

use super::Handling;
use crate::lane::context::Journal;
use crate::lane::origin::Origin;
use crate::process::{Checked, End, Ending, Kept, Numbers};

/// What a handler holds of an event besides the event itself and a state.
pub(crate) struct Handled {
    pub handling: Handling,
    pub checked: Checked,
    /// Made when something waits or is emitted meanwhile.
    origin: OnceLock<Arc<Origin>>,
    /// Whether what is published under the object's own key gets a `seq`.
    pub is_sequenced: bool,
}

impl Handled {
    pub fn new(handling: Handling, checked: Checked) -> Self {
        Self {
            handling,
            checked,
            origin: OnceLock::new(),
            is_sequenced: true,
        }
    }

    /// Where the events come from that are emitted before the end.
    pub fn origin(&self) -> Arc<Origin> {
        let origin = self.origin.get_or_init(|| {
            let (shared, emitter) = (Arc::clone(&self.handling.shared), self.checked.emitter());
            let time = self.checked.recorded_ms.saturating_mul(1000);
            Arc::new(Origin::new(shared, emitter, time))
        });
        Arc::clone(origin)
    }

    /// Ends it: everything is published, then the state is written.
    pub async fn end(
        &self,
        ctx: Option<&dyn Journal<'_>>,
        kept: &mut dyn Kept,
        end: End,
    ) -> HandlerResult<()> {
        let origin = self.origin.get();
        let new;
        let (emitter, numbers) = match origin {
            Some(origin) => (&origin.emitter, origin.numbers()),
            None => {
                new = self.checked.emitter();
                (&new, Numbers::from(&self.checked))
            }
        };
        let ending = Ending {
            rules: self.handling.shared.rules(),
            checked: &self.checked,
            emitter,
            numbers: Numbers {
                sequenced: self.is_sequenced,
                ..numbers
            },
        };
        let outcome = |kept: &mut dyn Kept| ending.outcome(kept, &end);
        let outcome = self.handling.decide(&ending, kept, outcome).await?;
        let has_waited = origin.is_some_and(|origin| origin.has_waited());
        let handling = &self.handling;
        handling
            .carry_out(ctx, &ending, kept, outcome, has_waited)
            .await
    }
}
