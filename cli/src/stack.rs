//! The dev stack with everything declared applied to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};
use millstream_pipeline::declarations::{Settings, apply, plan};
use millstream_pipeline::dev_stack::{DevStack, Options, Part};
use millstream_topics::TOPICS;
use tokio_util::sync::CancellationToken;

use crate::output;

/// How long the gateway may take to find the topics.
const GATEWAY_LIMIT: Duration = Duration::from_secs(60);

/// How a dev stack is started.
#[derive(Debug, clap::Args)]
pub struct StackArgs {
    /// Folder of the dev stack's data, logs and dev.json
    #[arg(long, default_value = DEV_FOLDER, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Begin without the data of the last run
    #[arg(long)]
    pub fresh: bool,
    /// Run three brokers, three Restate servers, two replicas of the handlers and two gateways
    #[arg(long)]
    pub cluster: bool,
    /// Use free ports other than the usual ones
    #[arg(long)]
    pub other_ports: bool,
    /// Milliseconds before user-updates asks a busy system again
    #[arg(long, default_value_t = 500, value_name = "MS")]
    pub busy_delay_ms: u64,
    /// Milliseconds that a machine's transition takes
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    pub transition_ms: u64,
    /// Milliseconds that a checkout waits for its payment
    #[arg(long, default_value_t = 10_000, value_name = "MS")]
    pub payment_deadline_ms: u64,
    /// Milliseconds that the delivery of a shipped order takes
    #[arg(long, default_value_t = 300, value_name = "MS")]
    pub delivery_wait_ms: u64,
    /// Milliseconds before it is asked again whether a post was moderated
    #[arg(long, default_value_t = 300, value_name = "MS")]
    pub moderation_poll_ms: u64,
    /// Milliseconds that a payment's webhook is waited for before its status is asked for
    #[arg(long, default_value_t = 3000, value_name = "MS")]
    pub webhook_deadline_ms: u64,
    /// Milliseconds before a payment's status is asked for again
    #[arg(long, default_value_t = 500, value_name = "MS")]
    pub payment_poll_ms: u64,
    /// Milliseconds between two reminders of an unpaid invoice
    #[arg(long, default_value_t = 500, value_name = "MS")]
    pub reminder_interval_ms: u64,
    /// Milliseconds that an expensive call takes
    #[arg(long, default_value_t = 200, value_name = "MS")]
    pub call_duration_ms: u64,
}

/// Starts the stack, applies the declarations and writes dev.json; `None` when stopped meanwhile.
pub async fn start(
    arguments: &StackArgs,
    binary: Option<PathBuf>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<DevStack>> {
    let binary = match binary {
        Some(binary) => binary,
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    // Shorter than in earnest: people and tests wait for them.
    let delays = [
        ("MILLSTREAM_BUSY_DELAY_MS", arguments.busy_delay_ms),
        ("MILLSTREAM_TRANSITION_MS", arguments.transition_ms),
        (
            "MILLSTREAM_PAYMENT_DEADLINE_MS",
            arguments.payment_deadline_ms,
        ),
        ("MILLSTREAM_DELIVERY_WAIT_MS", arguments.delivery_wait_ms),
        (
            "MILLSTREAM_MODERATION_POLL_MS",
            arguments.moderation_poll_ms,
        ),
        (
            "MILLSTREAM_WEBHOOK_DEADLINE_MS",
            arguments.webhook_deadline_ms,
        ),
        ("MILLSTREAM_PAYMENT_POLL_MS", arguments.payment_poll_ms),
        ("MILLSTREAM_TASK_RETRY_DELAY_MS", 100),
        (
            "MILLSTREAM_REMINDER_INTERVAL_MS",
            arguments.reminder_interval_ms,
        ),
        ("MILLSTREAM_CALL_DURATION_MS", arguments.call_duration_ms),
    ]
    .map(|(name, ms)| (name.to_owned(), ms.to_string()));
    let options = Options {
        folder: arguments.folder.clone(),
        fresh: arguments.fresh,
        announce: false,
        usual_ports: !arguments.other_ports,
        parts: Part::ALL
            .into_iter()
            .filter(|part| *part != Part::Guard || TOPICS.iter().any(|topic| topic.guard))
            .filter(|part| arguments.cluster || !part.is_of_cluster())
            .collect(),
        variables: [Part::Handlers, Part::Handlers2]
            .map(|part| (part, delays.clone().into()))
            .into(),
        ..Options::new(binary)
    };
    let Some(stack) = stop.run_until_cancelled(DevStack::start(options)).await else {
        return Ok(None);
    };
    let stack = stack?;
    let applied = async {
        apply_declarations(&stack).await?;
        gateway_is_ready(&stack).await
    };
    let applied = stop.run_until_cancelled(applied).await;
    match applied {
        Some(Ok(())) => {
            stack.announce()?;
            Ok(Some(stack))
        }
        Some(Err(error)) => {
            stack.stop().await;
            Err(error)
        }
        None => {
            stack.stop().await;
            Ok(None)
        }
    }
}

/// Brings the stack to the declarations. The handlers may have changed since the last run: on a
/// dev stack their new version takes the place of the old one.
async fn apply_declarations(stack: &DevStack) -> anyhow::Result<()> {
    let endpoints = stack.endpoints();
    let settings = Settings {
        handlers: Some(stack.handlers_url()),
        force: true,
        ..Settings::default()
    };
    let plan = plan(TOPICS, &endpoints, &settings).await?;
    if let Some(refusal) = plan.refusals().next() {
        anyhow::bail!("{refusal}; `--fresh` begins without the data of the last run");
    }
    let mut done = 0_usize;
    apply(&plan, &endpoints, |_| done += 1).await?;
    output::say(format!("applied the declarations: {done} changes"));
    Ok(())
}

/// Waits until the gateway has found the topics.
async fn gateway_is_ready(stack: &DevStack) -> anyhow::Result<()> {
    let ready = async {
        while !stack.gateway_is_ready().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(GATEWAY_LIMIT, ready)
        .await
        .context("the gateway does not find its topics; see logs/gateway.log")
}

/// The addresses, for people.
pub fn describe(endpoints: &Endpoints) -> String {
    let postgres = endpoints
        .postgres
        .as_ref()
        .map(|url| format!("\npostgres         {url}"))
        .unwrap_or_default();
    format!(
        "kafka            {}\n\
         schema registry  {}\n\
         restate ingress  {}\n\
         restate admin    {}\n\
         gateway          {}\n\
         metrics          {}{postgres}",
        endpoints.kafka,
        endpoints.schema_registry,
        endpoints.restate_ingress,
        endpoints.restate_admin,
        endpoints.gateway.as_deref().unwrap_or("-"),
        endpoints.metrics
    )
}
