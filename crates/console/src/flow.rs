//! What is declared: topics, who handles them, where results go. The page draws its picture of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use millstream_pipeline::events::{Declaration, Lane, Subscription, is_system_service};
use serde_json::{Value, json};

use crate::Console;
use crate::answer::Answer;

/// Everything that is declared.
pub async fn flow(State(console): State<Arc<Console>>) -> Answer {
    let all = &console.declarations;
    let topics: Vec<Value> = all.iter().map(|it| topic(all, it)).collect();
    Ok(Json(json!({ "topics": topics })))
}

/// Somebody who handles a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handler {
    /// Who.
    pub to: Subscription,
    /// How the events come there.
    pub lane: Lane,
    /// Where what comes of them goes.
    results: Option<&'static str>,
    /// Whether it publishes results once, as they came.
    once: bool,
}

/// All who handle a topic: those that its file names, and the service of the library that publishes
/// results once, which the topic of their commands declares.
pub fn handlers(all: &[&'static Declaration], of: &Declaration) -> Vec<Handler> {
    let own = of.subscriptions.iter().map(|to| Handler {
        to: *to,
        lane: of.lane,
        results: of.results.as_ref().map(|results| results.name),
        once: false,
    });
    let once = all.iter().filter_map(|commands| {
        let results = commands.results.as_ref()?;
        let once = results.once.filter(|_| results.name == of.name)?;
        Some(Handler {
            to: once.subscription(),
            lane: Lane::Batch,
            results: Some(once.name),
            once: true,
        })
    });
    own.chain(once).collect()
}

/// A topic as its file declares it, one of these.
pub fn topic(all: &[&'static Declaration], declaration: &Declaration) -> Value {
    let lane = |lane: Lane| match lane {
        Lane::Event => "event",
        Lane::Batch => "batch",
    };
    let events = declaration.events.iter().map(|event| {
        json!({
            "name": event.full_name,
            "command": event.is_command(),
            "results": event.results,
        })
    });
    let handlers = handlers(all, declaration).into_iter().map(|it| {
        json!({
            "service": it.to.service,
            "handler": it.to.handler,
            "system": is_system_service(it.to.service),
            "lane": lane(it.lane),
            "results": it.results,
            "once": it.once,
        })
    });
    let routes = declaration.http.iter();
    let routes = routes.map(|it| format!("{} {}", it.method, it.path));
    json!({
        "name": declaration.name,
        "description": declaration.description,
        "key": declaration.key,
        "lane": lane(declaration.lane),
        "access": declaration.access.as_str(),
        "open": declaration.is_open(),
        "of_results": declaration.is_of_results(),
        "of_states": declaration.is_of_states(),
        "guarded": declaration.guard.then(|| declaration.subscribed_topic()),
        "events": events.collect::<Vec<_>>(),
        "handlers": handlers.collect::<Vec<_>>(),
        "http": routes.collect::<Vec<_>>(),
        "results": declaration.results.as_ref().map(|results| results.name),
        "results_once": declaration.results.as_ref().and_then(|it| it.once).map(|once| once.name),
        "dead_letters": declaration.dead_letters.then(|| declaration.dead_letter_topic()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_topics::TOPICS;

    fn drawn(name: &str) -> Value {
        let of = TOPICS.iter().find(|it| it.name == name);
        topic(TOPICS, of.unwrap_or_else(|| panic!("{name} is declared")))
    }

    #[test]
    fn what_publishes_results_once_stands_between_the_two_topics() {
        assert_eq!(
            drawn("accounts-results")["handlers"],
            json!([{
                "service": "AccountsResultsOnce",
                "handler": "work",
                "system": false,
                "lane": "batch",
                "results": "accounts-results-once",
                "once": true,
            }])
        );
        let accounts = drawn("accounts");
        assert_eq!(
            accounts["handlers"],
            json!([{
                "service": "Accounts",
                "handler": "onEvent",
                "system": false,
                "lane": "event",
                "results": "accounts-results",
                "once": false,
            }])
        );
        assert_eq!(accounts["results_once"], "accounts-results-once");
    }

    #[test]
    fn a_graph_without_it_is_that_of_the_topic_files() {
        for of in TOPICS.iter().filter(|it| it.name != "accounts-results") {
            let handlers = handlers(TOPICS, of);
            let to: Vec<Subscription> = handlers.iter().map(|it| it.to).collect();
            assert_eq!(to, of.subscriptions, "{}", of.name);
            let lanes = handlers.iter().all(|it| it.lane == of.lane && !it.once);
            assert!(lanes, "{}", of.name);
        }
    }
}
