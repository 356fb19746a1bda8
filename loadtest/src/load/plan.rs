//! A workload, checked against the declarations and made ready to be sent.

use millstream_pipeline::events::{Declaration, EventDeclaration};

use super::keys::{Keys, Picker};
use super::schedule::{Schedule, Segment};
use super::values::{Make, compile};
use super::workload::{Mix, Workload};

/// More events would take too much memory: some 20 bytes are kept of each.
const MOST_EVENTS: f64 = 50e6;
/// More parts than a byte counts make no sense.
const MOST_PARTS: usize = 200;

/// What a run does.
pub struct Plan {
    /// The workload that it comes from.
    pub workload: Workload,
    /// Name of the run: part of its keys and of its events' ids.
    pub run: String,
    /// What is sent.
    pub parts: Vec<Part>,
    /// The rates, the warm-up among them.
    pub segments: Vec<Segment>,
    /// When it is sent.
    pub schedule: Schedule,
    /// How many segments are not counted: one with a warm-up, else none.
    pub warm_up: usize,
}

/// A kind of event that is sent.
pub struct Part {
    /// Its topic.
    pub topic: &'static Declaration,
    /// The event.
    pub event: &'static EventDeclaration,
    /// Its share of all events.
    pub share: f64,
    /// Picks its keys.
    pub keys: Picker,
    /// Makes its bodies.
    pub make: Make,
    /// Whether each has an idempotency key.
    pub idempotency_keys: bool,
}

/// All that is wrong with a workload.
#[derive(Debug, thiserror::Error)]
#[error("the workload cannot be run:\n  {}", .0.join("\n  "))]
pub struct Problems(Vec<String>);

impl Plan {
    /// Checks a workload; every problem is told at once.
    pub fn new(workload: Workload, topics: &[&'static Declaration]) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let segments = workload.segments(&mut problems);
        let mixes = workload.parts(&mut problems);
        let run = format!("load-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let whole: f64 = mixes.iter().map(|mix| mix.weight.unwrap_or(1.0)).sum();
        let mut parts = Vec::new();
        for mix in &mixes {
            let weight = mix.weight.unwrap_or(1.0);
            if !(weight > 0.0 && weight.is_finite()) {
                problems.push(format!("{}: `weight` is a number above 0", name(mix)));
            }
            let keys = mix.keys.as_ref().unwrap_or(&workload.keys);
            match Part::new(mix, weight / whole, keys, topics, &run) {
                Ok(part) => parts.push(part),
                Err(found) => {
                    problems.extend(found.into_iter().map(|it| format!("{}: {it}", name(mix))));
                }
            }
        }
        problems.extend(workload.thresholds.problems());
        let schedule = Schedule::new(&segments);
        if schedule.events() > MOST_EVENTS || mixes.len() > MOST_PARTS {
            problems.push("a run has 50,000,000 events and 200 parts at most; split it".into());
        }
        if problems.is_empty() && schedule.events() < 1.0 {
            problems.push("the steps have no event; raise a rate".into());
        }
        let warm_up = usize::from(workload.warm_up > 0.0);
        match problems.is_empty() {
            true => Ok(Self {
                workload,
                run,
                parts,
                segments,
                schedule,
                warm_up,
            }),
            false => Err(Problems(problems)),
        }
    }

    /// The declarations of all topics that it sends to.
    pub fn declarations(&self) -> Vec<&'static Declaration> {
        let mut topics: Vec<&'static Declaration> = Vec::new();
        for part in &self.parts {
            if !topics.iter().any(|known| known.name == part.topic.name) {
                topics.push(part.topic);
            }
        }
        topics
    }
}

impl Part {
    fn new(
        mix: &Mix,
        share: f64,
        keys: &Keys,
        topics: &[&'static Declaration],
        run: &str,
    ) -> Result<Self, Vec<String>> {
        let wanted = mix.topic.as_deref().unwrap_or_default();
        let topic = topics.iter().find(|topic| topic.name == wanted);
        let topic = topic.ok_or_else(|| {
            vec!["it is no topic of the catalogue, which is all that loadtest knows".to_owned()]
        })?;
        let event = event(topic, mix.event.as_deref()).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        if !(1..=10_000_000).contains(&keys.count) || !(0.0..=10.0).contains(&keys.exponent) {
            problems.push(
                "keys: `count` is between 1 and 10000000, `exponent` between 0 and 10".to_owned(),
            );
        }
        let schema = (event.schema)();
        let payload = mix
            .payload
            .map(|length| (length, mix.payload_field.as_deref()));
        let make = compile(&schema.body, schema.example, &mix.fields, payload);
        match make {
            Ok(make) if problems.is_empty() => Ok(Self {
                topic,
                event,
                share,
                keys: Picker::new(keys, run),
                make,
                idempotency_keys: mix.idempotency_keys,
            }),
            made => {
                problems.extend(made.err().into_iter().flatten());
                Err(problems)
            }
        }
    }
}

fn name(mix: &Mix) -> String {
    let topic = mix.topic.as_deref().unwrap_or_default();
    match &mix.event {
        Some(event) => format!("{topic}, {event}"),
        None => topic.to_owned(),
    }
}

fn event(topic: &Declaration, name: Option<&str>) -> Result<&'static EventDeclaration, String> {
    let last = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    let mut fitting = topic.events.iter().filter(|event| {
        name.is_none_or(|name| event.full_name == name || last(event.full_name) == name)
    });
    match (fitting.next(), fitting.next()) {
        (Some(event), None) => Ok(event),
        _ => {
            let names: Vec<String> = topic.events.iter().map(|it| last(it.full_name)).collect();
            match names.is_empty() {
                true => Err("the topic has no events of its own".into()),
                false => Err(format!("say as `event` one of {}", names.join(", "))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_topics::TOPICS;

    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        let workload = Workload::parse(text).map_err(|error| error.to_string())?;
        Plan::new(workload, TOPICS).map_err(|error| error.to_string())
    }

    #[test]
    fn shares_come_from_weights_and_a_pattern_divides_its_own() {
        let plan = plan(
            "mix = [{ topic = 'tasks', weight = 3 }, { pattern = 'saga' }]
             steps = [{ rate = 10, seconds = 10 }]",
        );
        let plan = plan.unwrap_or_else(|problem| panic!("{problem}"));
        let shares: f64 = plan.parts.iter().map(|part| part.share).sum();
        assert!((shares - 1.0).abs() < 1e-9);
        assert_eq!(plan.parts[0].share, 0.75);
        assert_eq!(plan.parts[1].topic.name, "trip-bookings");
    }

    #[test]
    fn a_warm_up_comes_first_and_does_not_count() {
        let plan = plan(
            "warm-up = 5
             mix = [{ topic = 'tasks' }]
             steps = [{ from = 0, to = 10, seconds = 10 }, { rate = 10, seconds = 10 }]",
        );
        let plan = plan.unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!((plan.segments.len(), plan.warm_up), (3, 1));
        assert_eq!(plan.schedule.seconds(), 25.0);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = plan(
            "mix = [
                { topic = 'payments' },
                { topic = 'nowhere' },
                { pattern = 'nothing' },
                { topic = 'tasks', weight = 0, fields = { what = 1 } },
                { },
             ]
             steps = [{ rate = 10, to = 1, seconds = 10 }, { rate = 10, seconds = 0 }]",
        );
        let problems = problems.err().unwrap_or_default();
        for expected in [
            "payments: say as `event` one of MakePayment, CancelPayment, ExpirePayment",
            "nowhere: it is no topic of the catalogue, which is all that loadtest knows",
            "there is no pattern nothing; there are",
            "tasks: the event has no field `what`; there are description, delay_ms",
            "tasks: `weight` is a number above 0",
            "part 5 of the mix says either a `pattern` or a `topic`",
            "step 1: say either `rate`, or `from` and `to`",
            "step 2: `seconds` is more than 0",
        ] {
            assert!(
                problems.contains(expected),
                "{expected} is not in\n{problems}"
            );
        }
        let unknown = plan("mix = []\nsteps = []\nspeed = 1").err();
        assert!(unknown.is_some_and(|error| error.contains("speed")));
    }

    /// Each pattern can be driven, and each example file beside this crate is a workload.
    #[test]
    fn patterns_and_example_files_can_be_run() {
        let mut names = Vec::new();
        Workload::parse("mix = [{ pattern = 'x' }]\nsteps = []")
            .unwrap()
            .parts(&mut names);
        let names = names[0].split("there are ").nth(1).unwrap_or_default();
        let names: Vec<&str> = names.split(", ").collect();
        assert_eq!(names.len(), 18, "{names:?}");
        for name in names {
            let text =
                format!("mix = [{{ pattern = '{name}' }}]\nsteps = [{{ rate = 1, seconds = 1 }}]");
            plan(&text).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
        let mut files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            plan(&text).unwrap_or_else(|problem| panic!("{text}\n{problem}"));
            files += 1;
        }
        assert!(files > 0);
    }
}
