//! The deployment step: the handlers that Restate calls.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::restate::Service;

/// What in a service's description is the server's own or differs from one registration to the
/// next without any change in the handlers.
const OF_THE_SERVER: [&str; 4] = ["revision", "info", "documentation", "metadata"];

/// How the discovered services differ from the registered ones, in words; empty: not at all.
pub(crate) fn differences(registered: &[Service], discovered: &[Service]) -> Vec<String> {
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

/// Whether two URIs name the same deployment.
pub(crate) fn same_uri(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}
