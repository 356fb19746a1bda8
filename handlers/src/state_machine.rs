//! Machines: a transition takes seconds, and no two of one machine ever overlap.
//!
//! The machine is the key, so its commands wait for each other and those of other machines do not.
//! The transition is a durable timer: a crash in the middle of it finishes it.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_schemas::machine_commands::{self, MachineState};
use millstream_topics::{MachineCommands, MachineCommandsEvent, TOPICS};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::settings::milliseconds;

/// How long things take.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Milliseconds that a machine's transition takes
    #[arg(
        long = "transition-ms",
        default_value = "5000",
        env = "MILLSTREAM_TRANSITION_MS",
        value_name = "MS",
        value_parser = milliseconds
    )]
    pub transition: Duration,
}

/// The service. Its key is the machine id.
pub struct MachineOperator {
    service: Service,
    transition: Duration,
}

impl MachineOperator {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(MachineOperator in TOPICS)),
            transition: settings.transition,
        }
    }
}

/// A machine.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Absent until its first transition: nobody knows how it was left.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

/// Where a machine stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Up,
    Down,
}

/// Where a command brings the machine.
fn target(command: &MachineCommandsEvent) -> Status {
    match command {
        MachineCommandsEvent::SetUp(_) => Status::Up,
        MachineCommandsEvent::TearDown(_) => Status::Down,
    }
}

impl Machine {
    /// Whether it takes a transition to get there.
    fn is_elsewhere(&self, target: Status) -> bool {
        self.status != Some(target)
    }

    /// It is there now.
    fn arrive(&mut self, target: Status) -> MachineState {
        let changed = self.is_elsewhere(target);
        self.status = Some(target);
        let status = match target {
            Status::Up => machine_commands::Status::Up,
            Status::Down => machine_commands::Status::Down,
        };
        MachineState { status, changed }
    }
}

#[restate_sdk::object]
impl MachineOperator {
    /// Handles `machine-commands`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self
            .service
            .receive::<MachineCommands, Machine>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        let target = target(&turn.event);
        let mut result = Ok(());
        if turn.state().is_elsewhere(target) {
            result = turn.steps().sleep(self.transition).await;
        }
        let result = result.map(|()| turn.state().arrive(target));
        turn.finish(result).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_schemas::machine_commands::{SetUp, TearDown};

    #[test]
    fn only_what_is_elsewhere_changes() {
        let mut machine = Machine::default();
        let commands: [(MachineCommandsEvent, bool); 5] = [
            (TearDown {}.into(), true),
            (SetUp {}.into(), true),
            (SetUp {}.into(), false),
            (TearDown {}.into(), true),
            (TearDown {}.into(), false),
        ];
        for (command, changed) in commands {
            let target = target(&command);
            assert_eq!(machine.is_elsewhere(target), changed);
            assert_eq!(machine.arrive(target).changed, changed);
        }
    }

    #[test]
    fn the_state_shows_the_status() {
        let mut machine = Machine::default();
        machine.arrive(Status::Up);
        let json = serde_json::to_value(&machine).unwrap();
        assert_eq!(json, serde_json::json!({ "status": "UP" }));
    }
}
