//! `console`: a page that shows the installation.

use std::net::SocketAddr;
use std::process::ExitCode;

use millstream_console::Settings;

use super::declared::InstallationArgs;
use crate::access::AccessArgs;
use crate::application::About;
use crate::{output, shutdown};

/// Where `--help` lists what the page points to.
const LINKS: &str = "Other pages, as browsers find them";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    installation: InstallationArgs,
    /// Address that browsers connect to
    #[arg(
        long,
        default_value = "127.0.0.1:8087",
        env = "MILLSTREAM_CONSOLE_LISTEN",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    access: AccessArgs,
    /// The gateway, which sends the events that are made on the page (default: the running dev stack's)
    #[arg(long, env = "MILLSTREAM_GATEWAY", value_name = "URL")]
    gateway: Option<String>,
    /// Restate's own page
    #[arg(long, env = "MILLSTREAM_RESTATE_UI", value_name = "URL", help_heading = LINKS)]
    restate_ui: Option<String>,
    /// A trace, with `{trace_id}` for its id
    #[arg(long, env = "MILLSTREAM_TRACE_UI", value_name = "URL", help_heading = LINKS)]
    trace_ui: Option<String>,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    let endpoints = arguments.installation.endpoints.resolve()?;
    let access = arguments
        .access
        .settings("the console does not know who may see it")?;
    let settings = Settings {
        listen: arguments.listen,
        access,
        installation: arguments.installation.settings(),
        application: about.name,
        gateway: arguments.gateway.or_else(|| endpoints.gateway.clone()),
        restate_ui: arguments.restate_ui,
        trace_ui: arguments.trace_ui,
    };
    let stop = shutdown::on_signal()?;
    output::say(format!("console on http://{}", settings.listen));
    millstream_console::run(&endpoints, about.topics, settings, stop).await?;
    Ok(ExitCode::SUCCESS)
}
