//! Adds new and changed schemas to `history/`: `cargo run -p millstream-schemas --example release`.

use std::process::ExitCode;

use millstream_codegen::Catalog;

fn main() -> ExitCode {
    match Catalog::new().schemas(env!("CARGO_MANIFEST_DIR")).release() {
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
