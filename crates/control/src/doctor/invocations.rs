//! Invocations that do not go on, and events that wait behind others of their key.

use super::Check;
use crate::Error;
use crate::restate::{PausedInvocation, Restate, WaitingKey};
use crate::status::InvocationStatus;

/// How long an event may wait for its turn before it is worth a word.
const LONG_SECONDS: u64 = 60;
/// So many are named.
const NAMED: usize = 3;
/// Restate's code of an invocation that needs more memory than one may have. It is paused at once,
/// whatever the retry policy says.
const TOO_LARGE: &str = "RT0001";

pub(super) async fn check_invocations(
    restate: &Restate,
    services: &[InvocationStatus],
) -> Result<Vec<Check>, Error> {
    let mut checks: Vec<Check> = Vec::new();
    if services.iter().any(|service| service.paused > 0) {
        let count = services.iter().map(|service| service.paused).sum();
        checks.push(paused(count, &restate.paused(NAMED).await?));
    }
    for service in services.iter().filter(|service| service.backing_off > 0) {
        checks.push(Check::warn(
            "invocations",
            format!(
                "{} of {} fail and are tried again; `restate invocations list --status backing-off` says why",
                service.backing_off, service.service
            ),
        ));
    }
    let waits_long = |service: &InvocationStatus| {
        service
            .oldest_waiting_seconds
            .is_some_and(|seconds| seconds >= LONG_SECONDS)
    };
    if services.iter().any(waits_long) {
        let keys = restate.waiting_keys(NAMED).await?;
        checks.extend(services.iter().filter(|it| waits_long(it)).map(|service| {
            let of_service = keys.iter().filter(|key| key.service == service.service);
            waiting(service, of_service)
        }));
    }
    if checks.is_empty() {
        checks.push(Check::ok(
            "invocations",
            "none is paused or failing, none waits for long",
        ));
    }
    Ok(checks)
}

/// Names what is paused, why, and what to do.
fn paused(count: u64, named: &[PausedInvocation]) -> Check {
    let each = named.iter().map(|it| {
        let why = match (it.code.as_deref(), it.reason.as_deref()) {
            (Some(TOO_LARGE), Some(reason)) if reason.contains("memory budget") => {
                "its state, or a value in its journal, is larger than an invocation may have in Restate \
                 (RT0001, 32 MiB): raise `message-size-limit` in [networking] of restate.toml, start \
                 Restate again and resume it; or kill it, make the state smaller with `restate kv edit` \
                 and produce the event again"
                    .to_owned()
            }
            (_, None) => "somebody paused it".to_owned(),
            (code, Some(reason)) => format!("{} {reason}", code.unwrap_or_default())
                .trim()
                .to_owned(),
        };
        format!("{} ({}): {why}", it.target, it.id)
    });
    let each: Vec<String> = each.collect();
    Check::fail(
        "invocations",
        format!(
            "{count} are paused and hold their keys: later events of a key wait. Remove the cause, then \
             `restate invocations resume <id>`. {}",
            each.join("; ")
        ),
    )
}

/// Says where events wait for their turn, and what that comes from.
fn waiting<'k>(service: &InvocationStatus, keys: impl Iterator<Item = &'k WaitingKey>) -> Check {
    let each: Vec<String> = keys
        .map(|key| {
            let seconds = key.waited_ms / 1000;
            format!("{} of key {:?} since {seconds} s", key.count, key.key)
        })
        .collect();
    let named = match each.is_empty() {
        true => String::new(),
        false => format!(": {}", each.join(", ")),
    };
    Check::warn(
        "invocations",
        format!(
            "events of {} have waited for {} s for their turn{named}. Lag does not show them, since Restate has \
             taken them. The events of a key are handled one after the other: its handler is slow or \
             stuck, or more come than one key can take; look at the first one with `restate invocations \
             list --service {}`, spread the load over more keys",
            service.service,
            service.oldest_waiting_seconds.unwrap_or_default(),
            service.service
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn invocation(code: Option<&str>, reason: Option<&str>) -> PausedInvocation {
        PausedInvocation {
            id: "inv_1".into(),
            target: "Ledger/key/onEvent".into(),
            code: code.map(Into::into),
            reason: reason.map(Into::into),
        }
    }

    #[test]
    fn what_is_paused_is_named_with_its_remedy() {
        let oom =
            "memory budget exhausted (upper bound exceeded) while reading state: needed 33 MiB";
        for (code, reason, remedy) in [
            (Some("RT0001"), Some(oom), "raise `message-size-limit`"),
            (
                Some("RT0001"),
                Some("the 'abort timeout' fired"),
                "RT0001 the 'abort",
            ),
            (None, Some("given up"), "onEvent (inv_1): given up"),
            (None, None, "somebody paused it"),
        ] {
            let check = paused(7, &[invocation(code, reason)]);
            assert_eq!(check.outcome, Outcome::Fail);
            for part in [
                "7 are paused",
                "Ledger/key/onEvent (inv_1)",
                "resume",
                remedy,
            ] {
                assert!(check.message.contains(part), "{part}: {}", check.message);
            }
        }
    }

    #[test]
    fn a_busy_key_is_named() {
        let service = InvocationStatus {
            service: "Ledger".into(),
            paused: 0,
            backing_off: 0,
            running: 1,
            suspended: 0,
            waiting: 1499,
            oldest_waiting_seconds: Some(1500),
        };
        let key = WaitingKey {
            service: "Ledger".into(),
            key: "k".into(),
            count: 1499,
            waited_ms: 1_500_900,
        };
        let check = waiting(&service, [&key].into_iter());
        assert_eq!(check.outcome, Outcome::Warn);
        for part in ["for 1500 s", "1499 of key \"k\" since 1500 s"] {
            assert!(check.message.contains(part), "{part}: {}", check.message);
        }
    }
}
