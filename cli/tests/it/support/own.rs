//! A stack that belongs to one test, which may stop and kill its parts.

use std::collections::BTreeMap;
use std::ops::Deref;

use millstream_pipeline::declarations::{Settings, apply, plan};
use millstream_pipeline::dev_stack::{DevStack, Options, Part, Progress};
use millstream_topics::TOPICS;
use tempfile::TempDir;

/// A [`DevStack`] with the declarations applied, gone when it is dropped.
pub struct OwnStack {
    stack: DevStack,
    _folder: TempDir,
}

impl OwnStack {
    /// All parts, each with further variables.
    pub async fn start(variables: BTreeMap<Part, BTreeMap<String, String>>) -> Self {
        let own = Self::without_declarations(variables).await;
        own.apply().await;
        own
    }

    /// All parts, with nothing applied.
    pub async fn without_declarations(variables: BTreeMap<Part, BTreeMap<String, String>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stack = DevStack::start(Options {
            folder: folder.path().join("stack"),
            announce: false,
            usual_ports: false,
            variables,
            progress: Progress::silent(),
            ..Options::new(env!("CARGO_BIN_EXE_millstream"))
        })
        .await
        .unwrap();
        Self {
            stack,
            _folder: folder,
        }
    }

    /// Applies the declarations; the number of changes.
    pub async fn apply(&self) -> usize {
        let endpoints = self.stack.endpoints();
        let settings = Settings {
            handlers: Some(self.stack.handlers_url()),
            ..Settings::default()
        };
        let plan = plan(TOPICS, &endpoints, &settings).await.unwrap();
        apply(&plan, &endpoints, |_| {}).await.unwrap();
        plan.changes.len()
    }
}

impl Deref for OwnStack {
    type Target = DevStack;

    fn deref(&self) -> &DevStack {
        &self.stack
    }
}
