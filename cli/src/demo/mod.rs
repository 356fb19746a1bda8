//! The scenarios of `demo`: each pattern of the catalogue, driven by events and checked.

mod database;
mod delayed_queue;
mod durable_promises;
mod durable_rpc;
mod enrichment;
mod fan_out;
mod orders;
mod payment_signals;
mod payment_state_machine;
mod priority_queue;
mod reminders;
mod saga;
mod state_machine;
mod sync_to_async;
mod transactional_events;
mod usage_metering;
mod user_updates;
mod webhooks;

use futures::FutureExt;
use millstream::scenario::{Run, Scenario};

/// All scenarios, in the order of the catalogue.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "durable-rpc",
        summary: "a product is reserved once",
        play: |run| durable_rpc::play(run).boxed(),
    },
    Scenario {
        name: "delayed-queue",
        summary: "a task is executed once, now or later",
        play: |run| delayed_queue::play(run).boxed(),
    },
    Scenario {
        name: "webhooks",
        summary: "a provider's events are taken once, in order",
        play: |run| webhooks::play(run).boxed(),
    },
    Scenario {
        name: "database",
        summary: "credits are added to a row in four ways",
        play: |run| database::play(run).boxed(),
    },
    Scenario {
        name: "sync-to-async",
        summary: "who does not wait for an upload gets a mail, once",
        play: |run| sync_to_async::play(run).boxed(),
    },
    Scenario {
        name: "payment-signals",
        summary: "a payment is decided now or by webhook, with one result",
        play: |run| payment_signals::play(run).boxed(),
    },
    Scenario {
        name: "saga",
        summary: "a trip is booked, or undone in reverse",
        play: |run| saga::play(run).boxed(),
    },
    Scenario {
        name: "state-machine",
        summary: "a machine does one transition at a time",
        play: |run| state_machine::play(run).boxed(),
    },
    Scenario {
        name: "payment-state-machine",
        summary: "payments are made once and cancelled for good",
        play: |run| payment_state_machine::play(run).boxed(),
    },
    Scenario {
        name: "reminders",
        summary: "three reminders, then people take over",
        play: |run| reminders::play(run).boxed(),
    },
    Scenario {
        name: "fan-out",
        summary: "a job's subtasks run in parallel",
        play: |run| fan_out::play(run).boxed(),
    },
    Scenario {
        name: "transactional-events",
        summary: "posts of a user wait in order, and alone",
        play: |run| transactional_events::play(run).boxed(),
    },
    Scenario {
        name: "enrichment",
        summary: "registration and sightings meet in a package",
        play: |run| enrichment::play(run).boxed(),
    },
    Scenario {
        name: "durable-promises",
        summary: "the first completion counts, for all who await it",
        play: |run| durable_promises::play(run).boxed(),
    },
    Scenario {
        name: "priority-queue",
        summary: "of thirty expensive calls ten run at a time",
        play: |run| priority_queue::play(run).boxed(),
    },
    Scenario {
        name: "user-updates",
        summary: "a busy system delays one user only",
        play: |run| user_updates::play(run).boxed(),
    },
    Scenario {
        name: "orders",
        summary: "baskets are paid, approved and shipped, or undone in reverse",
        play: |run| orders::play(run).boxed(),
    },
    Scenario {
        name: "usage-metering",
        summary: "usage is added up, and beyond its quota told of once",
        play: |run| usage_metering::play(run).boxed(),
    },
];
