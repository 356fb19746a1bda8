//! What has ended a process or held up others before; it is run first.

use anyhow::Context;
use serde::Deserialize;

/// A schema and a body.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// What it did.
    pub name: String,
    /// The writer's schema.
    pub schema: serde_json::Value,
    /// In hexadecimal; `02*400` is a byte so often.
    body: String,
}

impl Case {
    /// The body's bytes.
    pub fn body(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for word in self.body.split_whitespace() {
            let (hex, count) = word.split_once('*').unwrap_or((word, "1"));
            let part: Result<Vec<u8>, _> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16))
                .collect();
            bytes.extend(
                part.with_context(|| self.name.clone())?
                    .repeat(count.parse()?),
            );
        }
        Ok(bytes)
    }
}

/// All of them.
pub fn corpus() -> anyhow::Result<Vec<Case>> {
    serde_json::from_str(include_str!("corpus.json")).context("the corpus")
}
