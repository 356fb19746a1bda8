//! What `demo` plays: a pattern, driven by events and checked.
//!
//! ```
//! use millstream::scenario::{Run, Scenario};
//!
//! async fn greet(run: &mut Run) -> anyhow::Result<()> {
//!     let person = run.key("ada");
//!     // run.request::<Greetings, PersonGreeted>(&person, greet_person).await?
//!     run.expect("the person's name", person.starts_with("ada"), true);
//!     Ok(())
//! }
//!
//! static SCENARIOS: &[Scenario] = &[Scenario {
//!     name: "greet",
//!     summary: "a person is greeted",
//!     play: |run| Box::pin(greet(run)),
//! }];
//! ```

mod run;

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Declaration;
use millstream_pipeline::identity::Signer;

pub use run::{Outcome, Run};

/// A scenario's name and what it does.
#[derive(Debug)]
pub struct Scenario {
    /// As in `--only`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Sends events, and notes what it expected and did not find.
    pub play: for<'r> fn(&'r mut Run) -> BoxFuture<'r, anyhow::Result<()>>,
}

impl Scenario {
    /// Plays it on a running installation.
    pub(crate) async fn run(
        &self,
        endpoints: &Endpoints,
        topics: &[&'static Declaration],
        signer: Option<Arc<Signer>>,
    ) -> Outcome {
        let started = Instant::now();
        match Run::new(self.name, endpoints, topics, signer).await {
            Ok(mut run) => {
                if let Err(error) = (self.play)(&mut run).await {
                    run.fail(format!("{error:#}"));
                }
                run.finish(started.elapsed())
            }
            Err(error) => Outcome::not_started(self.name, &error),
        }
    }
}
