//! `check`: what is wrong with schemas and topics, without building anything.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use millstream_codegen::{Catalog, Problems};

use crate::application::About;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the schemas; `history` in it has those that were released
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    schemas: PathBuf,
    /// Folder of the topics
    #[arg(long, value_name = "DIR", default_value = "topics")]
    topics: PathBuf,
}

impl Arguments {
    /// The files in these folders.
    pub(super) fn catalog(&self, about: &About) -> anyhow::Result<Catalog> {
        for (folder, option) in [(&self.schemas, "--schemas"), (&self.topics, "--topics")] {
            ensure!(
                folder.is_dir(),
                "there is no folder {}; run this in the folder of the project, or name another with \
                 {option}",
                folder.display()
            );
        }
        Ok(Catalog::new()
            .schemas(&self.schemas)
            .topics(&self.topics)
            .released_by(format!("{} release", about.name)))
    }
}

pub fn run(arguments: &Arguments, about: &About) -> anyhow::Result<ExitCode> {
    match arguments.catalog(about)?.check() {
        Ok(()) => {
            output::say("schemas and topics are right, and every schema is released");
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => Ok(told(&problems)),
    }
}

/// Each problem on a line of its own.
pub(super) fn told(problems: &Problems) -> ExitCode {
    output::line(problems.to_string().trim_end());
    ExitCode::FAILURE
}
