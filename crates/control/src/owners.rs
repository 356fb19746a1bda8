//! Whose services are whose. Several projects, told apart by their prefixes, share an installation:
//! each has services of its own, and one of them serves the library's for all (decision 37).

use millstream_events::{Declaration, Subscription, is_system_service};

use super::Settings;
use super::plan::Problem;
use super::restate::{ActualSubscription, Service};
use super::state::{Actual, Deployment};
use super::subscriptions::{self, DeclaredSubscription};

/// The prefix of the project that serves `service`; `None`: nobody does, or nobody says so.
///
/// Handlers say it when they are registered. Those of versions that did not are known by the
/// subscriptions that they were made for.
pub(crate) fn owner<'a>(
    service: &str,
    services: &'a [Service],
    subscriptions: &'a [ActualSubscription],
) -> Option<&'a str> {
    let serving = services.iter().find(|known| known.name == service)?;
    let subscribed = || subscriptions.iter().find_map(|it| prefix(it, service));
    serving.prefix().or_else(subscribed)
}

/// The prefix of the group of a subscription of `service`, if it was made from declarations.
fn prefix<'a>(subscription: &'a ActualSubscription, service: &str) -> Option<&'a str> {
    let sink = subscription.sink.strip_prefix("service://")?;
    let (sink, handler) = sink.split_once('/')?;
    let topic = subscriptions::declared_topic(&subscription.source)?;
    let group = subscription.options.get("group.id")?;
    let rest = format!(".{topic}.{sink}.{handler}");
    group.strip_suffix(&rest).filter(|_| sink == service)
}

/// The declared subscriptions that are this project's to have: those of the library's services are
/// had by the project that serves them.
pub(crate) fn of_project(
    declarations: &[&Declaration],
    settings: &Settings,
    services: &[Service],
    subscriptions: &[ActualSubscription],
) -> Vec<DeclaredSubscription> {
    let mut declared = subscriptions::declared(declarations, &settings.prefix, &settings.cluster);
    declared.retain(|wanted| {
        let service = wanted.to.service;
        !is_system_service(service)
            || owner(service, services, subscriptions).is_none_or(|it| it == settings.prefix)
    });
    declared
}

/// Refuses events of one project for a service of another. What `apply` would take away from another
/// project is refused where it is registered.
pub(crate) fn check(
    wanted: &DeclaredSubscription,
    settings: &Settings,
    actual: &Actual,
    services: &[Service],
) -> Option<Problem> {
    let Subscription { service, handler } = wanted.to;
    let project = owner(service, services, &actual.subscriptions)?;
    let serving = services.iter().find(|it| it.name == service)?;
    let is_offered = match &actual.deployment {
        Deployment::Found { discovered, .. } => discovered.iter().any(|it| it.name == service),
        _ => false,
    };
    (project != settings.prefix && !is_offered).then(|| {
        Problem::refusal(format!(
            "{} is subscribed by {service}/{handler}, a service of the project {project}, served at {}: it \
             does not know the topic. Correct subscriptions in topics/{}.toml, start handlers of {} that \
             have the service, or give --prefix {project} if they are the same project",
            wanted.topic,
            actual.address(&serving.deployment_id),
            wanted.of,
            settings.prefix
        ))
    })
}

/// A service that another project serves.
#[derive(Debug)]
pub(crate) struct Foreign<'a> {
    pub service: &'a str,
    pub project: &'a str,
    /// Where it is served.
    pub at: &'a str,
}

/// Those of `names` that another project serves now.
pub(crate) fn foreign<'a>(
    names: impl IntoIterator<Item = &'a str>,
    settings: &Settings,
    actual: &'a Actual,
) -> Vec<Foreign<'a>> {
    let names = names.into_iter();
    let foreign = names.filter_map(|service| {
        let project = owner(service, &actual.services, &actual.subscriptions)?;
        let serving = actual.services.iter().find(|it| it.name == service)?;
        (project != settings.prefix).then(|| Foreign {
            service,
            project,
            at: actual.address(&serving.deployment_id),
        })
    });
    foreign.collect()
}

#[cfg(test)]
mod tests;
