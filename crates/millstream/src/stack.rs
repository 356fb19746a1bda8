//! The dev stack with everything declared applied to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use millstream_control::{Settings, apply, plan};
use millstream_devstack::{DevStack, Options, Part};
use millstream_pipeline::config::{DEV_FOLDER, Endpoints};
use tokio_util::sync::CancellationToken;

use crate::application::About;
use crate::output;
use crate::settings::Passed;

/// How long the gateway may take to find the topics.
const GATEWAY_LIMIT: Duration = Duration::from_secs(60);

/// How a dev stack is started.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct StackArgs {
    /// Folder of the dev stack's data, logs and dev.json
    #[arg(long, default_value = DEV_FOLDER, value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Where Kafka, Restate and Postgres run: in containers, or as programs of this machine; left out,
    /// containers where Java, Maven or npm are missing and Docker is there
    #[arg(long, value_name = "WITH")]
    pub with: Option<With>,
    /// Begin without the data of the last run
    #[arg(long)]
    pub fresh: bool,
    /// Run three brokers, three Restate servers, two replicas of the handlers and two gateways
    #[arg(long)]
    pub cluster: bool,
    /// Use free ports other than the usual ones
    #[arg(long)]
    pub other_ports: bool,
}

/// What runs the foreign parts of a dev stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum With {
    /// Images, in containers
    Docker,
    /// Programs from Maven Central and npm, without containers
    Local,
}

impl From<With> for millstream_devstack::With {
    fn from(with: With) -> Self {
        match with {
            With::Docker => Self::Docker,
            With::Local => Self::Local,
        }
    }
}

/// Starts the stack, applies the declarations and writes dev.json; `None` when stopped meanwhile.
pub async fn start<S>(
    about: &About,
    arguments: &StackArgs,
    binary: Option<PathBuf>,
    settings: &Passed<S>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<DevStack>> {
    let binary = match binary {
        Some(binary) => binary,
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    let mut options = Options {
        folder: arguments.folder.clone(),
        with: arguments.with.map(Into::into),
        fresh: arguments.fresh,
        announce: false,
        usual_ports: !arguments.other_ports,
        ..about.dev_options(binary)
    };
    if arguments.cluster {
        let of_cluster = Part::ALL.into_iter().filter(|part| part.is_of_cluster());
        options.parts.extend(of_cluster);
    }
    for part in [Part::Handlers, Part::Handlers2] {
        let variables = options.variables.entry(part).or_default();
        variables.extend(settings.variables.clone());
        options.arguments.insert(part, settings.arguments.clone());
    }
    let Some(stack) = stop.run_until_cancelled(DevStack::start(options)).await else {
        return Ok(None);
    };
    let stack = stack?;
    let applied = async {
        apply_declarations(about, &stack).await?;
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
async fn apply_declarations(about: &About, stack: &DevStack) -> anyhow::Result<()> {
    let endpoints = stack.endpoints();
    let settings = Settings {
        handlers: Some(stack.handlers_url()),
        force: true,
        prefix: about.name.to_owned(),
        cluster: about.name.to_owned(),
        ..Settings::default()
    };
    let plan = plan(about.topics, &endpoints, &settings).await?;
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
         console          {}\n\
         metrics          {}{postgres}",
        endpoints.kafka,
        endpoints.schema_registry,
        endpoints.restate_ingress,
        endpoints.restate_admin,
        endpoints.gateway.as_deref().unwrap_or("-"),
        endpoints.console.as_deref().unwrap_or("-"),
        endpoints.metrics
    )
}
