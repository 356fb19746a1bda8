//! Label sets that are known before anything happens. Counters show them from 0 on: Prometheus sees an
//! increase only from a first value, so an alert about the first event of its kind would never fire.
//!
//! Each counter says in its definition which columns its label sets are made of, for each program that
//! counts it. What nobody declares begins with its first event: business codes of services.

use std::collections::BTreeSet;

use millstream_events::{Declaration, EventDeclaration};

use crate::failure;
use crate::http::status::answers;

/// What became of a null value that its topic passes over.
pub const TOMBSTONE: &str = "tombstone";

/// What refusals are counted under.
const REFUSALS: [&str; 8] = [
    "missing",
    "unknown-key",
    "expired-key",
    "revoked-key",
    "token",
    "scope",
    "rate",
    "signature",
];

/// A program that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `millstream serve`, and every other that serves handlers.
    Handlers,
    /// `millstream gateway`.
    Gateway,
    /// `millstream guard`.
    Guard,
    /// `millstream exporter`.
    Exporter,
    /// `millstream registry`.
    Registry,
}

/// What a program knows when it starts.
#[derive(Debug, Default)]
pub struct Known<'k> {
    declarations: &'k [&'static Declaration],
    routes: Vec<String>,
}

/// The values of one label, or of several that belong together.
pub(super) type Column = fn(&Known<'_>) -> Vec<Vec<String>>;

impl<'k> Known<'k> {
    /// A program with these topics.
    pub fn of(declarations: &'k [&'static Declaration]) -> Self {
        Self {
            declarations,
            routes: Vec::new(),
        }
    }

    /// One that serves these routes, such as `GET /subjects`.
    pub fn serving(self, routes: impl IntoIterator<Item = String>) -> Self {
        Self {
            routes: routes.into_iter().collect(),
            ..self
        }
    }

    fn topics(&self, wanted: impl Fn(&Declaration) -> bool) -> Vec<Vec<String>> {
        let wanted = self.declarations.iter().filter(|it| wanted(it));
        wanted.map(|it| vec![it.name.to_owned()]).collect()
    }
}

/// All label sets that these columns make together.
pub(super) fn sets(known: &Known<'_>, columns: &[Column]) -> Vec<Vec<String>> {
    let mut sets = vec![Vec::new()];
    for column in columns {
        let values = column(known);
        let longer = sets.iter().flat_map(|set: &Vec<String>| {
            let more = values.iter();
            more.map(move |more| [&set[..], more].concat())
        });
        sets = longer.collect();
    }
    sets
}

fn words(words: &[&str]) -> Vec<Vec<String>> {
    words.iter().map(|word| vec![(*word).to_owned()]).collect()
}

/// Topic and handler of each subscription.
pub(super) fn handled(known: &Known<'_>) -> Vec<Vec<String>> {
    let all = known.declarations.iter().flat_map(|declaration| {
        let to = declaration.subscriptions.iter();
        to.map(|to| {
            let handler = format!("{}/{}", to.service, to.handler);
            vec![declaration.name.to_owned(), handler]
        })
    });
    all.collect()
}

/// Topics that handlers are subscribed to.
pub(super) fn subscribed(known: &Known<'_>) -> Vec<Vec<String>> {
    known.topics(|topic| !topic.subscriptions.is_empty())
}

/// Those with commands.
pub(super) fn commands(known: &Known<'_>) -> Vec<Vec<String>> {
    known.topics(|topic| topic.results.is_some())
}

/// Those of foreign producers.
pub(super) fn guarded(known: &Known<'_>) -> Vec<Vec<String>> {
    known.topics(|topic| topic.guard)
}

/// Those that the batch lane reads.
pub(super) fn leased(known: &Known<'_>) -> Vec<Vec<String>> {
    let leased = known.declarations.iter().flat_map(|it| it.leased());
    let topics: BTreeSet<_> = leased.map(|(topic, _)| topic).collect();
    topics.into_iter().map(|topic| vec![topic]).collect()
}

/// Services in the batch lane.
pub(super) fn lanes(known: &Known<'_>) -> Vec<Vec<String>> {
    let leased = known.declarations.iter().flat_map(|it| it.leased());
    let services: BTreeSet<_> = leased.map(|(_, to)| to.service).collect();
    services.into_iter().map(|it| vec![it.to_owned()]).collect()
}

/// How leases end.
pub(super) fn ends(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["idle", "over", "replaced", "failed"])
}

/// Topics of results.
pub(super) fn results(known: &Known<'_>) -> Vec<Vec<String>> {
    let results = known.declarations.iter();
    let results = results.filter_map(|topic| topic.results.as_ref());
    results.map(|it| vec![it.name.to_owned()]).collect()
}

/// Topics of results that are published once.
pub(super) fn once(known: &Known<'_>) -> Vec<Vec<String>> {
    let results = known.declarations.iter();
    let results = results.filter_map(|topic| topic.results.as_ref());
    let once = results.filter(|results| results.once.is_some());
    once.map(|it| vec![it.name.to_owned()]).collect()
}

/// `ok`, and every code that an event can end with by itself.
pub(super) fn outcomes(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&[&["ok"], failure::OF_EVENTS].concat())
}

/// Topic and code of dead letters: any code for a fact, and of commands what our side could not handle.
pub(super) fn letters(known: &Known<'_>) -> Vec<Vec<String>> {
    let once: Vec<_> = once(known).into_iter().flatten().collect();
    let is_read = |topic: &&&Declaration| {
        !topic.subscriptions.is_empty() || once.iter().any(|it| it == topic.name)
    };
    let kept = known.declarations.iter().filter(|it| it.dead_letters);
    let kept = kept.filter(is_read);
    let letters = kept.flat_map(|topic| {
        let facts = !topic.events.iter().all(EventDeclaration::is_command);
        let codes = failure::OF_EVENTS.iter();
        let codes = codes.filter(move |code| facts || failure::keeps_dead_letter(code));
        codes.map(|code| vec![topic.name.to_owned(), (*code).to_owned()])
    });
    let conflict = || failure::SEQUENCE_CONFLICT.to_owned();
    let conflicts = once.iter().map(|it| vec![it.clone(), conflict()]);
    letters.chain(conflicts).collect()
}

/// What becomes of records at the guard.
pub(super) fn checked(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&[
        "ok",
        failure::INVALID_KEY,
        failure::UNDECODABLE,
        failure::UNKNOWN_SCHEMA,
        failure::UNKNOWN_TYPE,
        TOMBSTONE,
    ])
}

/// Why an event is not handled again.
pub(super) fn skips(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["redelivered", "duplicate-id", TOMBSTONE])
}

/// Why a record was not published.
pub(super) fn publishing(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["record", "infrastructure"])
}

/// Where schemas are found.
pub(super) fn lookups(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["cached", "asked", "failed"])
}

/// Kafka clients of handlers.
pub(super) fn clients_of_handlers(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["originals", "producer"])
}

/// Kafka clients of the gateway.
pub(super) fn clients_of_gateway(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["results", "searches", "producer"])
}

/// Kafka clients of the guard.
pub(super) fn clients_of_guard(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["guard"])
}

/// Kafka clients of the registry.
pub(super) fn clients_of_registry(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["registry"])
}

/// Kafka clients of the exporter.
pub(super) fn clients_of_exporter(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["reader"])
}

/// Routes of the gateway.
pub(super) fn routes(known: &Known<'_>) -> Vec<Vec<String>> {
    known.routes.iter().map(|it| vec![it.clone()]).collect()
}

/// Status and code of what the gateway answers.
pub(super) fn statuses(_: &Known<'_>) -> Vec<Vec<String>> {
    let answers = answers().into_iter();
    answers
        .map(|(status, code)| vec![status.as_str().to_owned(), code.to_owned()])
        .collect()
}

/// Whether somebody waited for a result.
pub(super) fn claims(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["yes", "no"])
}

/// How a result is found.
pub(super) fn searches(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["noted", "read"])
}

/// Why a request is refused for who sent it.
pub(super) fn refusals(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&REFUSALS)
}

/// What the reader rule says.
pub(super) fn verdicts(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&["accepted", "late", "duplicate", "gap", "conflict"])
}

/// Methods and paths of the registry.
pub(super) fn methods(known: &Known<'_>) -> Vec<Vec<String>> {
    let split = |route: &String| {
        let (method, path) = route.split_once(' ')?;
        Some(vec![method.to_owned(), path.to_owned()])
    };
    known.routes.iter().filter_map(split).collect()
}

/// Statuses of the registry.
pub(super) fn of_registry(_: &Known<'_>) -> Vec<Vec<String>> {
    words(&[
        "200", "400", "404", "405", "406", "409", "413", "415", "422", "500", "503",
    ])
}
