//! `status --watch`: one screen, drawn again in place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use console::Style;
use millstream_control::{Error, Status};

use super::tables;
use crate::output::{Screen, paint, table_text};
use crate::shutdown;

/// Seconds after which an event that waits for its turn is trouble.
const LONG: u64 = 60;

/// What the last look saw: records on each topic, and when.
struct Before {
    at: Instant,
    records: BTreeMap<String, i64>,
}

/// Looks and draws until Ctrl-C.
pub async fn run<F>(look: impl Fn() -> F, interval: Duration) -> anyhow::Result<()>
where
    F: Future<Output = Result<Status, Error>>,
{
    let stop = shutdown::on_signal()?;
    let mut screen = Screen::new();
    let watching = async {
        let mut before = None;
        loop {
            let at = Instant::now();
            let clock = jiff::Timestamp::now().strftime("%H:%M:%S UTC");
            let clock = clock.to_string();
            match look().await {
                Ok(status) => {
                    screen.draw(&frame(&status, before.as_ref(), at, &clock));
                    let records = status.topics.into_iter();
                    let records = records.filter_map(|topic| Some((topic.topic, topic.records?)));
                    before = Some(Before {
                        at,
                        records: records.collect(),
                    });
                }
                // It may come back; what was seen before it went says nothing of rates then.
                Err(error) => {
                    let trouble = paint(Style::new().red().bold(), &error.to_string());
                    screen.draw(&format!("{clock}\n\n{trouble}\n"));
                    before = None;
                }
            }
            tokio::time::sleep(interval).await;
        }
    };
    stop.run_until_cancelled(watching).await;
    Ok(())
}

/// Everything at a glance in one line, then what is not idle.
fn frame(status: &Status, before: Option<&Before>, at: Instant, clock: &str) -> String {
    let rates = rates(status, before, at);
    let lag: i64 = lags(status).values().sum();
    let unmarked: u64 = status
        .topics
        .iter()
        .filter_map(|topic| topic.unmarked)
        .map(|unmarked| unmarked.count)
        .sum();
    let (mut paused, mut backing_off, mut running, mut oldest) = (0, 0, 0, 0);
    for service in &status.invocations {
        paused += service.paused;
        backing_off += service.backing_off;
        running += service.running;
        oldest = oldest.max(service.oldest_waiting_seconds.unwrap_or_default());
    }
    let total = before.map_or_else(
        || "-".to_owned(),
        |_| format!("{:.0}", rates.values().sum::<f64>()),
    );
    let figures = [
        figure("events/s", &total, false),
        figure("lag", &lag.to_string(), false),
        figure("dead letters", &unmarked.to_string(), unmarked > 0),
        figure("paused", &paused.to_string(), paused > 0),
        figure("backing off", &backing_off.to_string(), backing_off > 0),
        figure("running", &running.to_string(), false),
        figure("oldest waiting", &format!("{oldest} s"), oldest >= LONG),
    ];
    let troubled: Vec<_> = status
        .subscriptions
        .iter()
        .filter(|subscription| tables::state(subscription) != "ok")
        .cloned()
        .collect();
    let mut parts = vec![
        format!("{clock}   {}\n", figures.join("   ")),
        busy_topics(status, &rates),
    ];
    if !troubled.is_empty() {
        parts.push(tables::subscriptions(&[], &[], &troubled));
    }
    parts.push(tables::invocations(&status.invocations));
    if status.deployments.len() > 1 {
        parts.push(deployments(status));
    }
    parts.join("\n")
}

fn figure(name: &str, value: &str, is_trouble: bool) -> String {
    let style = match is_trouble {
        true => Style::new().red().bold(),
        false => Style::new().bold(),
    };
    format!("{name} {}", paint(style, value))
}

/// Topics with events, lag or dead letters that nobody has dealt with; the busiest first.
fn busy_topics(status: &Status, rates: &BTreeMap<&str, f64>) -> String {
    let lags = lags(status);
    let mut rows = Vec::new();
    for topic in &status.topics {
        let rate = rates.get(topic.topic.as_str()).copied().unwrap_or(0.0);
        let lag = lags.get(topic.topic.as_str()).copied().unwrap_or(0);
        let unmarked = topic.unmarked.map_or(0, |unmarked| unmarked.count);
        if rate > 0.0 || lag > 0 || unmarked > 0 {
            rows.push((topic, rate, lag, unmarked));
        }
    }
    rows.sort_by(|(_, a, ..), (_, b, ..)| b.total_cmp(a));
    let idle = status.topics.len() - rows.len();
    let rows = rows.into_iter().map(|(topic, rate, lag, unmarked)| {
        let records = topic.records.unwrap_or_default();
        let results = topic.results.unwrap_or_default();
        vec![
            topic.topic.clone(),
            format!("{rate:.0}"),
            lag.to_string(),
            unmarked.to_string(),
            records.to_string(),
            results.to_string(),
        ]
    });
    let header = ["topic", "events/s", "lag", "unmarked", "events", "results"];
    let title = format!("Topics ({idle} idle ones not shown)");
    table_text(&title, &header, &[1, 2, 3, 4, 5], rows.collect())
}

/// Deployments, while there are several. All their services would fill the screen.
fn deployments(status: &Status) -> String {
    let rows = status.deployments.iter().map(|deployment| {
        vec![
            deployment.uri.clone().unwrap_or_else(|| "?".to_owned()),
            deployment.pinned.to_string(),
            deployment.services.len().to_string(),
            deployment.id.clone(),
        ]
    });
    let header = ["address", "pinned", "services", "id"];
    table_text("Deployments", &header, &[1, 2], rows.collect())
}

/// New records a second on each topic. Retention takes records away: those are no rate.
fn rates<'s>(status: &'s Status, before: Option<&Before>, at: Instant) -> BTreeMap<&'s str, f64> {
    let Some(before) = before else {
        return BTreeMap::new();
    };
    let seconds = at.duration_since(before.at).as_secs_f64().max(0.001);
    let topics = status.topics.iter().filter_map(|topic| {
        let new = topic.records? - before.records.get(&topic.topic)?;
        Some((topic.topic.as_str(), new.max(0) as f64 / seconds))
    });
    topics.collect()
}

/// Lag of each topic, over its subscriptions and its guard.
fn lags(status: &Status) -> BTreeMap<&str, i64> {
    let mut lags: BTreeMap<&str, i64> = BTreeMap::new();
    let subscriptions = status.subscriptions.iter();
    let subscriptions = subscriptions.map(|it| (it.topic.as_str(), it.lag));
    let guards = status.guards.iter().map(|it| (it.topic.as_str(), it.lag));
    for (topic, lag) in subscriptions.chain(guards) {
        *lags.entry(topic).or_default() += lag.unwrap_or(0);
    }
    lags
}

#[cfg(test)]
mod tests {
    use millstream_control::TopicStatus;

    use super::*;

    fn status(records: i64) -> Status {
        let topic = |name: &str, records| TopicStatus {
            topic: name.to_owned(),
            partitions: Some(8),
            records: Some(records),
            results: None,
            dead_letters: None,
            unmarked: None,
        };
        Status {
            topics: vec![topic("orders", records), topic("idle", 5)],
            subscriptions: Vec::new(),
            guards: Vec::new(),
            lanes: Vec::new(),
            invocations: Vec::new(),
            deployments: Vec::new(),
            misplaced: Vec::new(),
        }
    }

    #[test]
    fn rates_are_of_new_records_and_idle_topics_are_left_out() {
        let at = Instant::now();
        let before = Before {
            at,
            records: [("orders".to_owned(), 100), ("idle".to_owned(), 5)].into(),
        };
        let later = at + Duration::from_secs(2);
        let (now, less) = (status(150), status(90));
        let rates_now = rates(&now, Some(&before), later);
        assert_eq!(rates_now["orders"], 25.0);
        let shown = busy_topics(&now, &rates_now);
        assert!(
            shown.contains("orders") && shown.contains("(1 idle"),
            "{shown}"
        );
        assert_eq!(rates(&less, Some(&before), later)["orders"], 0.0);
        assert!(rates(&now, None, later).is_empty());
    }
}
