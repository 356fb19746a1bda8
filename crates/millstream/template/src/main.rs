//! The program `your-project`; `your-project --help` lists what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    your_project::application().main()
}
