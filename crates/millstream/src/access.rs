//! Who may use a part that serves people or their programs: the gateway and the console.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;
use millstream_gateway::access::{AccessSettings, JwksSource, Limit, TokenSettings};
use millstream_pipeline::program;

/// Where `--help` lists who may use it.
pub const HEADING: &str = "Access (keys, tokens or both are needed)";
/// Where `--help` lists the limits.
pub const LIMITS: &str = "Limits";

/// API keys and tokens.
#[derive(Debug, Args)]
#[group(skip)]
pub struct AccessArgs {
    /// API keys, as `millstream keys` writes them; read again when they change
    #[arg(long, env = "MILLSTREAM_KEYS", value_name = "FILE", help_heading = HEADING)]
    keys: Option<PathBuf>,
    /// Keys that tokens (JWT) are signed with: an address, or a file
    #[arg(long, env = "MILLSTREAM_JWKS", value_name = "URL|FILE", requires_all = ["audience", "issuer"], help_heading = HEADING)]
    jwks: Option<String>,
    /// What the `aud` of tokens must name
    #[arg(long, env = "MILLSTREAM_AUDIENCE", value_name = "TEXT", help_heading = HEADING)]
    audience: Option<String>,
    /// What the `iss` of tokens must be
    #[arg(long, env = "MILLSTREAM_ISSUER", value_name = "TEXT", help_heading = HEADING)]
    issuer: Option<String>,
    /// The claim of tokens that holds their scopes [default: scope, or else scp]
    #[arg(long, env = "MILLSTREAM_SCOPE_CLAIM", value_name = "NAME", help_heading = HEADING)]
    scope_claim: Option<String>,
    /// Serve without asking who it is: for development alone
    #[arg(long, env = "MILLSTREAM_INSECURE_DEV", conflicts_with_all = ["keys", "jwks"], help_heading = HEADING)]
    insecure_dev: bool,
    /// Requests a second of one key, unless the key says otherwise; 0: as many as it likes
    #[arg(long, default_value_t = Limit::default().rate, value_name = "N", help_heading = LIMITS)]
    rate: u32,
    /// Requests of one key at once
    #[arg(long, default_value_t = Limit::default().burst, value_name = "N", help_heading = LIMITS)]
    burst: u32,
}

impl AccessArgs {
    /// Who may use it. Where nothing is said that is nobody, which `unknown` complains of.
    pub fn settings(&self, unknown: &str) -> anyhow::Result<AccessSettings> {
        ensure!(
            self.insecure_dev || self.keys.is_some() || self.jwks.is_some(),
            "{unknown}: give it --keys (see `{} keys create`) or --jwks; --insecure-dev serves everybody",
            program::name()
        );
        let tokens = match (&self.jwks, &self.audience, &self.issuer) {
            (Some(jwks), Some(audience), Some(issuer)) => Some(TokenSettings {
                jwks: match jwks.starts_with("http://") || jwks.starts_with("https://") {
                    true => JwksSource::Url(jwks.clone()),
                    false => JwksSource::File(jwks.into()),
                },
                audience: audience.clone(),
                issuer: issuer.clone(),
                scope_claim: self.scope_claim.clone(),
            }),
            _ => None,
        };
        Ok(AccessSettings {
            open: self.insecure_dev,
            keys: self.keys.clone(),
            tokens,
            limit: Limit {
                rate: self.rate,
                burst: self.burst,
            },
        })
    }
}
