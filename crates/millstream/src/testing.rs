//! A real Kafka, Restate, schema registry, the project's handlers and its gateway, for tests. No
//! Docker is needed.
//!
//! ```no_run
//! # mod shop { pub static TOPICS: &[&millstream::pipeline::events::Declaration] = &[]; }
//! # const BINARY: &str = "target/debug/shop";
//! use millstream::testing::Stack;
//!
//! # async fn test() -> Result<(), Box<dyn std::error::Error>> {
//! let stack = Stack::shared(BINARY)?; // env!("CARGO_BIN_EXE_shop") in a file of tests/
//! let client = stack.client(shop::TOPICS).await?;
//! // client.request::<Orders>(&unique("order"), PlaceOrder { .. }, LIMIT).await?
//! # Ok(())
//! # }
//! ```
//!
//! What a stack guarantees: it is `dev` of the project's own program, so the handlers are processes
//! as in earnest and everything declared is applied; it has a folder and ports of its own, and begins
//! without data; it ends with the [`Stack`] that is dropped and with this process, however that ends.
//! The first start of all gets Kafka and Restate, as `dev` does.
//!
//! Its folder is `test-stacks` beside the program, in `target/`. Logs stay there until the next start.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[cfg(feature = "containers")]
pub use millstream_containers as containers;
use millstream_devstack::{END_WITH_STDIN, Lock};
pub use millstream_pipeline::client::{Client, ClientError};
use millstream_pipeline::config::ConfigError;
pub use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Declaration;
pub use millstream_pipeline::events::{EventMeta, RequestFailed};
pub use millstream_pipeline::kafka::reader::Seen;

/// How long a start may take. Getting Kafka and Restate may be part of it.
const START_LIMIT: Duration = Duration::from_secs(600);
/// How often it is looked for what is awaited.
const PAUSE: Duration = Duration::from_millis(50);
/// More stacks of one program than this run nowhere at the same time.
const FOLDERS: usize = 32;

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program cannot be run.
    #[error("cannot run {binary}: {source}; is it env!(\"CARGO_BIN_EXE_...\") of this package?")]
    Run {
        /// The program.
        binary: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before the stack was up. What it had to say is on standard error.
    #[error(
        "`dev` ended before the stack was up ({status}): its message is above, its logs are in {folder}"
    )]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// Folder of the logs.
        folder: PathBuf,
    },
    /// It was not up in time.
    #[error("the stack was not up within {seconds} s; its logs are in {folder}")]
    TimedOut {
        /// How long was waited.
        seconds: u64,
        /// Folder of the logs.
        folder: PathBuf,
    },
    /// No folder can be had for it.
    #[error("cannot make a folder for the stack at {path}: {source}")]
    Folder {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The addresses that it wrote down cannot be read.
    #[error(transparent)]
    Addresses(#[from] ConfigError),
}

/// A stack that runs, with everything declared applied. Dropping it stops it and waits until it has
/// ended.
#[derive(Debug)]
pub struct Stack {
    endpoints: Endpoints,
    folder: PathBuf,
    dev: Child,
    _taken: Lock,
}

impl Stack {
    /// The stack that all tests of this process share; the first call starts it, and blocks until it
    /// answers. It ends with the process. Tests that share it have keys of their own ([`unique`]).
    pub fn shared(binary: impl AsRef<Path>) -> Result<&'static Self, &'static Error> {
        static SHARED: OnceLock<Result<Stack, Error>> = OnceLock::new();
        let start = || Self::start(binary, std::iter::empty::<&OsStr>());
        SHARED.get_or_init(start).as_ref()
    }

    /// A stack of one test's own, which may stop it. `arguments` are further ones of `dev`, such as
    /// settings of the handlers. Blocks until it answers.
    pub fn start(
        binary: impl AsRef<Path>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self, Error> {
        let binary = binary.as_ref();
        let (folder, taken) = free_folder(binary)?;
        let dev = Command::new(binary)
            .args(["dev", "--fresh", "--other-ports", "--folder"])
            .arg(&folder)
            .args(arguments)
            .env(END_WITH_STDIN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| Error::Run {
                binary: binary.to_owned(),
                source,
            })?;
        let mut stack = Self {
            endpoints: Endpoints::default(),
            folder,
            dev,
            _taken: taken,
        };
        // From here on dropping it stops what was started.
        stack.endpoints = stack.up()?;
        Ok(stack)
    }

    fn up(&mut self) -> Result<Endpoints, Error> {
        let started = Instant::now();
        loop {
            if let Some(endpoints) = Endpoints::read(&self.folder)? {
                return Ok(endpoints);
            }
            let folder = self.folder.join("logs");
            if let Ok(Some(status)) = self.dev.try_wait() {
                return Err(Error::Ended { status, folder });
            }
            if started.elapsed() > START_LIMIT {
                let seconds = START_LIMIT.as_secs();
                return Err(Error::TimedOut { seconds, folder });
            }
            sleep(PAUSE);
        }
    }

    /// Where the parts are.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// URL of the gateway. It serves everybody.
    pub fn gateway(&self) -> &str {
        self.endpoints.gateway.as_deref().unwrap_or_default()
    }

    /// Folder of the stack: `logs/` has one file for each part.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sends events of these topics, and sees from now on what comes of them: results, dead letters,
    /// and events that are meant for somebody outside. It belongs to the runtime of the test.
    pub async fn client(&self, topics: &[&'static Declaration]) -> Result<Client, ClientError> {
        Client::new(&self.endpoints, topics, "test").await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // It ends when its standard input does, and takes its parts along.
        drop(self.dev.stdin.take());
        let _ = self.dev.wait();
    }
}

/// A name that no other test and no earlier run has used.
pub fn unique(name: &str) -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("{name}-{}", &id[id.len() - 12..])
}

/// A folder beside the program that no stack uses now, and what takes it for as long as it is kept.
/// Folders are used again, so that they do not become ever more.
fn free_folder(binary: &Path) -> Result<(PathBuf, Lock), Error> {
    let name = binary.file_name().unwrap_or(OsStr::new("stack"));
    let folders = binary.with_file_name("test-stacks");
    for number in 1..=FOLDERS {
        let mut name = name.to_owned();
        name.push(format!("-{number}"));
        let folder = folders.join(name);
        match take(&folder) {
            Ok(Some(taken)) => return Ok((folder, taken)),
            Ok(None) => {}
            Err(source) => {
                let path = folder;
                return Err(Error::Folder { path, source });
            }
        }
    }
    let source = std::io::Error::other(format!("{FOLDERS} stacks run already"));
    let path = folders;
    Err(Error::Folder { path, source })
}

/// `None`: another test has it, or its last stack has not ended yet.
fn take(folder: &Path) -> std::io::Result<Option<Lock>> {
    std::fs::create_dir_all(folder)?;
    let Some(taken) = Lock::take(&folder.join("taken"))? else {
        return Ok(None);
    };
    // The second is the stack's own, which it holds until everything has ended.
    if Lock::take(&folder.join("lock"))?.is_none() {
        return Ok(None);
    }
    // What the last stack there said of itself is not the next one's.
    match std::fs::remove_file(folder.join("dev.json")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(Some(taken)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn each_stack_has_a_folder_of_its_own_and_leaves_it_to_the_next() {
        let target = tempfile::tempdir().unwrap();
        let binary = target.path().join("shop");
        let (first, taken) = free_folder(&binary).unwrap();
        let (second, _taken) = free_folder(&binary).unwrap();
        assert_ne!(first, second);
        drop(taken);
        assert_eq!(free_folder(&binary).unwrap().0, first);
        // A stack that has not ended yet, though its test has.
        let lock = File::create(first.join("lock")).unwrap();
        lock.lock().unwrap();
        let (third, _taken) = free_folder(&binary).unwrap();
        assert!(third != first && third != second);
    }

    #[test]
    fn what_is_no_program_and_what_ends_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let nothing: [&str; 0] = [];
        let missing = Stack::start(folder.path().join("shop"), nothing).unwrap_err();
        assert!(matches!(missing, Error::Run { .. }), "{missing}");
        let program = folder.path().join("shop");
        std::os::unix::fs::symlink("/bin/false", &program).unwrap();
        let ended = Stack::start(&program, nothing).unwrap_err();
        assert!(ended.to_string().contains("test-stacks"), "{ended}");
    }
}
