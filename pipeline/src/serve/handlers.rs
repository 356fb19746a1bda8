//! A project's handlers, and beside them the library's own services, for Restate to call.
//!
//! Every process that serves handlers serves `Replies` and `Timers` as well, under the path `/system`:
//! a deployment of its own, so that of several projects on an installation one serves them for all
//! (decision 37).

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::graceful::GracefulShutdown;
use millstream_events::is_system_service;
use restate_sdk::endpoint::{Builder, Endpoint};
use serde_json::Value;

use super::names::Names;
use super::{GRACE, ServeError, accept, listen};
use crate::identity::{KeyError, PublicKey};
use crate::lane::attempt::{self, Attempt};
use crate::lane::batch::once;
use crate::lane::batch::served::dispatch;
use crate::lane::crashes::CrashGuard;
use crate::service::Pipeline;

/// Restate names the record's key among the headers of a request. One that is refused is repeated for
/// ever, so the longest key that Kafka may bring is taken, and becomes a dead letter afterwards.
const MAX_HEADER_BYTES: u32 = 4 * 1024 * 1024;

/// Path of the library's own services, below the address of the handlers.
pub const SYSTEM: &str = "/system";

/// The metadata of a service that says whose it is: the prefix of the project that serves it.
pub const PROJECT: &str = "millstream-prefix";

/// From which version on a discovery may have metadata.
const WITHOUT_METADATA: &str = "application/vnd.restate.endpointmanifest.v2+json";

/// Handlers about to be served. Closed by default: it is said who may call them.
#[derive(Clone)]
#[must_use = "nothing is served before `serve`"]
pub struct Handlers {
    project: Endpoint,
    system: Endpoint,
    pipeline: Pipeline,
    guard: Option<Arc<CrashGuard>>,
    names: Arc<Names>,
}

impl Handlers {
    /// Handlers that take only requests which Restate signed with one of these keys
    /// (`publickeyv1_...`); any other is answered with 401 before handler code runs. Several keys, so
    /// that Restate's can be replaced. No key at all is an error, for then anybody could call them.
    pub fn signed_by(
        pipeline: &Pipeline,
        services: Builder,
        keys: &[String],
    ) -> Result<Self, KeyError> {
        if keys.is_empty() {
            return Err(KeyError::NoneNamed);
        }
        let (project, system) = (signed(services, keys)?, signed(pipeline.system(), keys)?);
        Ok(Self::of(pipeline, project, system))
    }

    /// Handlers that take any request, so that whoever reaches their address can do what Restate does:
    /// for development and tests, on an address that nobody else reaches.
    pub fn unsigned(pipeline: &Pipeline, services: Builder) -> Self {
        Self::of(pipeline, services, pipeline.system())
    }

    fn of(pipeline: &Pipeline, project: Builder, system: Builder) -> Self {
        let project = once::bind(pipeline, project);
        Self {
            project: project.build(),
            system: system.build(),
            pipeline: pipeline.clone(),
            guard: None,
            names: Arc::new(Names::of(pipeline)),
        }
    }

    /// Lets a record whose handling has ended the process several times become a dead letter.
    pub fn guarded_by(mut self, guard: impl Into<Option<Arc<CrashGuard>>>) -> Self {
        self.guard = guard.into();
        self
    }

    /// Serves them until `shutdown`, then lets running attempts end, for three seconds at most. Work
    /// orders of the batch lane are sent meanwhile; leases end at `shutdown` with their batch.
    ///
    /// A service's name stands in the topic files, in [`Pipeline::service`] and by the struct with the
    /// handlers. Where the first two differ nothing is served; the third is compared when Restate, and
    /// so `plan`, discovers the handlers, which fails then.
    pub async fn serve(
        self,
        address: SocketAddr,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        if let Some(differing) = self.names.differing() {
            return Err(ServeError::Names(differing));
        }
        let listener = listen(address)?;
        let mut dispatching = dispatch(&self.pipeline);
        // Dispatchers have threads of their own, which this future does not end when it is dropped.
        let _stop = self.pipeline.shared.served.stop_on_drop();
        let open = GracefulShutdown::new();
        let accepting = async {
            loop {
                let stream = accept(&listener).await;
                let handlers = self.clone();
                let service = service_fn(move |request| {
                    let handlers = handlers.clone();
                    async move { Ok::<_, Infallible>(handlers.answer(request).await) }
                });
                let mut http = http2::Builder::new(TokioExecutor::new());
                http.max_header_list_size(MAX_HEADER_BYTES);
                let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::warn!(%error, "a connection to Restate broke; it makes another one");
                    }
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
        drop(listener);
        self.pipeline.shared.served.stop();
        let ending = async {
            open.shutdown().await;
            while dispatching.join_next().await.is_some() {}
        };
        if tokio::time::timeout(GRACE, ending).await.is_err() {
            tracing::info!("attempts that still run are left to be repeated elsewhere");
        }
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Either<Attempt, Full<Bytes>>> {
        let path = request.uri().path();
        let is_system = is_system(path);
        let endpoint = match is_system {
            true => &self.system,
            false => &self.project,
        };
        let is_discovery = path.ends_with("/discover");
        let response = attempt::handle(endpoint, self.guard.clone(), request).await;
        match is_discovery && response.status().is_success() {
            true => {
                let names = (!is_system).then_some(&*self.names);
                named(response, self.pipeline.prefix(), names).await
            }
            false => response.map(Either::Left),
        }
    }
}

/// Whether the library's own services are meant. Invocations go by their service: what an older version
/// registered is sent to the address without `/system`. A proxy may keep a path before all of it.
fn is_system(path: &str) -> bool {
    let mut parts = path.rsplit('/').skip(1);
    match path.ends_with("/discover") {
        true => parts.next() == SYSTEM.strip_prefix('/'),
        false => parts.next().is_some_and(is_system_service),
    }
}

fn signed(builder: Builder, keys: &[String]) -> Result<Builder, KeyError> {
    keys.iter().try_fold(builder, |builder, key| {
        let key: PublicKey = key.parse()?;
        let text = key.to_string();
        builder
            .identity_key(&text)
            .map_err(|error| KeyError::NotPublic {
                reason: error.to_string(),
                text,
            })
    })
}

/// The answer to a discovery, in which every service says whose it is. One with other names than
/// these is an error, so that nothing is registered.
async fn named(
    response: Response<Attempt>,
    prefix: &str,
    names: Option<&Names>,
) -> Response<Either<Attempt, Full<Bytes>>> {
    let (mut parts, body) = response.into_parts();
    let told = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::warn!(%error, "what the handlers offer could not be told to Restate");
            Bytes::new()
        }
    };
    let discovery = serde_json::from_slice(&told).unwrap_or_default();
    let differing = names
        .map(|names| names.problems(&discovery))
        .unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    if !differing.is_empty() {
        let differing = differing.join("; ");
        tracing::error!(
            differing,
            "names of services differ, so Restate is not told of them"
        );
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        parts.headers.remove(header::CONTENT_TYPE);
        return Response::from_parts(parts, Either::Right(Full::new(differing.into())));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let told = match kind.is_some_and(|kind| kind == WITHOUT_METADATA) {
        true => told,
        false => with_prefix(discovery, prefix).unwrap_or(told),
    };
    Response::from_parts(parts, Either::Right(Full::new(told)))
}

/// `None`: this is no discovery.
fn with_prefix(mut discovery: Value, prefix: &str) -> Option<Bytes> {
    for service in discovery.get_mut("services")?.as_array_mut()? {
        let service = service.as_object_mut()?;
        let metadata = service
            .entry("metadata")
            .or_insert_with(|| Value::Object(Default::default()));
        metadata
            .as_object_mut()?
            .insert(PROJECT.to_owned(), prefix.into());
    }
    Some(discovery.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoints;

    fn pipeline() -> Pipeline {
        Pipeline::new(&Endpoints::default(), &[], "shop").unwrap()
    }

    #[tokio::test]
    async fn handlers_are_closed_unless_it_is_said_that_they_are_not() {
        let pipeline = pipeline();
        let closed = Handlers::signed_by(&pipeline, Endpoint::builder(), &[]);
        let Err(error) = closed else {
            panic!("without a key it takes any request");
        };
        assert!(error.to_string().contains("no key is named"), "{error}");
        let _open = Handlers::unsigned(&pipeline, Endpoint::builder());
    }

    /// Both deployments of a process, as Restate discovers them.
    #[tokio::test]
    async fn every_service_says_whose_it_is() {
        let handlers = Handlers::unsigned(&pipeline(), pipeline().system());
        for endpoint in [&handlers.project, &handlers.system] {
            let request = Request::get("/system/discover")
                .header("accept", "application/vnd.restate.endpointmanifest.v4+json")
                .body(Full::new(Bytes::new()));
            let answer = attempt::handle(endpoint, None, request.unwrap()).await;
            let answer = named(answer, "shop", None).await;
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let told: Value = serde_json::from_slice(&body).unwrap();
            let services = told["services"].as_array().unwrap();
            assert_eq!(services.len(), 2);
            for service in services {
                assert_eq!(service["metadata"][PROJECT], "shop", "{service}");
            }
        }
    }

    #[test]
    fn what_is_no_discovery_stays_as_it_is() {
        for other in ["", "[]", r#"{"services": 1}"#, r#"{"services": [1]}"#] {
            let other = serde_json::from_str(other).unwrap_or_default();
            assert_eq!(with_prefix(other, "shop"), None);
        }
        let told = serde_json::json!({ "services": [{ "metadata": { "a": "b" } }] });
        let told = with_prefix(told, "shop").unwrap();
        let told: Value = serde_json::from_slice(&told).unwrap();
        let metadata = serde_json::json!({ "a": "b", "millstream-prefix": "shop" });
        assert_eq!(told["services"][0]["metadata"], metadata);
    }
}
