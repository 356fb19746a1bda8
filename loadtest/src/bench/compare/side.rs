//! One peer while it is measured.

use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::bench::Bench;
use super::counts::{Counts, first_long};
use super::feed::Feed;
use super::peer::Peer;
use super::process::Process;
use super::watch::{Fetch, Watch};
use crate::bench::noop::Noop;
use crate::probe::process::{now_micros, peak_rss_mib};

/// One side.
pub struct Side {
    pub peer: Peer,
    /// What was sent and seen.
    pub counts: Counts,
    /// Of the process with the handler.
    pub pid: u32,
    process: Option<Process>,
    noop: Option<Idle>,
    watch: Option<Watch>,
}

/// The object that does nothing, in this process.
struct Idle {
    noop: Noop,
    /// Microseconds from when a command was to be sent to when it was there.
    latencies: Arc<Mutex<Histogram<u64>>>,
}

/// What one side did in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// How many.
    pub events: usize,
    /// From the first result, as the broker took it, to the last, as a consumer had it.
    pub seconds: f64,
    /// Events per second.
    pub rate: f64,
    /// CPU seconds of Restate's server.
    pub restate_cpu: f64,
    /// CPU seconds of Kafka.
    pub kafka_cpu: f64,
    /// CPU seconds of the process with the handler.
    pub handler_cpu: f64,
    /// Records that Restate wrote to its log per event, where it does.
    pub log_records: Option<f64>,
    /// Results that came twice.
    pub copies: u64,
}

impl Measured {
    /// CPU microseconds of all three processes per event.
    pub fn cpu_micros(&self) -> f64 {
        (self.restate_cpu + self.kafka_cpu + self.handler_cpu) * 1e6 / self.events as f64
    }
}

/// What was seen while a side was watched.
pub struct Watched {
    pub seconds: f64,
    pub copies: u64,
    pub latencies: Histogram<u64>,
}

impl Side {
    /// A peer with its process; the object that does nothing has none and is served from here.
    pub fn new(peer: Peer, counts: Counts, process: Option<Process>) -> anyhow::Result<Self> {
        let noop = match process {
            Some(_) => None,
            None => Some(Idle::serve()?),
        };
        let pid = match &process {
            Some(process) => process.pid()?,
            None => std::process::id(),
        };
        Ok(Self {
            peer,
            counts,
            pid,
            process,
            noop,
            watch: None,
        })
    }

    /// Where Restate calls it.
    pub fn url(&self) -> Option<&str> {
        let noop = self.noop.as_ref().map(|idle| idle.noop.url.as_str());
        noop.or_else(|| self.process.as_ref()?.url.as_deref())
    }

    /// Fails when its process has ended or its results cannot be right.
    pub async fn check(&mut self) -> anyhow::Result<()> {
        if self.watch.as_ref().is_some_and(Watch::is_broken) {
            self.end_watch().await?;
            anyhow::bail!("its results are no longer read");
        }
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    /// Tells its process something.
    pub async fn tell(&mut self, word: &str) -> anyhow::Result<()> {
        match &mut self.process {
            Some(process) => process.tell(word).await,
            None => Ok(()),
        }
    }

    /// Watches what it does from now on.
    pub fn watch(&mut self, bench: &Bench, fetch: Fetch) -> anyhow::Result<()> {
        if let Some(idle) = &self.noop {
            idle.noop.counter.reset();
            idle.latencies().reset();
        }
        self.watch = match self.peer.results() {
            Some(results) => Some(Watch::begin(
                &bench.place.endpoints.kafka,
                &results,
                (&bench.ends(&results)?, fetch),
                self.counts.clone(),
                Arc::clone(&bench.codec),
            )?),
            None => None,
        };
        Ok(())
    }

    /// How many events it has done since.
    pub fn done(&self) -> u64 {
        match (&self.watch, &self.noop) {
            (Some(watch), _) => watch.seen(),
            (None, Some(idle)) => idle.noop.counter.handled(),
            (None, None) => 0,
        }
    }

    /// Ends watching.
    pub async fn end_watch(&mut self) -> anyhow::Result<Watched> {
        match (self.watch.take(), &self.noop) {
            (Some(watch), _) => {
                let seen = watch.end().await?;
                self.counts.saw(seen.counts);
                Ok(Watched {
                    seconds: (seen.last_micros - seen.first_micros) as f64 / 1e6,
                    copies: seen.copies,
                    latencies: seen.latencies,
                })
            }
            (None, Some(idle)) => Ok(Watched {
                seconds: idle.noop.counter.seconds(),
                copies: 0,
                latencies: idle.latencies().clone(),
            }),
            (None, None) => anyhow::bail!("it was not watched"),
        }
    }

    /// Sends commands at a steady rate; each latency counts from when its command was due.
    pub async fn send_steadily(
        &mut self,
        feed: &Feed,
        events: usize,
        rate: f64,
    ) -> anyhow::Result<()> {
        let (topic, watch) = (self.peer.topic(), &self.watch);
        let sent = |key, number, micros| {
            if let Some(watch) = watch {
                watch.sent(key, number, micros);
            }
        };
        feed.steadily(&topic, &mut self.counts, events, rate, sent)
            .await
    }

    /// The most memory that its process has had, in MiB; unknown of the object that does nothing,
    /// which shares a process with the rest of the measuring.
    pub fn peak_mib(&self) -> Option<f64> {
        self.process.as_ref()?;
        peak_rss_mib(self.pid).ok()
    }
}

impl Idle {
    fn serve() -> anyhow::Result<Self> {
        let latencies = Arc::new(Mutex::new(Histogram::<u64>::new(3)?));
        let into = Arc::clone(&latencies);
        let noop = Noop::serve(Some(Arc::new(move |value| {
            let Some(sent) = first_long(value) else {
                return;
            };
            let latency = u64::try_from(now_micros() - sent).unwrap_or_default();
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            // It grows as needed; a time of thousands of years would not fit.
            let _ = into.record(latency);
        })))?;
        Ok(Self { noop, latencies })
    }

    fn latencies(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
