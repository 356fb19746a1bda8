//! `millstream dev`: a whole installation on this machine, until Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;

use millstream_pipeline::dev_stack::{self, Progress};

use crate::stack::{self, StackArgs};
use crate::{output, shutdown};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    stack: StackArgs,
    /// Only get Kafka, Restate and Postgres, where they are missing, and print their folders
    #[arg(long)]
    fetch_only: bool,
    /// Program that serves the registry and the handlers
    #[arg(long, hide = true)]
    binary: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.fetch_only {
        for folder in dev_stack::fetch_all(&Progress::stderr()).await? {
            output::line(folder.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stop = shutdown::on_signal()?;
    let Some(stack) = stack::start(&arguments.stack, arguments.binary, &stop).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    output::line(stack::describe(&stack.endpoints()));
    output::say("ready; Ctrl-C stops it");
    loop {
        let death = tokio::select! {
            () = stop.cancelled() => break,
            death = stack.wait() => death,
        };
        if !arguments.stack.cluster {
            stack.stop().await;
            anyhow::bail!("{death}");
        }
        // One of each kind may be away; the others go on meanwhile.
        output::say(format!(
            "{} ended ({}); starting it again",
            death.part, death.status
        ));
        if let Err(error) = stack.start_part(death.part).await {
            stack.stop().await;
            return Err(error.into());
        }
    }
    output::say("stopping");
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}
