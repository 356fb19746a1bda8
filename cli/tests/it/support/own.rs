//! A stack that belongs to one test, which may stop and kill its parts.

use std::collections::BTreeMap;
use std::ops::Deref;

use millstream_pipeline::declarations::{Settings, apply, plan};
use millstream_pipeline::dev_stack::{DevStack, Options, Part, Progress};
use millstream_topics::TOPICS;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Its stacks do not fit beside each other on a small machine.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Waits until no test has a stack of its own.
pub async fn own_stack_permit() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// A [`DevStack`] with the declarations applied, gone when it is dropped.
pub struct OwnStack {
    stack: DevStack,
    _folder: TempDir,
    _permit: MutexGuard<'static, ()>,
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
        let permit = own_stack_permit().await;
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
            _permit: permit,
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
