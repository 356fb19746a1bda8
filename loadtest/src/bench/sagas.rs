//! What a saga of five requests between services costs: `trip-bookings`, from the command to its
//! result.
//!
//! First one trip after the other, then many at once (a round that counts after one that does not),
//! then many at once again after the services have come to know many more keys. What a machine does
//! changes from minute to minute, so an object that does nothing is measured beside them: how many of
//! its events take as long as a trip carries over to another machine, trips per second do not.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use futures::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use millstream_pipeline::client::Client;
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};
use millstream_pipeline::events::{Event, Topic};
use millstream_schemas::flights::ReserveFlight;
use millstream_schemas::trip_bookings::{BookTrip, TripBooked};
use millstream_topics::{Flights, TripBookings};
use serde::Serialize;
use uuid::Uuid;

use super::rig::Rig;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);
/// Trips that are not counted.
const WARM_UP: usize = 20;
/// Events of a round of the object that does nothing, and their keys.
const NOTHING: (usize, usize) = (10_000, 1_000);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Trips, one after the other, to measure latency with
    #[arg(long, default_value_t = 200)]
    latency: usize,
    /// Trips of each round of many at once
    #[arg(long, default_value_t = 3_000)]
    trips: usize,
    /// Trips under way at once
    #[arg(long, default_value_t = 300)]
    at_once: usize,
    /// Keys that the services get to know before the second round
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// Folder of the running dev stack
    #[arg(long, default_value = DEV_FOLDER)]
    folder: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
struct Report {
    trips: usize,
    at_once: usize,
    keys: usize,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    per_second: f64,
    per_second_with_keys: f64,
    ratio: f64,
    /// Events of the object that does nothing: per second, and for the time of a trip.
    noop_per_second: f64,
    noop_events_per_trip: f64,
    noop_events_per_trip_with_keys: f64,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let endpoints = Endpoints::read(&arguments.folder)?.with_context(|| {
        format!(
            "no dev stack in {}; start one with `millstream dev`",
            arguments.folder.display()
        )
    })?;
    let rig = Rig::set_up(&endpoints).await?;
    let report = measure(&endpoints, &rig, &arguments).await?;
    match arguments.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

async fn measure(
    endpoints: &Endpoints,
    rig: &Rig,
    arguments: &Arguments,
) -> anyhow::Result<Report> {
    let client = Client::new(endpoints, &[TripBookings::DECLARATION], "loadtest").await?;
    let mut micros = Histogram::<u64>::new(3)?;
    for number in 0..arguments.latency + WARM_UP {
        let took = book(&client).await?;
        if number >= WARM_UP {
            micros.record(u64::try_from(took.as_micros())?)?;
        }
    }
    let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
    // A broker that has just started compiles its own code for a while.
    rate(&client, arguments).await?;
    nothing(rig).await?;
    let before = nothing(rig).await?;
    let per_second = rate(&client, arguments).await?;
    let between = nothing(rig).await?;
    eprintln!(
        "{per_second:.0} trips per second; making {} keys",
        arguments.keys
    );
    reserve(endpoints, arguments.keys).await?;
    let again = nothing(rig).await?;
    let per_second_with_keys = rate(&client, arguments).await?;
    let after = nothing(rig).await?;
    Ok(Report {
        trips: arguments.trips,
        at_once: arguments.at_once,
        keys: arguments.keys,
        p50_ms: at(0.5),
        p90_ms: at(0.9),
        p99_ms: at(0.99),
        per_second,
        per_second_with_keys,
        ratio: per_second_with_keys / per_second,
        noop_per_second: (before + between + again + after) / 4.0,
        noop_events_per_trip: (before + between) / 2.0 / per_second,
        noop_events_per_trip_with_keys: (again + after) / 2.0 / per_second_with_keys,
    })
}

/// Books a trip; how long it took.
async fn book(client: &Client) -> anyhow::Result<Duration> {
    let request: BookTrip = serde_json::from_str(BookTrip::schema().example)?;
    let start = Instant::now();
    let key = Uuid::now_v7().to_string();
    let seen = client.request::<TripBookings>(&key, request, LIMIT).await?;
    seen.event::<TripBooked>()?;
    Ok(start.elapsed())
}

/// Trips per second with many at once.
async fn rate(client: &Client, arguments: &Arguments) -> anyhow::Result<f64> {
    let start = Instant::now();
    stream::iter(0..arguments.trips)
        .map(|_| book(client))
        .buffer_unordered(arguments.at_once)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(arguments.trips as f64 / start.elapsed().as_secs_f64())
}

/// Events per second of an object that does nothing: what the machine does at this moment.
async fn nothing(rig: &Rig) -> anyhow::Result<f64> {
    let (events, keys) = NOTHING;
    rig.round(events, keys).await
}

/// Makes as many reservations, each under a key of its own.
async fn reserve(endpoints: &Endpoints, keys: usize) -> anyhow::Result<()> {
    let client = Client::new(endpoints, &[Flights::DECLARATION], "loadtest").await?;
    let seat = ReserveFlight {
        flight_id: "12345".into(),
        passenger_name: "John Doe".into(),
    };
    stream::iter(0..keys)
        .map(|_| {
            let key = Uuid::now_v7().to_string();
            let (client, seat) = (&client, seat.clone());
            async move { client.request::<Flights>(&key, seat, LIMIT).await }
        })
        .buffer_unordered(200)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let ms = |value: f64| format!("{value:.1} ms");
        let rows = [
            ("one after the other, median".to_owned(), ms(self.p50_ms)),
            ("90 of 100".to_owned(), ms(self.p90_ms)),
            ("99 of 100".to_owned(), ms(self.p99_ms)),
            (
                format!("{} at once", self.at_once),
                format!("{:.0}/s", self.per_second),
            ),
            (
                format!("the same with {} keys more", self.keys),
                format!("{:.0}/s", self.per_second_with_keys),
            ),
            ("ratio".to_owned(), format!("{:.2}", self.ratio)),
            (
                "an object that does nothing".to_owned(),
                format!("{:.0} events/s", self.noop_per_second),
            ),
            (
                "of its events, for the time of a trip".to_owned(),
                format!("{:.1}", self.noop_events_per_trip),
            ),
            (
                "the same with the keys".to_owned(),
                format!("{:.1}", self.noop_events_per_trip_with_keys),
            ),
        ];
        for (what, figure) in rows {
            table.add_row([what, figure]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "Trips, five requests each\n{table}")
    }
}
