//! `dev`: a whole installation on this machine, until Ctrl-C. A part that dies is brought
//! back.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use millstream_devstack::Progress;

use crate::application::About;
use crate::settings::Passed;
use crate::stack::{self, StackArgs, With};
use crate::{output, shutdown};

#[derive(clap::Args)]
#[group(skip)]
pub struct Arguments<S: Args> {
    #[command(flatten)]
    stack: StackArgs,
    /// Only get Kafka, Restate and Postgres, where they are missing, and print their folders, or with
    /// `--with docker` their images
    #[arg(long)]
    fetch_only: bool,
    /// Program that serves the registry and the handlers
    #[arg(long, hide = true)]
    binary: Option<PathBuf>,
    #[command(flatten)]
    settings: Passed<S>,
}

pub async fn run<S: Args>(arguments: Arguments<S>, about: &About) -> anyhow::Result<ExitCode> {
    if arguments.fetch_only {
        let progress = Progress::stderr();
        if arguments.stack.with == Some(With::Docker) {
            for image in millstream_devstack::fetch_images(&progress).await? {
                output::line(image);
            }
            return Ok(ExitCode::SUCCESS);
        }
        for folder in millstream_devstack::fetch_all(&progress).await? {
            output::line(folder.display());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let stop = shutdown::on_signal()?;
    let start = stack::start(
        about,
        &arguments.stack,
        arguments.binary,
        &arguments.settings,
        &stop,
    );
    let Some(stack) = start.await? else {
        return Ok(ExitCode::SUCCESS);
    };
    output::line(stack::describe(&stack.endpoints()));
    output::say("ready; Ctrl-C stops it");
    tokio::select! {
        () = stop.cancelled() => {}
        never = stack.keep_up(output::say) => match never {},
    }
    output::say("stopping");
    stack.stop().await;
    Ok(ExitCode::SUCCESS)
}
