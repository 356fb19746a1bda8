//! `loadtest serve-catalogue`: one replica of the catalogue's handlers, to be killed, so that the
//! fault suite needs no other program.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use millstream_handlers::payment_signals::{self, Secret};
use millstream_handlers::{
    Settings, catalogue, database, delayed_queue, fan_out, orders, payment_state_machine,
    priority_queue, reminders, state_machine, sync_to_async, transactional_events, user_updates,
};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline};
use millstream_topics::TOPICS;

use crate::chaos::ledger::serve::{handlers, shutdown};

const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// No scenario waits for what takes its time in the catalogue.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_hours(24);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Kafka's bootstrap servers
    #[arg(long)]
    kafka: String,
    /// URL of the schema registry
    #[arg(long)]
    schema_registry: String,
    /// Address that Restate calls
    #[arg(long)]
    listen: SocketAddr,
    /// Public key that Restate signs its requests with
    #[arg(long)]
    identity_key: Vec<String>,
    /// Connection URL of Postgres
    #[arg(long)]
    postgres: Option<String>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints {
        kafka: arguments.kafka,
        schema_registry: arguments.schema_registry,
        ..Endpoints::default()
    };
    let pipeline = Pipeline::new(&endpoints, TOPICS, DEFAULT_PREFIX)?;
    let settings = settings(arguments.postgres);
    let looking_up = pipeline.clone();
    tokio::spawn(async move { looking_up.look_up_schemas().await });
    let stop = shutdown()?;
    let builder = catalogue(&pipeline, &settings)?;
    let handlers = handlers(&pipeline, builder, &arguments.identity_key)?;
    handlers.serve(arguments.listen, stop.cancelled()).await?;
    pipeline.flush(FLUSH_LIMIT).await?;
    Ok(ExitCode::SUCCESS)
}

/// Of systems outside there is the database alone: no scenario calls the others.
fn settings(postgres: Option<String>) -> Settings {
    let nowhere = "http://127.0.0.1:9".to_owned();
    Settings {
        user_updates: user_updates::Settings {
            user_directory: nowhere.clone(),
            busy_delay: SHORT,
        },
        database: database::Settings { postgres },
        state_machine: state_machine::Settings { transition: SHORT },
        payments: payment_state_machine::Settings {
            payment_expiry: LONG,
        },
        fan_out: fan_out::Settings { subtask: SHORT },
        orders: orders::Settings {
            carrier: nowhere.clone(),
            payment_deadline: LONG,
            approval_deadline: LONG,
            delivery_wait: SHORT,
        },
        posts: transactional_events::Settings {
            social_network: nowhere.clone(),
            moderation_poll: SHORT,
            moderation_tries: 1,
        },
        uploads: sync_to_async::Settings {
            upload_bytes_per_second: 1_000_000,
        },
        payment_signals: payment_signals::Settings {
            stripe_url: nowhere,
            stripe_key: Secret::new(String::new()),
            currency: "usd".into(),
            webhook_deadline: LONG,
            poll_delay: SHORT,
        },
        tasks: delayed_queue::Settings {
            task_retry_delay: SHORT,
        },
        reminders: reminders::Settings {
            reminder_interval: SHORT,
        },
        calls: priority_queue::Settings {
            calls_in_flight: 10,
            call_duration: SHORT,
            call_deadline: LONG,
        },
    }
}
