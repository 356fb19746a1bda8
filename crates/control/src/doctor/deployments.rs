//! The deployments: whether Restate reaches those that it needs.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use millstream_events::is_system_service;

use super::Check;
use crate::Error;
use crate::restate::{ActualDeployment, Restate, Service};

/// How long Restate may take to reach one.
const LIMIT: Duration = Duration::from_secs(10);
/// How many are tried at once.
const PARALLEL: usize = 4;

/// Lets Restate, whose view of the network counts, discover each deployment once more.
pub(super) async fn check_deployments(
    restate: &Restate,
    services: &[Service],
) -> Result<Vec<Check>, Error> {
    let pinned = restate.pinned_counts().await?.into_iter();
    let pinned: &BTreeMap<String, u64> = &pinned.map(|it| (it.deployment, it.count)).collect();
    let deployments = restate.deployments().await?;
    let count = deployments.len();
    let dead: Vec<Check> = stream::iter(deployments)
        .map(|deployment| async move {
            let uri = deployment.uri.clone()?;
            let reason = match tokio::time::timeout(LIMIT, restate.discover(&uri)).await {
                Ok(Ok(_)) => return None,
                Ok(Err(Error::Refused { message, .. })) => message,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
            };
            let pinned = pinned.get(&deployment.id).copied().unwrap_or_default();
            Some(dead(&deployment, &uri, services, pinned, &reason))
        })
        .buffer_unordered(PARALLEL)
        .filter_map(|check| async move { check })
        .collect()
        .await;
    Ok(match dead.is_empty() {
        true => vec![Check::ok(
            "deployments",
            format!("all {count} answer Restate"),
        )],
        false => dead,
    })
}

/// What it means that a deployment does not answer.
fn dead(
    deployment: &ActualDeployment,
    uri: &str,
    services: &[Service],
    pinned: u64,
    reason: &str,
) -> Check {
    let serves = services
        .iter()
        .filter(|it| it.deployment_id == deployment.id);
    let serves: Vec<&str> = serves.map(|service| service.name.as_str()).collect();
    let id = &deployment.id;
    let what = format!("{uri} ({id}) does not answer Restate: {reason}");
    match (serves.is_empty(), pinned) {
        (false, _) => Check::fail(
            "deployments",
            format!(
                "{what}. All new invocations of {} go there; start the handlers there, or run `{program} apply \
                 --handlers` with the address of others that run{}",
                serves.join(", "),
                match serves.iter().any(|it| is_system_service(it)) {
                    true => " and --take-over, which lets those serve the library's services",
                    false => "",
                },
                program = millstream_pipeline::program::name()
            ),
        ),
        (true, 0) => Check::warn(
            "deployments",
            format!("{what}. Nothing needs it; `restate deployments remove {id}` forgets it"),
        ),
        (true, pinned) => Check::fail(
            "deployments",
            format!(
                "{what}. {pinned} unfinished invocations can go on nowhere else; start those handlers again \
                 until they are done"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use crate::restate::{RetryPolicy, ServiceRevision};

    #[test]
    fn what_is_dead_matters_as_far_as_it_is_needed() {
        let deployment = ActualDeployment {
            id: "dp_1".into(),
            uri: Some("http://h:1".into()),
            created_at: String::new(),
            services: Vec::<ServiceRevision>::new(),
        };
        let served_by = |id: &str| Service {
            name: "Ledger".into(),
            ty: "VirtualObject".into(),
            handlers: Vec::new(),
            deployment_id: id.into(),
            retry_policy: RetryPolicy::default(),
            rest: BTreeMap::new(),
        };
        let check = |id: &str, pinned| {
            dead(
                &deployment,
                "http://h:1",
                &[served_by(id)],
                pinned,
                "refused",
            )
        };
        let serving = check("dp_1", 0);
        assert_eq!(serving.outcome, Outcome::Fail);
        assert!(serving.message.contains("invocations of Ledger go there"));
        assert_eq!(check("dp_2", 3).outcome, Outcome::Fail);
        assert_eq!(check("dp_2", 0).outcome, Outcome::Warn);
    }
}
