//! The `millstream` command: the catalogue's application.

use std::process::ExitCode;

fn main() -> ExitCode {
    millstream_cli::application().main()
}
