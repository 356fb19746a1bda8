//! The stack that most tests share: `millstream dev` as a child, which ends with this process.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use millstream_devstack::END_WITH_STDIN;
use millstream_pipeline::config::Endpoints;

use super::BROKER;

/// Fetching Kafka and Restate may be part of it.
const START_LIMIT: Duration = Duration::from_secs(600);

struct Shared {
    endpoints: Endpoints,
    /// Its standard input closes when this process ends, however it ends.
    _dev: Child,
}

static SHARED: OnceLock<Shared> = OnceLock::new();

/// Where the shared stack is; starts it at the first call.
pub fn endpoints() -> &'static Endpoints {
    &SHARED.get_or_init(start).endpoints
}

/// Whether somebody has started it.
pub fn is_up() -> bool {
    SHARED.get().is_some()
}

/// Whether these are the shared stack's.
pub fn are_shared(endpoints: &Endpoints) -> bool {
    let shared = SHARED.get();
    shared.is_some_and(|shared| shared.endpoints.kafka == endpoints.kafka)
}

/// Where its `dev.json` is.
pub fn stack_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("shared-stack")
}

fn start() -> Shared {
    let folder = stack_folder();
    std::fs::create_dir_all(&folder).unwrap();
    let _ = std::fs::remove_file(folder.join("dev.json"));
    let mut dev = Command::new(env!("CARGO_BIN_EXE_millstream"))
        .args(["dev", "--fresh", "--other-ports", "--folder"])
        .arg(&folder)
        .env(END_WITH_STDIN, "1")
        .env(BROKER.0, BROKER.1)
        // Some tests look at the journals of finished invocations.
        .env("RESTATE_DEFAULT_JOURNAL_RETENTION", "1h")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    loop {
        if let Ok(Some(endpoints)) = Endpoints::read(&folder) {
            return Shared {
                endpoints,
                _dev: dev,
            };
        }
        if let Some(status) = dev.try_wait().unwrap() {
            panic!("`millstream dev` ended ({status}); its message is above");
        }
        assert!(
            started.elapsed() < START_LIMIT,
            "the stack did not start within {START_LIMIT:?}"
        );
        sleep(Duration::from_millis(50));
    }
}
