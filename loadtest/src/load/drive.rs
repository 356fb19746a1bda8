//! One run from beginning to end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::config::Endpoints;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::collect;
use super::host::Host;
use super::lag::Lag;
use super::metrics::{Live, show_target_rate};
use super::outlet::{Account, Outlet};
use super::plan::Plan;
use super::send;
use super::series::{Percentiles, Sample};
use super::track::{Figures, Kind, Tracker};
use super::workload::Target;
use crate::probe::broker::Broker;

/// Time to make connections in before the first event.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long to go on reading after the last result: copies of results come soon or never.
const SETTLE: f64 = 2.0;
/// How long answers are awaited after an interrupt, in seconds.
const INTERRUPTED: f64 = 5.0;

/// Where a run takes place.
#[derive(Debug, Clone)]
pub struct Place {
    /// The installation.
    pub endpoints: Endpoints,
    /// Prefix of its consumer groups.
    pub prefix: String,
    /// Key for the gateway.
    pub api_key: Option<String>,
}

/// What came of a run.
pub struct Outcome {
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// When it began, in microseconds since 1970-01-01 UTC.
    pub begun: i64,
    /// How long events were sent, in seconds.
    pub sending: f64,
    /// Second by second.
    pub series: Vec<Sample>,
    /// Of each part of the mix, without the warm-up.
    pub by_part: Vec<Figures>,
    /// Of each segment.
    pub by_segment: Vec<Figures>,
    /// Events, without the warm-up, that were finished when the schedule was over.
    pub finished_in_time: u64,
    /// How late the generator was.
    pub delay: Option<Percentiles>,
    /// The machine, and what it runs.
    pub host: Host,
    /// From the intended time to the acknowledgement.
    pub publish: Option<Percentiles>,
    /// Records not taken at the end, by group.
    pub lag: BTreeMap<String, i64>,
    /// Dead letters that came, by topic; none where there is no such topic.
    pub dead_letters: BTreeMap<String, u64>,
}

/// Runs a plan; `show` is told of every second.
pub async fn drive(
    plan: &Arc<Plan>,
    place: &Place,
    mut show: impl FnMut(&Sample),
) -> anyhow::Result<Outcome> {
    let topics = plan.declarations();
    let broker = Broker::new(&place.endpoints.kafka)?;
    let letters = || -> anyhow::Result<BTreeMap<String, u64>> {
        let names = topics.iter().filter(|topic| topic.dead_letters);
        let names = names.map(|topic| topic.dead_letter_topic());
        let counts = names.map(|name| Ok(broker.produced(&name)?.map(|count| (name, count))));
        counts.filter_map(Result::transpose).collect()
    };
    let letters_before = letters().context("Kafka does not answer; is the installation up?")?;
    let mut host = Host::new(&place.endpoints).await;
    let clock = Clock::default();
    let account = Account::new(tracker(plan), clock.clone());
    let (stop, stop_sending) = (CancellationToken::new(), CancellationToken::new());
    let sent = CancellationToken::new();
    // Whatever happens, the threads end.
    let _stop = (stop.clone().drop_guard(), stop_sending.clone().drop_guard());
    let outlet = Outlet::new(plan, &place.endpoints, place.api_key.as_deref(), &account).await?;
    let collector = match plan.workload.target {
        Target::Gateway => None,
        Target::Kafka => {
            let results = topics
                .iter()
                .filter_map(|it| Some(it.results.as_ref()?.name));
            let (results, stop) = (results.collect(), stop.clone());
            let account = account.clone();
            Some(collect::start(
                &place.endpoints,
                results,
                &plan.run,
                account,
                stop,
            )?)
        }
    };
    let lag = Lag::default();
    let looking = lag.start(&place.endpoints, &topics, &place.prefix, stop.clone())?;
    // What comes before takes its time, and must not make the first events late.
    clock.start_in(HEAD_START);
    let sender = send::start(
        Arc::clone(plan),
        outlet,
        account.clone(),
        stop_sending.clone(),
        sent.clone(),
    )?;

    let has_facts = plan.parts.iter().any(|part| !part.event.is_command());
    let mut watch = Watch::new(plan, &account, &lag);
    let mut interrupted = false;
    let mut ends = None;
    let mut finished_in_time = None;
    let mut sending = plan.schedule.seconds();
    let over = Instant::now() + clock.until((sending * 1e6) as u64);
    let second = Duration::from_secs(1);
    let mut ticks = interval_at(Instant::now() + HEAD_START + second, second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settled: Option<f64> = None;
    // One and the same future: a signal that comes while a second is shown is not lost.
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sleep_until(over), if finished_in_time.is_none() => {
                finished_in_time = Some(finished(plan, &account));
                continue;
            }
            () = sent.cancelled(), if ends.is_none() => {
                let wait = match interrupted {
                    true => INTERRUPTED.min(plan.workload.deadline),
                    false => plan.workload.deadline,
                };
                if interrupted {
                    sending = sending.min(clock.seconds());
                    finished_in_time.get_or_insert_with(|| finished(plan, &account));
                }
                ends = Some(clock.seconds() + wait + 1.0);
                continue;
            }
            _ = &mut interrupt, if !interrupted => {
                interrupted = true;
                stop_sending.cancel();
                continue;
            }
        }
        show(watch.look());
        let Some(ends) = ends else { continue };
        let idle =
            account.tracker().unfinished == 0 && (!has_facts || lag.total().unwrap_or(0) == 0);
        settled = if idle {
            settled.or(Some(clock.seconds()))
        } else {
            None
        };
        let is_settled = settled.is_some_and(|since| clock.seconds() >= since + SETTLE);
        if is_settled || clock.seconds() >= ends {
            break;
        }
    }
    host.ended();
    stop.cancel();
    tokio::task::spawn_blocking(move || {
        let sent = sender.join();
        drop(looking.join());
        drop(collector.map(std::thread::JoinHandle::join));
        sent
    })
    .await?
    .unwrap_or_else(|_| Err(anyhow::anyhow!("the sending thread gave up")))?;
    for part in &plan.parts {
        show_target_rate(part.topic.name, 0.0);
    }
    let series = watch.series;
    let mut tracker = account.tracker();
    tracker.close();
    let dead_letters = letters()?.into_iter().map(|(topic, after)| {
        let before = letters_before.get(&topic).copied().unwrap_or_default();
        (topic, after.saturating_sub(before))
    });
    Ok(Outcome {
        interrupted,
        begun: clock.unix(0),
        sending,
        series,
        by_part: tracker.by_part().to_vec(),
        by_segment: tracker.by_segment().to_vec(),
        finished_in_time: finished_in_time.unwrap_or_default(),
        delay: Percentiles::of(&tracker.delay),
        publish: Percentiles::of(&tracker.publish),
        host,
        lag: lag.by_group(),
        dead_letters: dead_letters.collect(),
    })
}

fn tracker(plan: &Plan) -> Tracker {
    let kinds = plan.parts.iter().map(|part| Kind {
        is_command: part.event.is_command(),
        live: Live::of_topic(part.topic.name),
    });
    let deadline = (plan.workload.deadline * 1e6) as u64;
    Tracker::new(kinds.collect(), plan.segments.len(), plan.warm_up, deadline)
}

fn finished(plan: &Plan, account: &Account) -> u64 {
    let tracker = account.tracker();
    let counted = &tracker.by_segment()[plan.warm_up..];
    counted.iter().map(|figures| figures.finished).sum()
}

/// Looks at the account every second.
struct Watch<'r> {
    plan: &'r Plan,
    account: &'r Account,
    lag: &'r Lag,
    looked: f64,
    series: Vec<Sample>,
}

impl<'r> Watch<'r> {
    fn new(plan: &'r Plan, account: &'r Account, lag: &'r Lag) -> Self {
        Self {
            plan,
            account,
            lag,
            looked: 0.0,
            series: Vec::new(),
        }
    }

    fn look(&mut self) -> &Sample {
        let now = self.account.clock.now();
        let seconds = now as f64 / 1e6;
        let (interval, unanswered) = {
            let mut tracker = self.account.tracker();
            tracker.expire(now);
            (tracker.take_interval(), tracker.unanswered)
        };
        let schedule = &self.plan.schedule;
        let target = schedule.due_by(seconds) - schedule.due_by(self.looked);
        let between = (self.looked, seconds);
        let sample = Sample::new(between, target, &interval, self.lag.total(), unanswered);
        let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
        for part in &self.plan.parts {
            *rates.entry(part.topic.name).or_default() += sample.target_rate * part.share;
        }
        for (topic, rate) in rates {
            show_target_rate(topic, rate);
        }
        self.looked = seconds;
        self.series.push(sample);
        &self.series[self.series.len() - 1]
    }
}
