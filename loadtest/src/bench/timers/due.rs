//! How late timers fire that are due together.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::ensure;
use hdrhistogram::Histogram;
use millstream_pipeline::codec::Payload;
use millstream_pipeline::events::Topic;
use millstream_pipeline::record::wire;
use millstream_topics::OutboundEmails;
use rdkafka::message::Message;
use serde::Serialize;
use tokio::time::Instant;

use super::Arguments;
use super::setter::Setter;
use crate::probe::broker::Ends;
use crate::probe::process::now_micros;

/// How late the last may be before the run has failed.
const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(500);
const SECOND: i64 = 1_000_000;
/// What has to be reached.
const LATE: u64 = 5_000;

/// Milliseconds from the time that each timer was due to its event.
#[derive(Debug, Serialize)]
pub struct Due {
    pub timers: usize,
    pub within_seconds: u64,
    /// From the first to the last of them being set.
    pub set_seconds: f64,
    pub p50_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
    /// Later than five seconds.
    pub late: u64,
    pub missing: usize,
    pub twice: usize,
    /// Before its time.
    pub early: usize,
}

pub async fn measure(setter: &Setter, arguments: &Arguments) -> anyhow::Result<Due> {
    let count = arguments.timers;
    let first = now_micros() + i64::try_from(arguments.lead)? * SECOND;
    let span = i64::try_from(arguments.within)? * SECOND;
    let step = span as f64 / count as f64;
    let due = (0..count).map(|number| first + (step * number as f64) as i64);
    let before = ends(setter)?;
    let set_seconds = setter.set(due).await?;
    ensure!(
        now_micros() < first,
        "setting the timers took {set_seconds:.0} s, longer than --lead: give it more"
    );
    eprintln!("{count} timers are set after {set_seconds:.1} s");
    let rest = Duration::from_micros((first + span - now_micros()).max(0).unsigned_abs());
    let deadline = Instant::now() + rest + LIMIT;
    let wanted = count as u64;
    while ends(setter)?.since(&before) < wanted && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    read(setter, &before, arguments, set_seconds).await
}

fn ends(setter: &Setter) -> anyhow::Result<Ends> {
    let topic = OutboundEmails::DECLARATION;
    setter.broker.ends(topic.name, topic.partitions)
}

async fn read(
    setter: &Setter,
    before: &Ends,
    arguments: &Arguments,
    set_seconds: f64,
) -> anyhow::Result<Due> {
    let topic = OutboundEmails::DECLARATION.name;
    let mut records = Vec::new();
    setter
        .broker
        .read(topic, before, &ends(setter)?, |message| {
            let is_ours = message
                .key()
                .is_some_and(|key| key.starts_with(setter.run.as_bytes()));
            if is_ours {
                let time = message.timestamp().to_millis().unwrap_or(0);
                records.push((time, message.payload().unwrap_or_default().to_vec()));
            }
        })?;
    let mut late_ms = Histogram::<u64>::new(3)?;
    let mut known = HashSet::new();
    let (mut twice, mut early) = (0, 0);
    for (time, value) in &records {
        let (schema, body) = wire::split(value).map_err(anyhow::Error::msg)?;
        let writer = setter.codec.writer(schema).await?;
        let (_, meta) = Payload::new(&writer, body)?.generic()?;
        let meta = meta.unwrap_or_default();
        // Timestamps of records have milliseconds.
        let late = time - meta.time / 1000;
        early += usize::from(late < 0);
        late_ms.record(late.max(0).unsigned_abs())?;
        twice += usize::from(!known.insert(meta.id));
    }
    Ok(Due {
        timers: arguments.timers,
        within_seconds: arguments.within,
        set_seconds,
        p50_ms: late_ms.value_at_quantile(0.5),
        p99_ms: late_ms.value_at_quantile(0.99),
        max_ms: late_ms.max(),
        late: late_ms.count_between(LATE + 1, u64::MAX),
        missing: arguments.timers - known.len(),
        twice,
        early,
    })
}
