//! A file that is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Pause between two looks at a file.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a file last said that could be read.
pub struct Watched<T> {
    path: PathBuf,
    load: Load<T>,
    /// With the bytes that it was made of.
    current: RwLock<(Vec<u8>, Arc<T>)>,
}

type Load<T> = Box<dyn Fn(&Path, std::io::Result<&[u8]>) -> Option<T> + Send + Sync>;

impl<T> Watched<T> {
    /// Reads the file with `load`, which gets what was read, or why it was not.
    pub fn read<E: std::error::Error>(
        path: PathBuf,
        load: impl Fn(&Path, std::io::Result<&[u8]>) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let read = std::fs::read(&path);
        let (bytes, value) = match read {
            Ok(bytes) => {
                let value = load(&path, Ok(&bytes))?;
                (bytes, value)
            }
            Err(error) => (Vec::new(), load(&path, Err(error))?),
        };
        let load = move |path: &Path, bytes: std::io::Result<&[u8]>| {
            let loaded = load(path, bytes);
            let explain =
                |error: &E| tracing::error!(%error, "what was read before stays in force");
            loaded.inspect_err(explain).ok()
        };
        Ok(Self {
            path,
            load: Box::new(load),
            current: RwLock::new((bytes, Arc::new(value))),
        })
    }

    /// What it says.
    pub fn get(&self) -> Arc<T> {
        let current = self.current.read();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner).1)
    }

    /// Reads it whenever it changes; never ends. What cannot be read changes nothing.
    pub async fn follow(&self) {
        let mut failed = None;
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let read = tokio::fs::read(&self.path).await;
            let same = |bytes: &[u8]| {
                let current = self.current.read();
                current.unwrap_or_else(PoisonError::into_inner).0 == bytes
            };
            // Each failure is told once.
            let failure = match &read {
                Ok(bytes) if same(bytes) => {
                    failed = None;
                    continue;
                }
                Ok(bytes) => Ok(bytes.clone()),
                Err(error) => Err(error.kind()),
            };
            if failed.as_ref() == Some(&failure) {
                continue;
            }
            let value = match &read {
                Ok(bytes) => (self.load)(&self.path, Ok(bytes)),
                Err(error) => (self.load)(&self.path, Err(error.kind().into())),
            };
            match (value, read) {
                (Some(value), Ok(bytes)) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = (bytes, Arc::new(value));
                    failed = None;
                    tracing::info!(file = %self.path.display(), "read again");
                }
                _ => failed = Some(failure),
            }
        }
    }
}
