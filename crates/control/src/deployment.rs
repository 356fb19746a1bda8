//! The deployment step: the handlers that Restate calls, and the library's services beside them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Settings;
use super::owners::{Foreign, foreign};
use super::plan::{Change, Plan, Problem};
use super::restate::Service;
use super::state::{Actual, Deployment, Registered};

/// What in a service's description is the server's own or differs from one registration to the
/// next without any change in the handlers.
const OF_THE_SERVER: [&str; 4] = ["revision", "info", "documentation", "metadata"];

/// The deployments that are to be registered: the library's services first, since those of older
/// versions were served with the others. Answers the services that there will be.
pub(crate) fn step(plan: &mut Plan, settings: &Settings, actual: &Actual) -> Vec<Service> {
    let mut services = actual.services.clone();
    let mut project = Plan::default();
    project_step(&mut project, settings, actual, &mut services);
    system_step(plan, settings, actual, !project.is_empty(), &mut services);
    plan.changes.extend(project.changes);
    plan.problems.extend(project.problems);
    services
}

/// The project that was first to serve the library's services goes on to, until another one takes
/// them over. They move with its handlers: a project of several deployments does not move them back
/// and forth by applying each of them again.
fn system_step(
    plan: &mut Plan,
    settings: &Settings,
    actual: &Actual,
    handlers_move: bool,
    services: &mut Vec<Service>,
) {
    let Deployment::Found {
        discovered,
        registered,
        ..
    } = &actual.system
    else {
        return;
    };
    // By another version of the library, at the same address.
    let is_other = registered.as_ref().is_some_and(|it| {
        let is_its = |known: &&Service| known.deployment_id == it.id;
        actual.services.iter().any(|known| is_its(&known))
            && !differences(&it.services, discovered).is_empty()
    });
    let is_served = |name: &str| actual.services.iter().any(|known| known.name == name);
    let is_first = !names(discovered).all(is_served);
    let theirs = foreign(names(discovered), settings, actual);
    if settings.take_over || (theirs.is_empty() && (is_first || is_other || handlers_move)) {
        register(plan, settings, actual, &actual.system, &theirs, services);
    }
}

fn project_step(
    plan: &mut Plan,
    settings: &Settings,
    actual: &Actual,
    services: &mut Vec<Service>,
) {
    let (uri, discovered) = match &actual.deployment {
        Deployment::NotAsked => return,
        Deployment::Unreachable { uri, reason } => {
            plan.problems.push(Problem::refusal(format!(
                "Restate cannot discover the handlers at {uri}: {reason}. Start them, or give the address that \
                 Restate can reach"
            )));
            return;
        }
        Deployment::Found {
            uri, discovered, ..
        } => (uri, discovered),
    };
    let prefix = &settings.prefix;
    let says = discovered.iter().find_map(Service::prefix);
    if let Some(says) = says.filter(|says| says != prefix) {
        plan.problems.push(Problem::refusal(format!(
            "the handlers at {uri} are served with the prefix {says}, and this is a plan for {prefix}: give \
             --prefix {says}, or serve them with --prefix {prefix}"
        )));
        return;
    }
    let theirs = foreign(names(discovered), settings, actual);
    if !theirs.is_empty() && !settings.take_over {
        let refused = theirs.iter().map(|it| Problem::refusal(taken(it, prefix)));
        plan.problems.extend(refused);
        return;
    }
    register(
        plan,
        settings,
        actual,
        &actual.deployment,
        &theirs,
        services,
    );
}

/// Why a service is not registered.
fn taken(theirs: &Foreign, prefix: &str) -> String {
    let Foreign {
        service,
        project,
        at,
    } = theirs;
    format!(
        "{service} is a service of the project {project}, served at {at}, and Restate has one of each name: \
         {project} would lose it. Rename the service of {prefix}; or, if it is this one that {project} is to \
         lose, apply with --take-over"
    )
}

fn names(services: &[Service]) -> impl Iterator<Item = &str> {
    services.iter().map(|service| service.name.as_str())
}

/// Registers what was discovered, if it differs from what is registered.
fn register(
    plan: &mut Plan,
    settings: &Settings,
    actual: &Actual,
    deployment: &Deployment,
    theirs: &[Foreign],
    services: &mut Vec<Service>,
) {
    let Deployment::Found {
        uri,
        discovered,
        registered,
    } = deployment
    else {
        return;
    };
    let replaces = registered.is_some();
    let mut offers: Vec<String> = match registered {
        None => names(discovered).map(str::to_owned).collect(),
        Some(registered) => differences(&registered.services, discovered),
    };
    offers.sort();
    if let Some(registered) = registered
        && offers.is_empty()
    {
        // The same handlers, though others may have been registered since under another address, and
        // though those of an older version did not say whose they are.
        let mut news = elsewhere(registered, actual);
        let says = discovered.iter().find_map(Service::prefix);
        let said = registered.services.iter().find_map(Service::prefix);
        news.extend(
            says.filter(|_| says != said)
                .map(|it| format!("says that they are of the project {it}")),
        );
        if !news.is_empty() {
            plan.changes.push(Change::RegisterDeployment {
                uri: uri.clone(),
                replaces,
                // Without it Restate answers that it is registered already. Nothing differs, so no
                // running invocation is harmed.
                force: true,
                offers: news,
            });
            for service in services {
                if let Some(new) = discovered.iter().find(|new| new.name == service.name) {
                    service.deployment_id.clone_from(&registered.id);
                    service.rest.clone_from(&new.rest);
                }
            }
        }
        return;
    }
    if replaces && !settings.force {
        plan.problems.push(Problem::refusal(format!(
            "the handlers at {uri} differ from those registered under this address ({}): running invocations \
             would go on in code that they did not start in. Serve the new version at a new address and apply \
             with that, or use --force where no invocation must survive, as in development",
            offers.join(", ")
        )));
    } else {
        offers.extend(theirs.iter().map(|it| {
            format!(
                "takes {} from the project {}, served at {}",
                it.service, it.project, it.at
            )
        }));
        plan.changes.push(Change::RegisterDeployment {
            uri: uri.clone(),
            replaces,
            force: settings.force,
            offers,
        });
    }
    let replaced = registered.as_ref().map(|registered| registered.id.as_str());
    services.retain(|known| {
        Some(known.deployment_id.as_str()) != replaced
            && !discovered.iter().any(|new| new.name == known.name)
    });
    services.extend(discovered.clone());
}

/// How the discovered services differ from the registered ones, in words; empty: not at all.
fn differences(registered: &[Service], discovered: &[Service]) -> Vec<String> {
    let registered: BTreeMap<&str, &Service> =
        registered.iter().map(|s| (s.name.as_str(), s)).collect();
    let discovered: BTreeMap<&str, &Service> =
        discovered.iter().map(|s| (s.name.as_str(), s)).collect();
    let names: BTreeSet<&str> = registered
        .keys()
        .chain(discovered.keys())
        .copied()
        .collect();
    names
        .into_iter()
        .flat_map(|name| match (registered.get(name), discovered.get(name)) {
            (None, _) => vec![format!("new service {name}")],
            (_, None) => vec![format!("service {name} is gone")],
            (Some(old), Some(new)) => service_differences(old, new),
        })
        .collect()
}

fn service_differences(old: &Service, new: &Service) -> Vec<String> {
    let name = &new.name;
    if old.ty != new.ty {
        return vec![format!("{name} was a {} and is a {}", old.ty, new.ty)];
    }
    let mut differences = Vec::new();
    for handler in &new.handlers {
        match old.handlers.iter().find(|known| known.name == handler.name) {
            None => differences.push(format!("new handler {name}/{}", handler.name)),
            Some(known)
                if known.ty != handler.ty || stable(&known.rest) != stable(&handler.rest) =>
            {
                differences.push(format!("{name}/{} has other settings", handler.name));
            }
            Some(_) => {}
        }
    }
    for handler in &old.handlers {
        if !new.handlers.iter().any(|kept| kept.name == handler.name) {
            differences.push(format!("handler {name}/{} is gone", handler.name));
        }
    }
    if stable(&old.rest) != stable(&new.rest) {
        differences.push(format!("{name} has other settings"));
    }
    differences
}

fn stable(properties: &BTreeMap<String, Value>) -> BTreeMap<&str, &Value> {
    properties
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .filter(|(key, _)| !OF_THE_SERVER.contains(key))
        .collect()
}

/// The services of a registered deployment whose new invocations go to another one, in words.
fn elsewhere(registered: &Registered, actual: &Actual) -> Vec<String> {
    let serving = |name: &str| actual.services.iter().find(|known| known.name == name);
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in &registered.services {
        if let Some(serving) = serving(&service.name)
            && serving.deployment_id != registered.id
        {
            let name = service.name.as_str();
            names.entry(&serving.deployment_id).or_default().push(name);
        }
    }
    names
        .into_iter()
        .map(|(id, mut names)| {
            names.sort_unstable();
            let names = names.join(", ");
            format!("takes back {names}, now served at {}", actual.address(id))
        })
        .collect()
}

/// Whether two URIs name the same deployment.
pub(crate) fn same_uri(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}
