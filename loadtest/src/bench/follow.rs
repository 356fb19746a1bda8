//! How long `follow` takes to find a request among many records.
//!
//! Topics of its own are filled with events of other requests, recorded evenly over the last hours, and
//! one request of some events is put among them, some time ago. Then it is looked for, in each way that
//! people ask.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_follow::{Asked, Follower, Options};
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};
use millstream_pipeline::events::{Declaration, EventMeta, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::record::Record;
use millstream_pipeline::record::{cloudevents, partition};
use millstream_topics::TripBookings;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::{Timestamp, Uuid};

/// How long the last records may take to be acknowledged.
const LIMIT: Duration = Duration::from_secs(120);
/// Events of the request that is looked for.
const EVENTS: usize = 14;
/// Bytes of a value.
const VALUE: usize = 100;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Records of other requests
    #[arg(long, default_value_t = 10_000_000)]
    records: usize,
    /// Topics, with eight partitions each
    #[arg(long, default_value_t = 40)]
    topics: usize,
    /// Minutes over which the records are spread
    #[arg(long, default_value_t = 60)]
    minutes: i64,
    /// How many minutes ago the request began
    #[arg(long, default_value_t = 40)]
    ago: i64,
    /// How often each search is made
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Leave the topics
    #[arg(long)]
    keep: bool,
    /// Folder of the running dev stack
    #[arg(long, default_value = DEV_FOLDER)]
    folder: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// One way of asking.
#[derive(Debug, Serialize)]
struct Search {
    asked: &'static str,
    seconds: Vec<f64>,
    records: u64,
    nodes: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    records: usize,
    topics: usize,
    minutes: i64,
    searches: Vec<Search>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let endpoints = Endpoints::read(&arguments.folder)?.with_context(|| {
        format!(
            "no dev stack in {}; start one with `millstream dev`",
            arguments.folder.display()
        )
    })?;
    let declarations: Vec<&'static Declaration> = (0..arguments.topics).map(declared).collect();
    let config = kafka::client(&endpoints.kafka);
    create(&config, &declarations).await?;
    let now = jiff::Timestamp::now().as_millisecond();
    let request = Request::new(now - arguments.ago * 60_000);
    let filler = Filler {
        producer: producer(config.clone())?,
        wanted: request.records(&declarations),
        declarations: declarations.clone(),
    };
    let (records, minutes) = (arguments.records, arguments.minutes);
    let filled = move || filler.fill(records, now - minutes * 60_000, now);
    tokio::task::spawn_blocking(filled).await??;

    let mut searches = Vec::new();
    let ways = [
        (
            "correlation id, a UUID of version 7",
            Asked::Id(request.correlation_id.clone()),
            None,
        ),
        (
            "the same, to the ends of the topics",
            Asked::Id(request.correlation_id.clone()),
            Some(true),
        ),
        (
            "id of an event, which tells no time",
            Asked::Id(request.ids[EVENTS / 2].clone()),
            None,
        ),
        (
            "--topic and --key",
            Asked::Latest {
                topic: declarations[0].name.to_owned(),
                key: request.key.clone(),
            },
            None,
        ),
    ];
    for (name, asked, whole) in ways {
        let mut search = Search {
            asked: name,
            seconds: Vec::new(),
            records: 0,
            nodes: 0,
        };
        for _ in 0..arguments.rounds {
            let options = Options {
                since: None,
                content: false,
                whole: whole.unwrap_or(false),
                prefix: "loadtest".into(),
                threads: std::thread::available_parallelism().map_or(2, usize::from),
            };
            let begun = Instant::now();
            let stop = CancellationToken::new();
            let mut follower =
                Follower::new(&endpoints, &declarations, asked.clone(), options, stop).await?;
            let journey = follower.look().await?;
            search.seconds.push(begun.elapsed().as_secs_f64());
            (search.records, search.nodes) = (journey.searched.records, journey.nodes.len());
            anyhow::ensure!(journey.nodes.len() == EVENTS, "{name}: {journey:?}");
        }
        eprintln!("{name}: {:?} s", search.seconds);
        searches.push(search);
    }
    let report = Report {
        records: arguments.records,
        topics: arguments.topics,
        minutes: arguments.minutes,
        searches,
    };
    if !arguments.keep {
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let names: Vec<&str> = declarations.iter().map(|it| it.name).collect();
        admin.delete_topics(&names, &AdminOptions::new()).await?;
    }
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

/// A topic of facts that nobody handles, so that nothing of a request is unfinished: else a search goes to
/// the ends of the topics, as one that is told to. It lives as long as the process.
fn declared(number: usize) -> &'static Declaration {
    Box::leak(Box::new(Declaration {
        name: format!("follow-load-{number:02}").leak(),
        events: &[],
        subscriptions: &[],
        results: None,
        dead_letters: false,
        partitions: 8,
        ..TripBookings::DECLARATION.clone()
    }))
}

async fn create(config: &ClientConfig, declarations: &[&Declaration]) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let retention = ("retention.ms", "-1");
    let topics: Vec<NewTopic<'_>> = declarations
        .iter()
        .map(|it| {
            NewTopic::new(it.name, it.partitions, TopicReplication::Fixed(1))
                .set(retention.0, retention.1)
        })
        .collect();
    for created in admin.create_topics(&topics, &AdminOptions::new()).await? {
        if let Err((topic, error)) = created {
            anyhow::bail!("{topic}: {error}; delete the topics `follow-load-*` of an earlier run");
        }
    }
    Ok(())
}

fn producer(mut config: ClientConfig) -> Result<BaseProducer, KafkaError> {
    kafka::producer(&mut config)
        .set("linger.ms", "50")
        .set("batch.size", "262144")
        .set("queue.buffering.max.messages", "500000")
        .create()
}

struct Filler {
    producer: BaseProducer,
    /// Records of the request that is looked for, with their times.
    wanted: Vec<(Record, i64)>,
    declarations: Vec<&'static Declaration>,
}

impl Filler {
    /// Events of many requests, four of each, one after the other in time, and among them what is wanted.
    fn fill(mut self, count: usize, from: i64, until: i64) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.wanted
            .sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        for number in 0..count {
            let share = number as f64 / count as f64;
            let time = from + ((until - from) as f64 * share) as i64;
            while let Some((record, time)) = self.wanted.pop_if(|(_, wanted)| *wanted <= time) {
                self.put(&record, time)?;
            }
            let correlation_id = made(time, (number / 4) as u64);
            let meta = EventMeta {
                id: made(time, number as u64 + 1_000_000_000),
                source: "loadtest".into(),
                time: time * 1000,
                causation_id: (!number.is_multiple_of(4)).then(|| correlation_id.clone()),
                correlation_id,
                traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
                ..EventMeta::default()
            };
            let topic = self.declarations[number.wrapping_mul(7919) % self.declarations.len()];
            let key = format!("key-{}", number.wrapping_mul(2_654_435_761) % 1_000_003);
            let record = cloudevents::record(
                topic.name,
                &key,
                "millstream.load.Done",
                &meta,
                vec![0; VALUE],
            );
            self.put(&record, time)?;
            if number.is_multiple_of(1_000_000) && number > 0 {
                eprintln!("{number} records in {:.0} s", begun.elapsed().as_secs_f64());
            }
        }
        self.producer.flush(LIMIT)?;
        Ok(())
    }

    fn put(&self, record: &Record, time: i64) -> anyhow::Result<()> {
        let key = record.key.as_deref().unwrap_or_default();
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(&record.topic)
            .key(key)
            .payload(record.value.as_deref().unwrap_or_default())
            .partition(partition::of_key(key, 8))
            .headers(record.owned_headers())
            .timestamp(time);
        loop {
            match self.producer.send(outgoing) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    outgoing = back;
                    self.producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }
}

/// A UUID of version 7 of this time.
fn made(millis: i64, number: u64) -> String {
    let millis = u64::try_from(millis).unwrap_or(0);
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    let time = Timestamp::from_unix_time(millis / 1000, nanos, 0, 0);
    let mut bytes = Uuid::new_v7(time).into_bytes();
    bytes[8..].copy_from_slice(&(number | 1 << 63).to_be_bytes());
    Uuid::from_bytes(bytes).to_string()
}

/// What is looked for: a command and what came of it, on all topics, one event each second.
struct Request {
    began: i64,
    correlation_id: String,
    key: String,
    ids: Vec<String>,
}

impl Request {
    fn new(began: i64) -> Self {
        let correlation_id = made(began, Uuid::new_v4().as_u64_pair().0);
        let first = std::iter::once(correlation_id.clone());
        let others = (1..EVENTS).map(|_| Uuid::new_v4().simple().to_string());
        Self {
            began,
            key: format!("wanted-{correlation_id}"),
            ids: first.chain(others).collect(),
            correlation_id,
        }
    }

    fn records(&self, declarations: &[&'static Declaration]) -> Vec<(Record, i64)> {
        let ids = self.ids.iter().enumerate();
        ids.map(|(number, id)| {
            let time = self.began + 1000 * i64::try_from(number).unwrap_or(0);
            let meta = EventMeta {
                id: id.clone(),
                source: "loadtest".into(),
                time: time * 1000,
                correlation_id: self.correlation_id.clone(),
                causation_id: number
                    .checked_sub(1)
                    .map(|before| self.ids[before / 2].clone()),
                ..EventMeta::default()
            };
            let topic = declarations[number % declarations.len()].name;
            (
                cloudevents::record(
                    topic,
                    &self.key,
                    "millstream.load.Done",
                    &meta,
                    vec![0; VALUE],
                ),
                time,
            )
        })
        .collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} records on {} topics, spread over {} minutes",
            self.records, self.topics, self.minutes
        )?;
        for search in &self.searches {
            let seconds: Vec<String> = search.seconds.iter().map(|it| format!("{it:.2}")).collect();
            writeln!(
                f,
                "{}: {} s, {} records read",
                search.asked,
                seconds.join(", "),
                search.records
            )?;
        }
        Ok(())
    }
}
