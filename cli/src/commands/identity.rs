//! `millstream identity`: a private key's public key.

use std::path::PathBuf;
use std::process::ExitCode;

use millstream_pipeline::identity::SigningKey;

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File of the private key (Ed25519, PKCS8, PEM)
    file: PathBuf,
    /// Make the key; the file must not exist
    #[arg(long)]
    create: bool,
}

pub async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let key = match arguments.create {
        true => SigningKey::create(&arguments.file)?,
        false => SigningKey::read(&arguments.file)?,
    };
    output::line(key.public());
    Ok(ExitCode::SUCCESS)
}
