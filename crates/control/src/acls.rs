//! The rights on Kafka that each part of an installation needs, and no more.

use std::collections::{BTreeMap, BTreeSet};

use millstream_events::{Access, Declaration, Lane, Subscription};

use super::topics::{Role, declared};
use millstream_pipeline::kafka::group;

/// A part of an installation, which is a user of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum User {
    /// `serve`
    Handlers,
    /// `gateway`
    Gateway,
    /// `guard`
    Guard,
    /// `plan`, `apply`, `status`, `subscriptions` and `doctor`
    Apply,
    /// `registry`
    Registry,
    /// Restate's server
    Restate,
}

impl User {
    /// Its name, after a prefix.
    fn name(self) -> &'static str {
        match self {
            Self::Handlers => "handlers",
            Self::Gateway => "gateway",
            Self::Guard => "guard",
            Self::Apply => "apply",
            Self::Registry => "registry",
            Self::Restate => "restate",
        }
    }
}

/// What a right is to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic(String),
    /// A consumer group.
    Group(String),
    /// All groups that begin like this.
    Groups(String),
    /// All transactional ids that begin like this.
    TransactionalIds(String),
    /// The cluster.
    Cluster,
}

/// Operations that a user may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Who.
    pub user: User,
    /// What to.
    pub resource: Resource,
    /// What, by Kafka's names.
    pub operations: &'static [&'static str],
    prefix: String,
}

impl Right {
    /// All but the resource's own name: what rights in one command have in common.
    fn command(&self) -> String {
        let mut command = format!(
            "kafka-acls.sh --bootstrap-server \"$KAFKA\" --command-config \"$ADMIN\" --add \
             --allow-principal 'User:{}-{}'",
            self.prefix,
            self.user.name()
        );
        for operation in self.operations {
            command += &format!(" --operation {operation}");
        }
        command + self.resource.pattern()
    }
}

impl Resource {
    fn pattern(&self) -> &'static str {
        match self {
            Self::Groups(_) | Self::TransactionalIds(_) => " --resource-pattern-type prefixed",
            Self::Topic(_) | Self::Group(_) | Self::Cluster => "",
        }
    }

    fn option(&self) -> String {
        match self {
            Self::Topic(name) => format!(" --topic '{name}'"),
            Self::Group(name) | Self::Groups(name) => format!(" --group '{name}'"),
            Self::TransactionalIds(prefix) => format!(" --transactional-id '{prefix}'"),
            Self::Cluster => " --cluster".to_owned(),
        }
    }
}

/// Commands of Kafka's `kafka-acls` that grant these rights: one for all topics to which a user has
/// the same, since each takes seconds.
pub fn commands(rights: &[Right]) -> Vec<String> {
    let mut commands: BTreeMap<(User, &[&str], u8), (String, String)> = BTreeMap::new();
    for right in rights {
        let kind = match right.resource {
            Resource::Topic(_) => 0,
            Resource::Group(_) => 1,
            Resource::Groups(_) => 2,
            Resource::TransactionalIds(_) => 3,
            Resource::Cluster => 4,
        };
        let command = commands
            .entry((right.user, right.operations, kind))
            .or_insert_with(|| (right.command(), String::new()));
        command.1 += &right.resource.option();
    }
    let commands = commands.into_values();
    commands.map(|(command, names)| command + &names).collect()
}

const READ: &[&str] = &["Read", "Describe"];
const WRITE: &[&str] = &["Write", "Describe"];
/// In the batch lane a topic's limits are asked for before anything is sent.
const WRITE_WITHIN: &[&str] = &["Write", "Describe", "DescribeConfigs"];
const MANAGE: &[&str] = &[
    "Create",
    "Alter",
    "Delete",
    "Describe",
    "DescribeConfigs",
    "AlterConfigs",
];

/// The rights that these declarations need, with this prefix of consumer groups, and the topic of
/// the built-in registry. Users are called `<prefix>-<part>`.
pub fn rights(declarations: &[&Declaration], prefix: &str, registry_topic: &str) -> Vec<Right> {
    let mut rights = BTreeSet::new();
    let mut grant = |user, resource, operations| {
        rights.insert(Right {
            user,
            resource,
            operations,
            prefix: prefix.to_owned(),
        });
    };
    let topic = |name: &str| Resource::Topic(name.to_owned());
    let is_leased = declarations.iter().any(|it| !it.leased().is_empty());
    let written = if is_leased { WRITE_WITHIN } else { WRITE };
    for declared in declared(declarations) {
        let name = || topic(&declared.name);
        grant(User::Apply, name(), MANAGE);
        match declared.role {
            // See below.
            Role::Events => {}
            Role::Guarded => {
                grant(User::Guard, name(), WRITE);
                grant(User::Handlers, name(), READ);
            }
            Role::Results => {
                grant(User::Handlers, name(), written);
                grant(User::Gateway, name(), READ);
            }
            Role::Once | Role::DeadLetters => grant(User::Handlers, name(), written),
        }
    }
    for declaration in declarations {
        // The results of others are handled as events, but nobody else writes them.
        if !declaration.is_of_results() {
            if handlers_write(declaration) {
                grant(User::Handlers, topic(declaration.name), written);
            }
            // What becomes a dead letter is read again.
            grant(User::Handlers, topic(declaration.name), READ);
            if declaration.is_served() {
                grant(User::Gateway, topic(declaration.name), WRITE);
            }
        }
        if declaration.guard {
            let group = group::of_guard(prefix, declaration.name);
            grant(User::Guard, topic(declaration.name), READ);
            grant(User::Guard, topic(&declaration.dead_letter_topic()), WRITE);
            grant(User::Guard, Resource::Group(group.clone()), READ);
            grant(User::Guard, Resource::TransactionalIds(group), WRITE);
        }
        for (leased, Subscription { service, .. }) in declaration.leased() {
            // Members of its group's name share the partitions out.
            let group = group::of_lane(prefix, service);
            grant(User::Handlers, topic(&leased), READ);
            grant(User::Handlers, Resource::Groups(group.clone()), READ);
            grant(User::Handlers, Resource::TransactionalIds(group), WRITE);
            grant(User::Apply, topic(&leased), READ);
        }
        let subscribed = declaration.subscribed_topic();
        let delivered = declaration.subscriptions.iter();
        for to in delivered.filter(|_| declaration.lane == Lane::Event) {
            let handler = format!("{}/{}", to.service, to.handler);
            let group = group::of_handler(prefix, declaration.name, &handler);
            grant(User::Restate, topic(&subscribed), READ);
            grant(User::Restate, Resource::Group(group), READ);
            grant(User::Handlers, topic(&subscribed), READ);
            // Whether a record waits where a subscription stands.
            grant(User::Apply, topic(&subscribed), READ);
        }
    }
    // The brokers' default replication is one of their settings.
    let cluster = &["Describe", "DescribeConfigs"];
    grant(User::Apply, Resource::Cluster, cluster);
    // To rewind one is to commit offsets for it.
    grant(User::Apply, Resource::Groups(format!("{prefix}.")), READ);
    for (user, group) in [
        (User::Gateway, group::OF_GATEWAY),
        (User::Gateway, group::OF_SEARCHES),
        (User::Handlers, group::OF_ORIGINALS),
        (User::Registry, group::OF_REGISTRY),
    ] {
        grant(user, Resource::Group(group.to_owned()), &["Describe"]);
    }
    let registry = &["Create", "Read", "Write", "Describe", "DescribeConfigs"];
    grant(User::Registry, topic(registry_topic), registry);
    rights.into_iter().collect()
}

/// Handlers emit events to each other. What a provider signs is the gateway's to let in, and what no
/// service handles is the tools'.
fn handlers_write(declaration: &Declaration) -> bool {
    match declaration.access {
        Access::Public | Access::Service => true,
        Access::Signed => false,
        Access::Library => !declaration.subscriptions.is_empty() || declaration.is_of_states(),
    }
}

#[cfg(test)]
mod tests {
    use millstream_events::Topic;
    use millstream_topics::{ProductReservations, TOPICS};

    use super::*;

    fn of(user: User) -> Vec<String> {
        let mut rights = rights(TOPICS, "millstream", "_schemas");
        rights.retain(|right| right.user == user);
        commands(&rights)
    }

    #[test]
    fn the_gateway_writes_commands_and_reads_results() {
        let gateway = of(User::Gateway);
        let may = |operation: &str, topic: &str| {
            let (operation, topic) = (format!("--operation {operation} "), format!("'{topic}'"));
            let mut lines = gateway.iter();
            lines.any(|line| line.contains(&operation) && line.contains(&topic))
        };
        assert!(may("Write", "product-reservations"));
        assert!(may("Read", "product-reservations-results"));
        let writes = |line: &&String| line.contains("Write") && line.contains("-results'");
        assert!(
            !gateway.iter().any(|line| writes(&line)),
            "results are the handlers'"
        );
    }

    #[test]
    fn what_is_leased_is_read_by_handlers_in_transactions_and_not_by_restate() {
        let mut leased = ProductReservations::DECLARATION.clone();
        leased.lane = Lane::Batch;
        let rights = rights(&[&leased], "shop", "_schemas");
        let has = |user, resource: Resource, operations| {
            rights
                .iter()
                .any(|it| (it.user, &it.resource, it.operations) == (user, &resource, operations))
        };
        let group = "shop.ProductReservations";
        let topic = || Resource::Topic(leased.name.into());
        assert!(has(User::Handlers, topic(), READ));
        assert!(has(User::Handlers, Resource::Groups(group.into()), READ));
        assert!(has(
            User::Handlers,
            Resource::TransactionalIds(group.into()),
            WRITE
        ));
        assert!(!has(User::Restate, topic(), READ));
    }

    #[test]
    fn restate_reads_with_the_groups_of_its_subscriptions() {
        let restate = of(User::Restate);
        let group = "--group 'millstream.product-reservations.ProductReservations.onEvent'";
        assert!(
            restate.iter().any(|line| line.contains(group)),
            "{restate:#?}"
        );
        assert!(!restate.iter().any(|line| line.contains("Write")));
    }
}
