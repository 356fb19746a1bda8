//! The table of scenarios, in the order in which they are run.

use futures::future::LocalBoxFuture;

use super::harness::{Harness, Needs};
use super::outcome::Outcome;
use super::{
    bounced, broker, clients, clock, cluster, database, forged, guard, handlers, hostile, input,
    lease, registry, restate, saga, values,
};

/// One scenario.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it needs of the stack.
    pub needs: Needs,
    /// Whether the stack cannot be used after it.
    pub spoils: bool,
    /// Whether it compares times, so that no other may be played beside it.
    pub alone: bool,
    /// Runs it.
    pub run: Run,
}

type Run = for<'h> fn(&'h Harness) -> LocalBoxFuture<'h, anyhow::Result<Outcome>>;

macro_rules! scenario {
    ($name:literal, $about:literal, $run:path $(, $field:ident = $value:expr)?) => {
        Scenario {
            $($field: $value,)?
            ..Scenario {
                name: $name,
                about: $about,
                needs: Needs::Usual,
                spoils: false,
                alone: false,
                run: |harness| Box::pin($run(harness)),
            }
        }
    };
}

/// Those of a single node.
pub const SCENARIOS: &[Scenario] = &[
    scenario!(
        "kill9-handler-mid-event",
        "handlers are killed while they work",
        handlers::kill9
    ),
    scenario!(
        "kill9-handler-mid-saga",
        "handlers are killed after each step of a saga",
        saga::kill9
    ),
    scenario!(
        "pause-handler",
        "handlers stand still for longer than Restate waits, and go on",
        handlers::pause,
        needs = Needs::ShortTimeouts
    ),
    scenario!(
        "two-replicas-partitioned",
        "a replica is cut off from Restate but not from Kafka",
        handlers::partitioned,
        needs = Needs::ShortTimeouts
    ),
    scenario!(
        "kill9-restate",
        "Restate is killed and started on the same disk",
        restate::kill9
    ),
    scenario!(
        "restate-down-60s",
        "Restate is away while events keep coming",
        restate::down
    ),
    scenario!(
        "broker-restart",
        "Kafka is restarted, and killed and started",
        broker::restart
    ),
    scenario!(
        "broker-bounced",
        "Kafka is restarted in quick rhythm with every kind of client open",
        bounced::bounced,
        spoils = true
    ),
    scenario!(
        "broker-paused",
        "Kafka stands still for longer than producers wait",
        broker::paused,
        spoils = true
    ),
    scenario!(
        "result-topic-unavailable",
        "the result topic is absent for a while",
        broker::result_topic_unavailable
    ),
    scenario!(
        "registry-down",
        "the registry is away for running handlers and for new ones",
        registry::down
    ),
    scenario!(
        "incompatible-schema",
        "values with unknown ids, bad magic bytes, cut bodies, missing fields",
        values::incompatible_schema
    ),
    scenario!(
        "poison-value",
        "events that make the handler panic",
        values::poison
    ),
    scenario!(
        "hostile-records",
        "schemas and keys that are made to end the process",
        hostile::records
    ),
    scenario!(
        "abort-on-event",
        "events at which the handlers abort",
        hostile::aborts
    ),
    scenario!(
        "disk-full",
        "handlers can write neither their log nor their marks",
        hostile::disk_full
    ),
    scenario!(
        "malformed-flood",
        "as many malformed records as good ones",
        values::malformed_flood
    ),
    scenario!(
        "non-utf8-key",
        "keys that are not UTF-8, null or empty on a foreign topic",
        guard::non_utf8_key
    ),
    scenario!(
        "duplicate-input",
        "events are produced twice, and old offsets again",
        input::duplicates
    ),
    scenario!(
        "subscription-recreated",
        "the subscription is deleted and made anew under load",
        input::subscription_recreated
    ),
    scenario!(
        "slow-consumer",
        "a reader of results, and HTTP clients, that are far too slow",
        clients::slow,
        alone = true
    ),
    scenario!(
        "postgres-down",
        "the database is away during a step with an effect",
        database::down,
        needs = Needs::Postgres
    ),
    scenario!(
        "clock-jump",
        "the clock of handlers jumps forth and back",
        clock::jump
    ),
    scenario!(
        "rolling-upgrade",
        "a new deployment under load; a change in place is refused",
        handlers::rolling_upgrade
    ),
    scenario!(
        "zombie-producer-fenced",
        "an old relay comes back after another took over",
        guard::zombie_fenced
    ),
    scenario!(
        "forged-request",
        "requests to handlers that Restate did not sign",
        forged::requests
    ),
    scenario!(
        "stuck-keys",
        "thousands of stuck keys of one topic, and the latency of another",
        broker::stuck_keys,
        alone = true
    ),
    scenario!(
        "restore-from-backup",
        "Restate goes on from an older copy of its data",
        restate::restore_from_backup
    ),
    scenario!(
        "kill9-lease",
        "handlers are killed before, in and after a transaction of the batch lane",
        lease::kill9
    ),
    scenario!(
        "lease-taken-over",
        "a process that has partitions stands still, another one has them, and it goes on",
        lease::taken_over
    ),
    scenario!(
        "work-orders",
        "work orders are doubled, late, of no use and lost",
        lease::orders
    ),
    scenario!(
        "restate-lost",
        "Restate loses all that it has, and is made anew",
        restate::lost
    ),
    scenario!(
        "partition-count-changed",
        "the input topic gets more partitions",
        input::partition_count_changed,
        spoils = true
    ),
];

/// Those of a cluster.
pub const CLUSTER: &[Scenario] = &[
    scenario!(
        "cluster-broker",
        "each broker is killed in turn, and the other two carry on",
        cluster::broker
    ),
    scenario!(
        "cluster-restate",
        "each Restate server is killed in turn, and the other two carry on",
        cluster::restate
    ),
    scenario!(
        "cluster-handlers",
        "each replica of the handlers is killed in turn, and the other one carries on",
        cluster::handlers
    ),
    scenario!(
        "cluster-gateway",
        "each gateway is killed in turn, and the other one answers its requests",
        cluster::gateway
    ),
];
