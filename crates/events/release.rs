//! Adds new and changed schemas to `schemas/history/`:
//! `cargo run -p millstream-events --example release`.

use std::process::ExitCode;

use millstream_codegen::Catalog;

fn main() -> ExitCode {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas");
    match Catalog::of_library().schemas(folder).release() {
        Ok(files) => {
            files.iter().for_each(|file| println!("{file}"));
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprintln!("{problems}");
            ExitCode::FAILURE
        }
    }
}
