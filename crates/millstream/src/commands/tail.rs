//! `tail`: the events of topics as JSON lines.

use std::process::ExitCode;

use anyhow::Context;
use millstream_pipeline::codec::Codec;
use millstream_pipeline::kafka::reader::{From, Next, Reader};
use millstream_pipeline::{kafka, program};

use super::explained;
use crate::application::About;
use crate::{output, shutdown};
use millstream_control::EndpointArgs;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Topics to read
    #[arg(required = true)]
    topics: Vec<String>,
    /// Begin with the oldest record instead of the next
    #[arg(long)]
    from_beginning: bool,
    /// Stop at the end of the topics instead of waiting for more
    #[arg(long)]
    until_end: bool,
    /// Stop after this many events
    #[arg(long, value_name = "NUMBER")]
    count: Option<usize>,
    /// Print only events with this key
    #[arg(long)]
    key: Option<String>,
    /// Print only events of this type, by full name or its last part
    #[arg(long = "type", value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    endpoints: EndpointArgs,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    if arguments.until_end && arguments.topics.len() > 1 {
        anyhow::bail!("--until-end works with one topic; name only one");
    }
    let endpoints = arguments.endpoints.resolve()?;
    let codec = Codec::new(&endpoints.schema_registry, about.topics)?;
    let from = if arguments.from_beginning {
        From::Beginning
    } else {
        From::End
    };
    let reader = Reader::new(kafka::client(&endpoints.kafka), &arguments.topics, from).await;
    let reader = explained(reader, &endpoints.kafka).await;
    let mut reader = reader.with_context(|| {
        format!(
            "cannot read {}; `{} status` lists the topics",
            arguments.topics.join(", "),
            program::name()
        )
    })?;
    let stop = shutdown::on_signal()?;
    let mut left = arguments.count.unwrap_or(usize::MAX);
    while left > 0 {
        let Some(next) = stop.run_until_cancelled(reader.next(&codec)).await else {
            break;
        };
        let seen = match next? {
            Next::Record(seen) => seen,
            Next::End if arguments.until_end => break,
            Next::End => continue,
        };
        let named = |name: &String| {
            let full_name = seen.full_name.as_deref().unwrap_or_default();
            full_name == name || full_name.rsplit('.').next() == Some(name)
        };
        let wanted = arguments
            .key
            .as_ref()
            .is_none_or(|key| seen.key.as_ref() == Some(key))
            && arguments.name.as_ref().is_none_or(named);
        if wanted {
            left -= 1;
            if !output::json_line(&seen)? {
                break;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
