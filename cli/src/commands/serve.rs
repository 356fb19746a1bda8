//! `millstream serve`: the catalogue's handlers, for Restate to call.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use millstream_handlers::database::Database;
use millstream_handlers::payment_signals::{self, Secret};
use millstream_handlers::{Settings, catalogue, orders, transactional_events};
use millstream_pipeline::identity::{Proofs, TrustedKeys};
use millstream_pipeline::serve;
use millstream_pipeline::service::{DEFAULT_PREFIX, Pipeline};
use millstream_topics::TOPICS;

use crate::endpoints::EndpointArgs;
use crate::queues::QueueArgs;
use crate::{identity, output, shutdown};

/// How long the producer may take to hand over what is left when the process stops.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    endpoints: EndpointArgs,
    /// Address that Restate calls
    #[arg(
        long,
        default_value = "0.0.0.0:9080",
        env = "MILLSTREAM_LISTEN",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Address of /metrics and /health
    #[arg(
        long,
        default_value = "0.0.0.0:9464",
        env = "MILLSTREAM_METRICS_LISTEN",
        value_name = "ADDRESS"
    )]
    metrics: SocketAddr,
    /// Public key that Restate signs its requests with, or a file of such keys; several, separated
    /// by commas, while it is being replaced (default: the running dev stack's)
    #[arg(
        long = "identity-key",
        env = "MILLSTREAM_IDENTITY_KEYS",
        value_delimiter = ',',
        value_name = "KEY|FILE"
    )]
    identity_keys: Vec<String>,
    /// Private key that signs what is emitted on somebody's behalf
    #[arg(long, env = "MILLSTREAM_SIGNING_KEY", value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Public key of a gateway or of handlers whose word about who sent an event counts, or a file
    /// of such keys; several, separated by commas
    #[arg(
        long = "trusted-key",
        env = "MILLSTREAM_TRUSTED_KEYS",
        value_delimiter = ',',
        value_name = "KEY|FILE"
    )]
    trusted_keys: Vec<String>,
    /// Take requests that nobody signed: for development alone
    #[arg(long, env = "MILLSTREAM_INSECURE_DEV")]
    insecure_dev: bool,
    /// Prefix of the consumer groups, as in `apply`
    #[arg(long, default_value = DEFAULT_PREFIX, value_name = "NAME")]
    prefix: String,
    /// URL of the user directory that user-updates brings up to date
    #[arg(
        long,
        default_value = "http://localhost:9480/user-directory",
        env = "MILLSTREAM_USER_DIRECTORY",
        value_name = "URL"
    )]
    user_directory: String,
    /// Milliseconds before a busy user directory is asked again
    #[arg(
        long,
        default_value_t = 5000,
        env = "MILLSTREAM_BUSY_DELAY_MS",
        value_name = "MS"
    )]
    busy_delay_ms: u64,
    /// Connection URL of the Postgres that database keeps users in
    #[arg(
        long,
        env = "MILLSTREAM_POSTGRES",
        value_name = "URL",
        hide_env_values = true
    )]
    postgres: Option<String>,
    /// Milliseconds that a machine's transition takes
    #[arg(
        long,
        default_value_t = 5000,
        env = "MILLSTREAM_TRANSITION_MS",
        value_name = "MS"
    )]
    transition_ms: u64,
    /// Milliseconds after which a payment is forgotten
    #[arg(
        long,
        default_value_t = 86_400_000,
        env = "MILLSTREAM_PAYMENT_EXPIRY_MS",
        value_name = "MS"
    )]
    payment_expiry_ms: u64,
    /// Milliseconds that a subtask of a job takes
    #[arg(
        long,
        default_value_t = 1000,
        env = "MILLSTREAM_SUBTASK_MS",
        value_name = "MS"
    )]
    subtask_ms: u64,
    #[command(flatten)]
    orders: OrdersArgs,
    #[command(flatten)]
    posts: PostArgs,
    /// Bytes per second of the simulated uploads of sync-to-async
    #[arg(
        long,
        default_value_t = 10_000_000,
        env = "MILLSTREAM_UPLOAD_BYTES_PER_SECOND",
        value_name = "BYTES"
    )]
    upload_bytes_per_second: u64,
    #[command(flatten)]
    payment_signals: PaymentSignalsArgs,
    #[command(flatten)]
    queues: QueueArgs,
}

/// Settings of `orders`.
#[derive(Debug, clap::Args)]
struct OrdersArgs {
    /// URL of the carrier that ships orders
    #[arg(
        long,
        default_value = "http://localhost:9480/carrier",
        env = "MILLSTREAM_CARRIER",
        value_name = "URL"
    )]
    carrier: String,
    /// Milliseconds that a checkout waits for its payment
    #[arg(
        long,
        default_value_t = 120_000,
        env = "MILLSTREAM_PAYMENT_DEADLINE_MS",
        value_name = "MS"
    )]
    payment_deadline_ms: u64,
    /// Milliseconds that an order waits for its approval
    #[arg(
        long,
        default_value_t = 86_400_000,
        env = "MILLSTREAM_APPROVAL_DEADLINE_MS",
        value_name = "MS"
    )]
    approval_deadline_ms: u64,
    /// Milliseconds that the delivery of a shipped order takes
    #[arg(
        long,
        default_value_t = 5000,
        env = "MILLSTREAM_DELIVERY_WAIT_MS",
        value_name = "MS"
    )]
    delivery_wait_ms: u64,
}

impl From<OrdersArgs> for orders::Settings {
    fn from(arguments: OrdersArgs) -> Self {
        Self {
            carrier: arguments.carrier,
            payment_deadline: Duration::from_millis(arguments.payment_deadline_ms),
            approval_deadline: Duration::from_millis(arguments.approval_deadline_ms),
            delivery_wait: Duration::from_millis(arguments.delivery_wait_ms),
        }
    }
}

/// Settings of `transactional-events`.
#[derive(Debug, clap::Args)]
struct PostArgs {
    /// URL of the social network that posts are published in
    #[arg(
        long,
        default_value = "http://localhost:9480/social-network",
        env = "MILLSTREAM_SOCIAL_NETWORK",
        value_name = "URL"
    )]
    social_network: String,
    /// Milliseconds before it is asked again whether a post was moderated
    #[arg(
        long,
        default_value_t = 5000,
        env = "MILLSTREAM_MODERATION_POLL_MS",
        value_name = "MS"
    )]
    moderation_poll_ms: u64,
    /// How often it is asked at most; by default for an hour
    #[arg(
        long,
        default_value_t = 720,
        env = "MILLSTREAM_MODERATION_TRIES",
        value_name = "COUNT"
    )]
    moderation_tries: u32,
}

impl From<PostArgs> for transactional_events::Settings {
    fn from(arguments: PostArgs) -> Self {
        Self {
            social_network: arguments.social_network,
            moderation_poll: Duration::from_millis(arguments.moderation_poll_ms),
            moderation_tries: arguments.moderation_tries,
        }
    }
}

/// Settings of `payment-signals`.
#[derive(Debug, clap::Args)]
struct PaymentSignalsArgs {
    /// URL of the API that payment-signals asks, which is Stripe's; the account's secret key is in
    /// the variable MILLSTREAM_STRIPE_KEY
    #[arg(
        long,
        default_value = "http://localhost:9480/stripe",
        env = "MILLSTREAM_STRIPE_URL",
        value_name = "URL"
    )]
    stripe_url: String,
    /// Currency of the payments of payment-signals
    #[arg(
        long,
        default_value = "usd",
        env = "MILLSTREAM_STRIPE_CURRENCY",
        value_name = "CODE"
    )]
    stripe_currency: String,
    /// Milliseconds that a payment's webhook is waited for before its status is asked for
    #[arg(
        long,
        default_value_t = 60_000,
        env = "MILLSTREAM_WEBHOOK_DEADLINE_MS",
        value_name = "MS"
    )]
    webhook_deadline_ms: u64,
    /// Milliseconds before a payment's status is asked for again; twice as long each further time
    #[arg(
        long,
        default_value_t = 5000,
        env = "MILLSTREAM_PAYMENT_POLL_MS",
        value_name = "MS"
    )]
    payment_poll_ms: u64,
}

/// Where the secret key is. There is no flag for it: those can be seen by everybody on a machine.
const STRIPE_KEY: &str = "MILLSTREAM_STRIPE_KEY";

impl From<PaymentSignalsArgs> for payment_signals::Settings {
    fn from(arguments: PaymentSignalsArgs) -> Self {
        Self {
            stripe_url: arguments.stripe_url,
            stripe_key: Secret::new(std::env::var(STRIPE_KEY).unwrap_or_default()),
            currency: arguments.stripe_currency,
            webhook_deadline: Duration::from_millis(arguments.webhook_deadline_ms),
            poll_delay: Duration::from_millis(arguments.payment_poll_ms),
        }
    }
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.endpoints.resolve()?;
    let mut identity_keys = identity::public_keys(&arguments.identity_keys)?;
    if identity_keys.is_empty() {
        identity_keys.extend(endpoints.identity_key.clone());
    }
    anyhow::ensure!(
        arguments.insecure_dev || !identity_keys.is_empty(),
        "anybody who reaches the handlers could call them: name the public key that Restate signs \
         its requests with (--identity-key), or take any request with --insecure-dev"
    );
    let trusted_keys = identity::public_keys(&arguments.trusted_keys)?;
    let proofs = Proofs {
        signer: identity::signer(arguments.signing_key.as_deref())?,
        trusted: TrustedKeys::parse(&trusted_keys)?,
    };
    let pipeline = Pipeline::with_proofs(&endpoints, TOPICS, &arguments.prefix, proofs)?;
    let postgres = arguments.postgres.or(endpoints.postgres);
    // An empty variable says that there is none.
    let postgres = postgres.filter(|url| !url.is_empty());
    let postgres = postgres.as_deref().map(Database::new).transpose()?;
    if let Some(database) = postgres.clone() {
        tokio::spawn(async move { database.keep_tidy().await });
    }
    let settings = Settings {
        postgres,
        user_directory: arguments.user_directory,
        busy_delay: Duration::from_millis(arguments.busy_delay_ms),
        orders: arguments.orders.into(),
        posts: arguments.posts.into(),
        transition: Duration::from_millis(arguments.transition_ms),
        payment_expiry: Duration::from_millis(arguments.payment_expiry_ms),
        subtask: Duration::from_millis(arguments.subtask_ms),
        upload_bytes_per_second: arguments.upload_bytes_per_second,
        payment_signals: arguments.payment_signals.into(),
        task_retry_delay: Duration::from_millis(arguments.queues.task_retry_delay_ms),
        reminder_interval: Duration::from_millis(arguments.queues.reminder_interval_ms),
        calls_in_flight: arguments.queues.calls_in_flight,
        call_duration: Duration::from_millis(arguments.queues.call_duration_ms),
        call_deadline: Duration::from_millis(arguments.queues.call_deadline_ms),
    };
    let shutdown = shutdown::on_signal()?;
    let metrics = serve::metrics_server(arguments.metrics, shutdown.clone()).await?;
    let metrics = tokio::spawn(metrics);
    let looking_up = pipeline.clone();
    tokio::spawn(async move { looking_up.look_up_schemas().await });
    output::say(format!(
        "handlers on {}, metrics on http://{}/metrics",
        arguments.listen, arguments.metrics
    ));
    let handlers = serve::signed_by(catalogue(&pipeline, &settings), &identity_keys)?;
    serve::handlers(handlers.build(), arguments.listen, shutdown.cancelled()).await?;
    pipeline
        .flush(FLUSH_LIMIT)
        .await
        .context("the last records were not acknowledged")?;
    metrics.await??;
    Ok(ExitCode::SUCCESS)
}
