//! `identity`: a private key's public key.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use millstream_devstack::{Key, Keys};
use millstream_gateway::access::keys::KeyFile;
use millstream_pipeline::identity::SigningKey;

use crate::application::About;
use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File of the private key (Ed25519, PKCS8, PEM)
    #[arg(required_unless_present = "all")]
    file: Option<PathBuf>,
    /// Make the key; the file must not exist
    #[arg(long)]
    create: bool,
    /// Make what is missing of an installation's keys: in FOLDER/keys those of Restate, the gateway
    /// and the handlers, each with its public key beside it, and a secret for each topic that takes
    /// webhooks; and FOLDER/api-keys.json without keys
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["file", "create"])]
    all: Option<PathBuf>,
}

pub async fn run(arguments: Arguments, about: &About) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &arguments.all {
        make_all(folder, about)?;
    }
    if let Some(file) = &arguments.file {
        let key = match arguments.create {
            true => SigningKey::create(file)?,
            false => SigningKey::read(file)?,
        };
        output::line(key.public());
    }
    Ok(ExitCode::SUCCESS)
}

fn make_all(folder: &Path, about: &About) -> anyhow::Result<()> {
    let Keys {
        restate,
        gateway,
        handlers,
        webhooks,
    } = Keys::open(folder, about.topics)?;
    for Key { path, public } in [restate, gateway, handlers] {
        let path = path.with_extension("pub");
        std::fs::write(&path, format!("{public}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
        output::line(path.display());
    }
    if let Some(webhooks) = webhooks {
        output::line(webhooks.display());
    }
    // The gateway wants its file of keys to be there: a wrong path must not look like no keys.
    let api_keys = folder.join("api-keys.json");
    if !api_keys.exists() {
        KeyFile::change(&api_keys, |_| Ok(()))?;
    }
    output::line(api_keys.display());
    Ok(())
}
