//! `release`: the schemas as they are now become the next version of those that do not change again.

use std::process::ExitCode;

use super::check::{Arguments, told};
use crate::application::About;
use crate::output;

pub fn run(arguments: &Arguments, about: &About) -> anyhow::Result<ExitCode> {
    match arguments.catalog(about)?.release() {
        Ok(files) if files.is_empty() => {
            output::say("every schema is released as it is");
            Ok(ExitCode::SUCCESS)
        }
        Ok(files) => {
            output::line(files.join("\n"));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => Ok(told(&problems)),
    }
}
