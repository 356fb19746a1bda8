//! `keys`: API keys of the gateway.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use millstream_gateway::access::Scope;
use millstream_gateway::access::keys::{ApiKey, KeyFile, NewKey};
use millstream_pipeline::program;

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a key and print it, this one time
    Create(Create),
    /// Show all keys, without their secrets
    List(File),
    /// End a key; gateways that run take notice within seconds
    Revoke(Revoke),
}

#[derive(Debug, clap::Args)]
struct File {
    /// File of keys: their SHA-256 digests and what they allow
    #[arg(long = "keys", env = "MILLSTREAM_KEYS", value_name = "FILE")]
    path: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    file: File,
    /// Who is to have it
    principal: String,
    /// What it allows: a verb (send, read, operate, or * for the first two), a colon and a topic, in which * stands for any
    /// text; may be repeated
    #[arg(long = "scope", required = true, value_name = "VERB:TOPIC")]
    scopes: Vec<Scope>,
    /// Days after which it ends
    #[arg(long, default_value_t = 365, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// It does not end by itself
    #[arg(long, conflicts_with = "days")]
    no_expiry: bool,
    /// Requests a second, instead of the gateway's own limit; 0: as many as it likes
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Requests at once
    #[arg(long, value_name = "N")]
    burst: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct Revoke {
    #[command(flatten)]
    file: File,
    /// Id of the key: its middle part
    id: String,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    match arguments.verb {
        Verb::Create(create) => {
            let days = SignedDuration::from_hours(24 * i64::from(create.days));
            let end = now.checked_add(days).context("the time is too far away")?;
            let new = NewKey {
                principal: create.principal,
                scopes: create.scopes,
                expires_at: (!create.no_expiry).then_some(end),
                rate: create.rate,
                burst: create.burst,
            };
            let text = KeyFile::change(&create.file.path, |file| file.create(new, now))?;
            output::say("keep this key; it is not shown again:");
            output::line(text);
        }
        Verb::List(file) => {
            anyhow::ensure!(
                file.path.exists(),
                "there is no file {}; `{} keys create` makes it",
                file.path.display(),
                program::name()
            );
            let keys = KeyFile::read(&file.path)?.keys;
            output::table(
                "Keys",
                &["id", "principal", "state", "scopes", "created", "expires"],
                &[],
                keys.iter().map(|key| row(key, now)).collect(),
            );
        }
        Verb::Revoke(revoke) => {
            KeyFile::change(&revoke.file.path, |file| file.revoke(&revoke.id, now))?;
            output::say(format!("key {} is revoked", revoke.id));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(key: &ApiKey, now: Timestamp) -> Vec<String> {
    let state = match key {
        key if key.revoked_at.is_some() => "revoked",
        key if !key.is_live(now) => "expired",
        _ => "live",
    };
    let scopes: Vec<String> = key.scopes.iter().map(Scope::to_string).collect();
    let date = |time: Timestamp| time.strftime("%Y-%m-%d").to_string();
    vec![
        key.id.clone(),
        key.principal.clone(),
        state.to_owned(),
        scopes.join(" "),
        date(key.created_at),
        key.expires_at.map_or_else(|| "never".into(), date),
    ]
}
