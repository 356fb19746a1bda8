//! Stacks whose parts a test may stop and kill. A stack that its test leaves as it was serves the next
//! such test, so only a few are ever started.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use millstream_control::{Settings, apply, plan};
use millstream_devstack::{Death, DevStack, DevStackError, Options, Part, Progress};
use millstream_pipeline::config::Endpoints;
use millstream_topics::TOPICS;
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{BROKER, RUNTIME, shared};

/// How long the processors are looked at, and what share of them is much.
const LOOK: Duration = Duration::from_secs(10);
const IDLE: f64 = 0.3;

/// More of them do not fit beside each other on a small machine, and beside the other tests.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
static POOL: Mutex<Pool> = Mutex::new(Pool {
    waiting: 0,
    idle: Vec::new(),
});
/// Parts that a test may have run with variables of its own, in the order in which they are started.
const CONFIGURABLE: [Part; 3] = [Part::Restate, Part::Handlers, Part::Gateway];

/// Stacks that run and that no test has: never more than tests wait for one, since nothing would stop
/// them when this process ends.
struct Pool {
    waiting: usize,
    idle: Vec<Running>,
}

/// Variables of parts beside those that every stack has.
pub type Variables = BTreeMap<Part, BTreeMap<String, String>>;

/// Waits until there is room for one more stack: for a third one, too, once most other tests are done and
/// leave the processors idle.
pub async fn own_stack_permit() -> OwnedSemaphorePermit {
    static THIRD: Once = Once::new();
    let mut permit = pin!(Arc::clone(&AT_ONCE).acquire_owned());
    let mut calm = 0;
    loop {
        let (is_under_way, before) = (shared::is_up(), processor_times());
        if let Ok(permit) = timeout(LOOK, &mut permit).await {
            return permit.unwrap();
        }
        calm = match is_under_way && idle_share(before, processor_times()) > IDLE {
            true => calm + 1,
            false => 0,
        };
        if calm == 2 {
            THIRD.call_once(|| AT_ONCE.add_permits(1));
        }
    }
}

/// What the processors were idle for, and all of their time.
fn processor_times() -> [u64; 2] {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = stat.lines().next().unwrap_or_default();
    let times = all
        .split_whitespace()
        .skip(1)
        // What guests take is in there already.
        .take(8)
        .flat_map(str::parse::<u64>)
        .collect::<Vec<_>>();
    [times.get(3).copied().unwrap_or(0), times.iter().sum()]
}

fn idle_share(before: [u64; 2], after: [u64; 2]) -> f64 {
    let [idle, all] = [0, 1].map(|at| after[at].saturating_sub(before[at]) as f64);
    idle / all.max(1.0)
}

/// A stack with its folder, which goes with it.
struct Running {
    stack: Arc<DevStack>,
    variables: Variables,
    _folder: TempDir,
}

/// A [`DevStack`] with the declarations applied. When it is dropped, another test may get it.
pub struct OwnStack {
    running: Option<Running>,
    _permit: OwnedSemaphorePermit,
}

impl OwnStack {
    /// All parts, each with further variables.
    pub async fn start(variables: Variables) -> Self {
        pool().waiting += 1;
        let permit = own_stack_permit().await;
        let idle = {
            let mut pool = pool();
            pool.waiting -= 1;
            pool.idle.pop()
        };
        let running = match idle {
            Some(running) => running,
            None => Running::start().await,
        };
        let own = Self {
            running: Some(running.with(variables).await),
            _permit: permit,
        };
        own.apply().await;
        own
    }

    fn stack(&self) -> &Arc<DevStack> {
        &self.running.as_ref().unwrap().stack
    }

    /// Applies the declarations; the number of changes.
    pub async fn apply(&self) -> usize {
        let endpoints = self.endpoints();
        let settings = Settings {
            handlers: Some(self.handlers_url()),
            ..Settings::default()
        };
        let plan = plan(TOPICS, &endpoints, &settings).await.unwrap();
        apply(&plan, &endpoints, |_| {}).await.unwrap();
        plan.changes.len()
    }

    pub fn endpoints(&self) -> Endpoints {
        self.stack().endpoints()
    }

    pub fn folder(&self) -> &Path {
        self.stack().folder()
    }

    pub fn handlers_url(&self) -> String {
        self.stack().handlers_url()
    }

    pub async fn gateway_is_ready(&self) -> bool {
        self.stack().gateway_is_ready().await
    }

    /// Resolves when a part ends that was not asked to.
    pub async fn wait(&self) -> Death {
        self.stack().wait().await
    }

    pub async fn start_part(&self, part: Part) -> Result<(), DevStackError> {
        on_runtime(self.stack(), move |stack| async move {
            stack.start_part(part).await
        })
        .await
    }

    pub async fn stop_part(&self, part: Part) -> Result<(), DevStackError> {
        on_runtime(self.stack(), move |stack| async move {
            stack.stop_part(part).await
        })
        .await
    }

    pub async fn kill_part(&self, part: Part) -> Result<(), DevStackError> {
        on_runtime(self.stack(), move |stack| async move {
            stack.kill_part(part).await
        })
        .await
    }

    pub async fn restart(&self, part: Part) -> Result<(), DevStackError> {
        self.stop_part(part).await?;
        self.start_part(part).await
    }
}

impl Drop for OwnStack {
    fn drop(&mut self) {
        // What failed may have left anything behind.
        let usable = self.running.take().filter(|_| !std::thread::panicking());
        let mut pool = pool();
        if pool.idle.len() < pool.waiting {
            pool.idle.extend(usable);
        }
    }
}

impl Running {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = [(BROKER.0.to_owned(), BROKER.1.to_owned())];
        let options = Options {
            variables: [(Part::Kafka, broker.into())].into(),
            folder: folder.path().join("stack"),
            announce: false,
            usual_ports: false,
            progress: Progress::silent(),
            ..millstream_cli::application().dev_options(env!("CARGO_BIN_EXE_millstream"))
        };
        let stack = RUNTIME.spawn(DevStack::start(options)).await.unwrap();
        Self {
            stack: Arc::new(stack.unwrap()),
            variables: Variables::new(),
            _folder: folder,
        }
    }

    /// The same stack with these variables instead of those that it has; everything runs then.
    async fn with(self, variables: Variables) -> Self {
        let (had, wanted) = (self.variables.clone(), variables.clone());
        let started = on_runtime(&self.stack, move |stack| async move {
            for part in Part::ALL.into_iter().filter(|part| !part.is_of_cluster()) {
                if CONFIGURABLE.contains(&part) && had.get(&part) != wanted.get(&part) {
                    let variables = wanted.get(&part).cloned().unwrap_or_default();
                    stack.restart_with(part, variables).await?;
                } else if part != Part::Guard {
                    stack.start_part(part).await?;
                }
            }
            Ok(())
        });
        started.await.unwrap();
        Self { variables, ..self }
    }
}

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Processes belong to the runtime on which they were started, and a test's ends with it.
async fn on_runtime<F: Future<Output = Result<(), DevStackError>> + Send + 'static>(
    stack: &Arc<DevStack>,
    act: impl FnOnce(Arc<DevStack>) -> F,
) -> Result<(), DevStackError> {
    RUNTIME.spawn(act(Arc::clone(stack))).await.unwrap()
}
