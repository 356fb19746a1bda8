//! The console: one page that shows an installation, and a JSON API under it.
//!
//! The page is plain modules, kept in the program ([`assets`]); nothing comes from another host. The
//! API is for the page alone. It asks Kafka, Restate and the registry when it is asked, and keeps
//! nothing but the last figures. What it changes are dead letters, and events that it hands to the
//! gateway: both need a key that may operate.
//!
//! - [`server`]: who may see it, and what every response carries.
//! - [`flow`], [`live`]: what is declared, and how it moves.
//! - [`journeys`]: what came of a request.
//! - [`letters`], [`guide`]: dead letters, and what to do about each code.
//! - [`topics`], [`browse`], [`held`], [`send`]: records of topics, and new ones.
//! - [`objects`], [`timers`]: what Restate holds.
//! - [`shown`]: everything that is shown has an end.

mod answer;
mod assets;
mod browse;
mod flow;
mod guide;
mod held;
mod journeys;
mod letters;
mod live;
mod objects;
mod send;
mod server;
mod shown;
mod timers;
mod topics;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use browse::{Browser, Turn};
use millstream_control::Live;
use millstream_control::dead_letters::{DeadLetters, DeadLettersError};
use millstream_control::restate::Restate;
use millstream_follow::Roles;
use millstream_gateway::access::{Access, AccessError, AccessSettings};
use millstream_gateway::serve_connections;
use millstream_pipeline::codec::RegistryError;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::Declaration;
use millstream_pipeline::serve::{self, ListenError};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

/// How a console is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where browsers connect.
    pub listen: SocketAddr,
    /// Who may use it.
    pub access: AccessSettings,
    /// Whose installation it is: prefix of groups, name of the Kafka cluster.
    pub installation: millstream_control::Settings,
    /// What the page calls the application.
    pub application: &'static str,
    /// URL of the gateway that takes events; `None`: none can be sent.
    pub gateway: Option<String>,
    /// Where browsers find Restate's own page.
    pub restate_ui: Option<String>,
    /// Where browsers find a trace: a URL with `{trace_id}`.
    pub trace_ui: Option<String>,
}

/// Why a console does not run.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Keys or tokens cannot be checked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The address of the registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Dead letters cannot be dealt with.
    #[error(transparent)]
    DeadLetters(#[from] DeadLettersError),
    /// An address cannot be used.
    #[error(transparent)]
    Declarations(#[from] millstream_control::Error),
    /// The client that asks the gateway cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Reads of topics at the same time. Each holds a page's worth of records.
const READS: usize = 4;

/// Pages that follow a topic at the same time. Each holds a client of Kafka's.
const TAILS: usize = 50;

/// What all requests share.
struct Console {
    settings: Settings,
    endpoints: Endpoints,
    declarations: Vec<&'static Declaration>,
    /// Names of all topics that belong to the declarations, with what each is.
    topics: BTreeMap<String, topics::Role>,
    access: Access,
    /// Whose keys are shown to nobody.
    roles: Arc<Roles>,
    browser: Browser,
    restate: Restate,
    letters: DeadLetters,
    /// One change of dead letters at a time: each would shut the other out.
    changing: Mutex<()>,
    live: live::Watched,
    reads: Arc<Semaphore>,
    tails: Arc<Semaphore>,
    http: reqwest::Client,
    stop: CancellationToken,
}

impl Console {
    /// Waits for a turn to read a topic, in a request that ends after `limit`.
    async fn turn(&self, limit: Duration) -> Turn {
        // A moment later: the request is to say itself that it took too long.
        let until = Instant::now() + limit + Duration::from_secs(1);
        let permit = Arc::clone(&self.reads).acquire_owned().await;
        // It is never closed.
        Turn::new(until, permit.ok())
    }
}

/// Serves the page until `stop`. Kafka, Restate and the registry may be away: the page says so.
pub async fn run(
    endpoints: &Endpoints,
    declarations: &[&'static Declaration],
    settings: Settings,
    stop: CancellationToken,
) -> Result<(), ConsoleError> {
    let figures = Live::new(declarations, endpoints, &settings.installation)?;
    let roles = Arc::new(Roles::of(declarations));
    let console = Arc::new(Console {
        access: Access::new(&settings.access)?,
        browser: Browser::new(endpoints, declarations, Arc::clone(&roles))?,
        roles,
        restate: Restate::new(&endpoints.restate_admin)?,
        letters: DeadLetters::new(endpoints, declarations, &settings.installation.prefix)?,
        changing: Mutex::new(()),
        live: live::Watched::default(),
        reads: Arc::new(Semaphore::new(READS)),
        tails: Arc::new(Semaphore::new(TAILS)),
        // A proxy for the internet has no business with the gateway.
        http: millstream_pipeline::http::builder().no_proxy().build()?,
        topics: topics::all(declarations),
        declarations: declarations.to_vec(),
        endpoints: endpoints.clone(),
        settings,
        stop: stop.clone(),
    });
    let listener = serve::listen(console.settings.listen)?;
    let keys = Arc::clone(&console);
    let keys = async move { keys.access.follow().await };
    tokio::spawn(stop.clone().run_until_cancelled_owned(keys));
    let looking = Arc::clone(&console);
    let looking = async move { looking.live.look(figures).await };
    tokio::spawn(stop.clone().run_until_cancelled_owned(looking));
    let limits = millstream_gateway::Settings {
        // Every open page holds two or three.
        max_connections: 1_000,
        ..millstream_gateway::Settings::default()
    };
    serve_connections(listener, server::routes(console), &limits, &stop).await;
    Ok(())
}
