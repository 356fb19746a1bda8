//! A service of plain decisions, which works in either lane: in that which its topic files name.
//!
//! ```ignore
//! pub fn usage_meter(pipeline: &Pipeline) -> Decider {
//!     pipeline
//!         .decider(service_name!("UsageMeter" in TOPICS))
//!         .on_with::<UsageRecords, _>(record)
//!         .on::<UsageQueries, _>(usage)
//! }
//! ```
//!
//! In the event lane it is a virtual object with a handler for each of its topics. In the batch lane
//! it is one with the handler `work`, whose keys are partitions, and a process that serves it sends
//! work orders as well ([`crate::lane::batch`]).

mod bound;

pub(crate) use bound::leased;

use millstream_events::{Declaration, Lane, Topic};
use restate_sdk::prelude::*;

use crate::failure::Failure;
use crate::lane::batch::handlers::by::{By, Handles};
use crate::lane::batch::lane::Settings;
use crate::lane::batch::topics::Limits;
use crate::lane::keyed::Journals;
use crate::process::outputs::Outputs;
use crate::service::{Pipeline, Service};
use crate::state::State;

/// A service whose handlers do nothing but decide, one for each of its topics. Binding it to an
/// endpoint is all that an author does, in either lane.
pub struct Decider {
    pub(crate) service: Service,
    pub(crate) topics: Vec<Box<dyn Handles>>,
    limits: Limits,
}

/// The handlers are not those that the topic files name.
#[derive(Debug, thiserror::Error)]
#[error("{service}: {reason}")]
pub struct Undeclared {
    service: &'static str,
    reason: String,
}

impl Pipeline {
    /// A service of plain decisions, of which none is known yet. `name` is that of the topic files.
    pub fn decider(&self, name: &'static str) -> Decider {
        Decider {
            service: self.service(name),
            topics: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Decider {
    /// Decides about the events of `T` by a plain function of state and event.
    pub fn on<T: Topic, S: State + 'static>(
        self,
        decide: impl Fn(&mut S, T::Event) -> Result<T::Result, Failure> + Send + Sync + 'static,
    ) -> Self {
        let decide =
            move |state: &mut S, event: T::Event, _: &mut Outputs| decide(state, event).map(Some);
        self.with::<T, S>(Journals::State, decide)
    }

    /// As [`Self::on`], for decisions that emit events or answer other commands too. `None`: this
    /// command is answered by a later event.
    pub fn on_with<T: Topic, S: State + 'static>(
        self,
        decide: impl Fn(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        // The event lane may set timers.
        self.with::<T, S>(Journals::Steps, decide)
    }

    fn with<T: Topic, S: State + 'static>(
        mut self,
        journals: Journals,
        decide: impl Fn(&mut S, T::Event, &mut Outputs) -> Result<Option<T::Result>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let handler = self.service.handler::<T>();
        let by = By::<T, S, _>::new(handler, journals, decide);
        self.topics.push(Box::new(by));
        self
    }

    /// How much a batch has at most, in the batch lane.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The lane that its topic files name.
    pub fn lane(&self) -> Lane {
        let declared = self.declared();
        match declared.iter().any(|topic| topic.lane == Lane::Batch) {
            true => Lane::Batch,
            false => Lane::Event,
        }
    }

    /// What its topic files say, as the pipeline has them.
    fn declared(&self) -> Vec<&'static Declaration> {
        let known = &self.service.pipeline.shared.topics;
        let handled = self.topics.iter().map(|it| it.declaration());
        handled
            .map(|it| known.get(it.name).copied().unwrap_or(it))
            .collect()
    }

    /// What it is in the batch lane.
    pub fn settings(&self) -> Result<Settings, Undeclared> {
        self.check()?;
        let shared = &self.service.pipeline.shared;
        let declared = self.declared();
        let first = declared.first();
        let topics = declared.iter();
        Ok(Settings {
            prefix: shared.prefix.clone(),
            service: self.service.name.to_owned(),
            topics: topics.map(|it| it.subscribed_topic()).collect(),
            partitions: first.map_or(0, |it| it.partitions),
            generation: first.map_or(1, |it| it.generation),
            headers: false,
            limits: self.limits,
        })
    }

    /// Whether its handlers are those that the topic files name.
    fn check(&self) -> Result<(), Undeclared> {
        let (service, shared) = (self.service.name, &self.service.pipeline.shared);
        let undeclared = |reason: String| Undeclared { service, reason };
        let is_ours =
            |topic: &Declaration| topic.subscriptions.iter().any(|to| to.service == service);
        let lane = self.lane();
        let handled = self.declared();
        if handled.is_empty() {
            return Err(undeclared("it handles no topic; add `.on::<..>`".into()));
        }
        for topic in &handled {
            if !is_ours(topic) {
                let reason = format!(
                    "the file of {} does not name it under `subscriptions`; add it there",
                    topic.name
                );
                return Err(undeclared(reason));
            }
            if topic.lane != lane {
                let reason = format!(
                    "the file of {} does not say lane = \"batch\", as others of its topics do; write it \
                     there too, or nowhere",
                    topic.name
                );
                return Err(undeclared(reason));
            }
        }
        // Work orders are no topic that it decides about.
        let declared = shared.topics.values().copied();
        let mut declared = declared.filter(|topic| topic.lane == lane && is_ours(topic));
        let left = declared.find(|topic| {
            let is_handled = handled.iter().any(|it| it.name == topic.name);
            !is_handled
        });
        match left {
            Some(topic) => Err(undeclared(format!(
                "nothing handles its topic {}; add `.on::<..>` for it",
                topic.name
            ))),
            None => Ok(()),
        }
    }
}

impl IntoServiceDefinition for Decider {
    /// What is wrong with it is told by [`Handlers::serve`](crate::serve::Handlers::serve), which then
    /// serves nothing.
    fn into_service_definition(self) -> ServiceDefinition {
        let pipeline = self.service.pipeline.clone();
        let settings = match self.settings() {
            Ok(settings) => settings,
            Err(error) => {
                pipeline.shared.served.refuse(error.to_string());
                return bound::keyed(self);
            }
        };
        match self.lane() {
            Lane::Event => bound::keyed(self),
            Lane::Batch => bound::batched(self, settings),
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_topics::{PackageQueries, PackageRegistrations, ProductReservations};
    use serde::Deserialize;

    use super::*;
    use crate::config::Endpoints;

    #[derive(Default, serde::Serialize, Deserialize)]
    struct Nothing {}

    fn refused<T: Topic>(_: &mut Nothing, _: T::Event) -> Result<T::Result, Failure> {
        Err(Failure::invalid_request("whatever it says"))
    }

    fn pipeline() -> Pipeline {
        let topics = [
            ProductReservations::DECLARATION,
            PackageQueries::DECLARATION,
            PackageRegistrations::DECLARATION,
        ];
        Pipeline::new(&Endpoints::default(), &topics, "shop").unwrap()
    }

    #[tokio::test]
    async fn a_service_has_the_handlers_that_its_topic_files_name() {
        let pipeline = pipeline();
        let right = pipeline.decider("ProductReservations");
        let right = right.on::<ProductReservations, _>(refused::<ProductReservations>);
        assert!(right.settings().is_ok());
        assert_eq!(right.lane(), Lane::Event);
        for (decider, why) in [
            (pipeline.decider("ProductReservations"), "handles no topic"),
            (
                pipeline
                    .decider("Reservations")
                    .on::<ProductReservations, _>(refused::<ProductReservations>),
                "does not name it",
            ),
            (
                pipeline
                    .decider("PackageTracker")
                    .on::<PackageQueries, _>(refused::<PackageQueries>),
                "nothing handles its topic package-registrations",
            ),
        ] {
            let told = decider.settings().unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }

    /// As `lane = "batch"` in its file makes it.
    fn leased(topic: &'static Declaration) -> &'static Declaration {
        let mut leased = topic.clone();
        leased.lane = Lane::Batch;
        Box::leak(Box::new(leased))
    }

    #[tokio::test]
    async fn the_lane_is_that_of_the_topic_files() {
        let [queries, registrations] = [
            PackageQueries::DECLARATION,
            PackageRegistrations::DECLARATION,
        ];
        let tracker = |topics: &[&'static Declaration]| {
            let pipeline = Pipeline::new(&Endpoints::default(), topics, "shop").unwrap();
            pipeline
                .decider("PackageTracker")
                .on::<PackageQueries, _>(refused::<PackageQueries>)
                .on::<PackageRegistrations, _>(refused::<PackageRegistrations>)
        };
        let event = tracker(&[
            PackageQueries::DECLARATION,
            PackageRegistrations::DECLARATION,
        ]);
        assert_eq!(event.lane(), Lane::Event);
        let batch = tracker(&[leased(queries), leased(registrations)]);
        assert_eq!(batch.lane(), Lane::Batch);
        let settings = batch.settings().unwrap();
        assert_eq!(
            settings.topics,
            ["package-queries", "package-registrations"]
        );
        let both = tracker(&[leased(queries), registrations]);
        let told = both.settings().unwrap_err().to_string();
        assert!(
            told.contains("package-registrations does not say lane"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn nothing_is_served_of_what_is_not_declared() {
        let pipeline = pipeline();
        let services = pipeline.endpoint().bind(pipeline.decider("Nobody"));
        let handlers = crate::serve::Handlers::unsigned(&pipeline, services);
        let served = handlers.serve(([127, 0, 0, 1], 0).into(), async {});
        let told = served.await.unwrap_err().to_string();
        assert!(told.contains("Nobody: it handles no topic"), "{told}");
    }
}
