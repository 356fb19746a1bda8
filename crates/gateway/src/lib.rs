//! The gateway: an HTTP request becomes a command, and the command's result the response.
//!
//! It calls no handler and keeps no store; any number of replicas serve the same clients. A request
//! id says where in Kafka the result is found ([`request_id`]), so each replica answers for all.
//!
//! - [`routes`], [`topics`]: from a request to an event, by the declarations; [`fields`] checks it.
//! - [`submit`]: sends it and waits; [`requests`] answers for it later.
//! - [`results`]: what comes on the result topics; [`search`]: what has come before.
//! - [`access`], [`webhooks`]: who may do what, and how often; [`cors`], [`tickets`]: from browsers.
//! - [`server`], [`heads`], [`body`], [`shares`]: limits against clients that are slow, large or many.
//! - [`documents`]: OpenAPI and AsyncAPI.

pub mod access;
mod answer;
mod body;
mod cors;
pub mod documents;
mod heads;
mod identity;
mod noted;
mod numbers;
mod prefer;
mod principal;
mod problem;
mod request_id;
mod requests;
mod results;
mod routes;
mod search;
mod server;
mod settings;
mod shares;
mod submit;
mod template;
mod tickets;
mod topics;
mod trace;
mod waiting;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use millstream_events::Declaration;
use rdkafka::error::KafkaError;
use tokio_util::sync::CancellationToken;

use millstream_pipeline::codec::{Codec, RegistryError};
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::identity::KeyError;
use millstream_pipeline::kafka::publisher::Publisher;
use millstream_pipeline::kafka::{self, Health};
use millstream_pipeline::observe::metrics::{Known, Program, metrics};
use millstream_pipeline::serve::{self, ListenError};

use access::{Access, AccessError};
pub use cors::{Origin, OriginError, is_foreign};
use problem::Code;
pub use problem::Problem;
use results::Results;
use search::Search;
pub use server::serve as serve_connections;
pub use settings::Settings;
use shares::Shares;
use tickets::Tickets;
use trace::Trace;
use waiting::Waiting;
use webhooks::Secrets;
pub use webhooks::{STRIPE_HEADER, WebhookError, WebhookSecrets, stripe_signature};

/// Pause between two looks for the registry.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(1);

/// How long a record waits for others to go with, while many are under way.
const LINGER: Duration = Duration::from_millis(5);
/// How often it is looked how long the oldest request has waited.
const LOOK_AT_OLDEST: Duration = Duration::from_secs(1);

/// What all requests share.
struct Gateway {
    settings: Settings,
    access: Access,
    tickets: Tickets,
    secrets: Secrets,
    codec: Arc<Codec>,
    publisher: Publisher,
    /// Takes over while many records are under way.
    batches: Publisher,
    topics: HashMap<&'static str, &'static Declaration>,
    results: Arc<Results>,
    search: Search,
    /// Records that Kafka has not acknowledged yet.
    producing: Arc<Shares>,
    /// Bytes of bodies that are read or sent.
    bodies: Arc<Shares>,
    /// Cancelled when those who wait are to be sent away.
    draining: CancellationToken,
}

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The settings of a Kafka client cannot be used, or it could not be flushed.
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The address of the registry cannot be used.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An address is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A declared route takes a path of the gateway's own.
    #[error("topic {topic} declares the path {path}, which belongs to the gateway; change it")]
    Route {
        /// The topic.
        topic: &'static str,
        /// The path.
        path: &'static str,
    },
    /// It would know who sends, and could tell no handler.
    #[error(
        "the gateway has no key to prove who sends, so handlers could not tell whose a request is: \
         give it --signing-key (`{program} identity --create FILE` makes one), and the handlers its \
         public key with --trusted-key", program = millstream_pipeline::program::name()
    )]
    Unsigned,
    /// Keys or tokens cannot be checked.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Tickets cannot be made.
    #[error(transparent)]
    Ticket(#[from] KeyError),
    /// Webhooks cannot be checked.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// Its listener for metrics failed.
    #[error("the admin listener failed: {0}")]
    Admin(std::io::Error),
}

/// Serves the routes of these topics until `stop`. Kafka, the topics and the registry may come
/// later: until then requests are answered with 503.
pub async fn run(
    endpoints: &Endpoints,
    declarations: &[&'static Declaration],
    settings: Settings,
    stop: CancellationToken,
) -> Result<(), GatewayError> {
    server::raise_file_limit();
    let gateway = Arc::new(Gateway::new(endpoints, declarations, settings, &stop)?);
    let routes = gateway.routes(declarations)?;
    let known = Known::of(declarations).serving(labels(declarations));
    metrics().begin(Program::Gateway, &known);
    let settings = &gateway.settings;
    let listener = serve::listen(settings.listen)?;
    // Results are read, and metrics shown, until the last request has ended.
    let ended = CancellationToken::new();
    let _ended = ended.clone().drop_guard();
    let admin = serve::admin_server(settings.admin, gateway.admin_routes(), ended.clone()).await?;
    let admin = tokio::spawn(admin);
    let following = Arc::clone(&gateway.results).follow();
    let following = tokio::spawn(ended.clone().run_until_cancelled_owned(following));
    let looking_up = Arc::clone(&gateway);
    let looking_up = async move { looking_up.look_up_schemas().await };
    tokio::spawn(ended.clone().run_until_cancelled_owned(looking_up));
    let oldest = show_oldest(Arc::clone(&gateway.results.waiting));
    tokio::spawn(ended.clone().run_until_cancelled_owned(oldest));
    let keys = Arc::clone(&gateway);
    let keys = async move { tokio::join!(keys.access.follow(), keys.secrets.follow()) };
    tokio::spawn(ended.clone().run_until_cancelled_owned(keys));
    tokio::select! {
        () = server::serve(listener, routes, settings, &stop) => {}
        followed = following => {
            // Without results there are no answers.
            if let Ok(Some(Err(error))) = followed {
                return Err(error.into());
            }
        }
    }
    let (one, other) = (&gateway.publisher, &gateway.batches);
    tokio::try_join!(one.flush(settings.drain), other.flush(settings.drain))?;
    ended.cancel();
    match admin.await {
        Ok(served) => served.map_err(GatewayError::Admin),
        Err(_) => Ok(()),
    }
}

impl Gateway {
    fn new(
        endpoints: &Endpoints,
        declarations: &[&'static Declaration],
        settings: Settings,
        stop: &CancellationToken,
    ) -> Result<Self, GatewayError> {
        let client = kafka::client(&endpoints.kafka);
        let codec = Arc::new(Codec::new(&endpoints.schema_registry, declarations)?);
        if settings.access.knows_principals() && settings.signer.is_none() {
            return Err(GatewayError::Unsigned);
        }
        let access = Access::new(&settings.access)?;
        let secrets = Secrets::new(&settings.webhook_secrets)?;
        if !access.is_open() {
            secrets.warn_of_missing(declarations.iter().copied());
        }
        let topics = declarations.iter().filter_map(|it| it.results.as_ref());
        let results = Arc::new(Results::new(
            client.clone(),
            Arc::clone(&codec),
            topics.map(|results| results.name).collect(),
            Waiting::new(settings.max_waiting),
            settings.max_noted,
        ));
        let search = Search::new(
            client.clone(),
            Arc::clone(&codec),
            Arc::clone(&results),
            settings.keep,
            settings.max_noted,
        );
        Ok(Self {
            publisher: Publisher::new(client.clone())?,
            batches: Publisher::with_linger(client, LINGER)?,
            topics: declarations.iter().map(|it| (it.name, *it)).collect(),
            producing: Shares::new(settings.max_producing),
            bodies: Shares::new(settings.max_bodies),
            draining: stop.clone(),
            tickets: Tickets::new(settings.signer.clone())?,
            access,
            secrets,
            codec,
            results,
            search,
            settings,
        })
    }

    fn routes(
        self: &Arc<Self>,
        declarations: &[&'static Declaration],
    ) -> Result<Router, GatewayError> {
        let mut router = Router::new()
            .route(topics::PATH, any(topics::handle))
            .route(requests::PATH, only_get(get(requests::handle)))
            .route(
                requests::EVENTS_PATH,
                only_get(get(requests::stream_events)),
            )
            .route(tickets::PATH, only(post(tickets::handle), "POST"));
        // Routes without a key are added after the layer that asks for it.
        let mut signed = Vec::new();
        for (shape, group) in routes::declared(declarations)? {
            let is_signed = group.values().any(routes::Route::is_signed);
            let gateway = Arc::clone(self);
            let handle = move |parameters, request| {
                routes::handle(
                    Arc::clone(&gateway),
                    Arc::clone(&group),
                    parameters,
                    request,
                )
            };
            match is_signed {
                true => signed.push((shape, any(handle))),
                false => router = router.route(&shape, any(handle)),
            }
        }
        for (path, document) in [
            ("/openapi.json", documents::openapi(declarations)),
            ("/asyncapi.json", documents::asyncapi(declarations)),
        ] {
            let text = axum::body::Bytes::from(document.to_string());
            let json = [(header::CONTENT_TYPE, "application/json")];
            router = router.route(path, only_get(get(move || async move { (json, text) })));
        }
        let nothing = || async { Problem::not_found("there is nothing at this path") };
        let asked = from_fn_with_state(Arc::clone(self), identify);
        router = router.fallback(nothing).layer(asked);
        for (shape, handle) in signed {
            router = router.route(&shape, handle);
        }
        let marked = from_fn_with_state(Arc::clone(self), cors::mark);
        let router = router.layer(marked).layer(from_fn(observe));
        Ok(router.with_state(Arc::clone(self)))
    }

    fn admin_routes(self: &Arc<Self>) -> Router {
        let gateway = Arc::clone(self);
        let ready = move || {
            let is_ready = gateway.results.is_complete()
                && gateway.results.health() == Health::Well
                && !gateway.draining.is_cancelled();
            async move {
                match is_ready {
                    true => (StatusCode::OK, "ready\n"),
                    false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
                }
            }
        };
        Router::new().route("/ready", get(ready))
    }

    /// Looks up the schemas of what is sent, so that the registry may be away later.
    async fn look_up_schemas(&self) {
        let events = self.topics.values().flat_map(|topic| topic.events);
        for event in events {
            let mut waiting = false;
            while let Err(error) = self.codec.prepare((event.schema)()).await {
                if !waiting {
                    tracing::warn!(%error, "waiting for the schema registry");
                    waiting = true;
                }
                tokio::time::sleep(LOOK_UP_AGAIN).await;
            }
        }
        tracing::info!("all schemas are looked up");
    }
}

/// Shows how long the oldest request has waited.
async fn show_oldest(waiting: Arc<Waiting>) {
    loop {
        let oldest = waiting.oldest().as_secs_f64();
        metrics().gateway_oldest_waiting.set(oldest);
        tokio::time::sleep(LOOK_AT_OLDEST).await;
    }
}

fn only_get<S: Clone + Send + Sync + 'static>(route: MethodRouter<S>) -> MethodRouter<S> {
    only(route, "GET")
}

/// Refuses other methods in the same words as everywhere.
fn only<S: Clone + Send + Sync + 'static>(
    route: MethodRouter<S>,
    method: &'static str,
) -> MethodRouter<S> {
    route.fallback(move || async move { routes::not_allowed([method].into_iter()) })
}

/// Answers nobody who is not known, whatever is asked for.
async fn identify(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response {
    // Where nobody is asked a ticket means nothing.
    let may_have_ticket = !gateway.access.is_open() && !access::shows_credential(request.headers());
    let ticket = may_have_ticket
        .then(|| gateway.by_ticket(request.method(), request.uri()))
        .flatten();
    let known = match ticket {
        Some(known) => known,
        None => gateway.access.identify(request.headers()).await,
    };
    match known {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Everything that a response may be counted under.
fn labels(declarations: &[&Declaration]) -> Vec<String> {
    let declared = declarations
        .iter()
        .flat_map(|it| it.http)
        .map(routes::label);
    let own = [
        format!("POST {}", topics::PATH),
        format!("GET {}", requests::PATH),
        format!("GET {}", requests::EVENTS_PATH),
        "other".to_owned(),
    ];
    declared.chain(own).collect()
}

/// The route that a response is counted under.
#[derive(Debug, Clone)]
struct Label(String);

/// A response, with what it is counted under.
fn labelled(label: &str, response: Result<Response, Problem>) -> Response {
    let mut response = response.into_response();
    response.extensions_mut().insert(Label(label.to_owned()));
    response
}

/// Counts a request.
async fn observe(request: Request, next: Next) -> Response {
    let (begun, at, method) = (Instant::now(), SystemTime::now(), request.method().clone());
    let mut response = next.run(request).await;
    let trace = response.extensions_mut().remove::<Trace>();
    let label = response.extensions().get::<Label>();
    let label = label.map_or("other", |Label(label)| label.as_str());
    let code = response.extensions().get::<Code>();
    let code = code.map_or("ok", |Code(code)| code.as_ref());
    // Codes come with events: what has not the form of one must not make a series of its own.
    let is_code = code.len() <= 40 && code.bytes().all(|it| it.is_ascii_lowercase() || it == b'-');
    let status = response.status();
    metrics()
        .gateway_requests
        .with_label_values(&[label, status.as_str(), if is_code { code } else { "other" }])
        .inc();
    metrics()
        .gateway_duration
        .with_label_values(&[label])
        .observe(begun.elapsed().as_secs_f64());
    if let Some(trace) = trace {
        trace.end(&method, label, status, at);
    }
    // A result is one client's, and a pending request's answer changes.
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
