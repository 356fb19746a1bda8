//! `new`: a project of somebody's own that works at once.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::output;
use crate::project::{self, Place, Source};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The project is a topic with a command and its result, a handler, a unit test and
one on a real Kafka and Restate, a Dockerfile and docker-compose.yml. Without --path, --git and
--version it takes the library from the sources that this program was built of.")]
pub struct Arguments {
    /// Its folder, such as ../shop, which must not be there; the last part is the project's name:
    /// lower-case letters, digits, - and _
    #[arg(value_name = "NAME", value_parser = project::Place::parse)]
    place: Place,
    /// Take the library from a checkout of Millstream's sources
    #[arg(long, value_name = "DIR", group = "source")]
    path: Option<PathBuf>,
    /// Take the library from a Git repository
    #[arg(long, value_name = "URL", group = "source")]
    git: Option<String>,
    /// Take this version of the library from the registry of crates
    #[arg(long, value_name = "VERSION", group = "source")]
    version: Option<String>,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let source = match (&arguments.path, &arguments.git, &arguments.version) {
        (Some(folder), _, _) => Source::checkout(folder)?,
        (_, Some(url), _) => Source::Git(url.clone()),
        (_, _, Some(version)) => Source::Version(version.clone()),
        (None, None, None) => Source::of_this_program()?,
    };
    let Place { folder, name } = &arguments.place;
    project::write(name, folder, &source)?;
    output::say(format!(
        "{name} is made, and works; its README.md tells what is where. Next:\n\n  \
         cd {}\n  cargo run -- demo\n  cargo test\n",
        folder.display()
    ));
    Ok(ExitCode::SUCCESS)
}
