//! `state`: what objects keep, in either lane.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use millstream_control::states;

use crate::application::About;
use crate::output;
use millstream_control::EndpointArgs;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the state of one object as JSON
    Get {
        /// Service, such as UsageMeter
        service: String,
        /// Key of the object
        key: String,
        #[command(flatten)]
        endpoints: EndpointArgs,
    },
    /// Print key and state of all objects of a service, one JSON object a line
    List {
        /// Service, such as UsageMeter
        service: String,
        #[command(flatten)]
        endpoints: EndpointArgs,
    },
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    match arguments.verb {
        Verb::Get {
            service,
            key,
            endpoints,
        } => {
            let endpoints = endpoints.resolve()?;
            let found = states(about.topics, &endpoints, &service, Some(&key)).await?;
            let found = found.into_iter().next();
            let found = found.with_context(|| {
                format!(
                    "{service} has no object {key}; `state list {service}` prints those that it has"
                )
            })?;
            output::json(&found.state)?;
        }
        Verb::List { service, endpoints } => {
            let endpoints = endpoints.resolve()?;
            for state in states(about.topics, &endpoints, &service, None).await? {
                if !output::json_line(&state)? {
                    break;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
