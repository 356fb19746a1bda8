//! A decider as a virtual object of Restate's. The SDK's macro wants a type for each service and a
//! method for each handler; here both are known at run time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use restate_sdk::discovery::{self, HandlerName, ServiceName};
use restate_sdk::endpoint::{ContextInternal, Error};
use restate_sdk::prelude::*;
use restate_sdk::service::macro_support::{ServiceBoxFuture, service_definition};
use restate_sdk::service::{self, Discoverable};

use super::Decider;
use crate::lane::batch::handlers::Handlers;
use crate::lane::batch::lane::{Lane, Settings};

/// The handler of a service in the batch lane.
const WORK: &str = "work";

/// A lease ends long before: an attempt that has lasted so long hangs, and is asked to end.
const INACTIVITY: Duration = Duration::from_secs(5 * 60);
/// Then it is given up. It may go on all the same; nothing comes of it.
const ABORT: Duration = Duration::from_secs(10 * 60);

/// How long Restate waits at most before it tries a lease again: a whole partition waits with it, and its
/// attempts count from when it was given out, however much was done since.
const AGAIN: Duration = Duration::from_secs(1);

/// As a virtual object whose handlers decide about one event each.
pub(super) fn keyed(decider: Decider) -> ServiceDefinition {
    let names = decider.topics.iter().map(|it| name_of(it.handler()));
    let discovery = discovery(decider.service.name, names);
    // Nothing is waited for, so what it holds is given back at once.
    let options = ServiceOptions::new().inactivity_timeout(Duration::ZERO);
    service_definition(Bound::of(Keyed(decider)), discovery).options(options)
}

/// What works off the partition that an object's key names.
type Work = dyn Fn(String) -> BoxFuture<'static, HandlerResult<()>> + Send + Sync;

/// As a virtual object whose one handler works a partition off. The process that serves it sends work
/// orders, too.
pub(super) fn batched(decider: Decider, settings: Settings) -> ServiceDefinition {
    let (name, pipeline) = (decider.service.name, decider.service.pipeline.clone());
    let config = crate::kafka::client(&pipeline.endpoints().kafka);
    let served = &pipeline.shared.served;
    let (lane, stop) = (settings.clone(), served.lane(settings));
    let lane = Arc::new(Lane::new(config, lane, Handlers::of(decider), stop));
    leased(name, move |key| {
        let lane = Arc::clone(&lane);
        async move { lane.work(&key).await }.boxed()
    })
}

/// A service of the batch lane that works like this.
pub(crate) fn leased(
    name: &str,
    work: impl Fn(String) -> BoxFuture<'static, HandlerResult<()>> + Send + Sync + 'static,
) -> ServiceDefinition {
    let discovery = discovery(name, [WORK]);
    let options = ServiceOptions::new()
        .inactivity_timeout(INACTIVITY)
        .abort_timeout(ABORT)
        .retry_policy_max_interval(AGAIN);
    service_definition(Bound::of(Leased(Box::new(work))), discovery).options(options)
}

/// What Restate is told of a handler that takes a raw record.
struct Raw;

#[restate_sdk::object]
impl Raw {
    #[handler]
    async fn handle(&self, _ctx: ObjectContext<'_>, _record: Bytes) -> HandlerResult<()> {
        Ok(())
    }
}

fn discovery<'n>(service: &str, handlers: impl IntoIterator<Item = &'n str>) -> discovery::Service {
    let mut told = Raw::discover();
    if let Ok(name) = ServiceName::try_from(service.to_owned()) {
        told.name = name;
    }
    let raw = std::mem::take(&mut told.handlers);
    let named = |(raw, name): (&discovery::Handler, &str)| {
        let name = HandlerName::try_from(name.to_owned()).ok()?;
        let raw = raw.clone();
        Some(discovery::Handler { name, ..raw })
    };
    let raw = raw.iter().cycle();
    told.handlers = raw.zip(handlers).filter_map(named).collect();
    told
}

/// `UsageMeter/record` as `record`.
fn name_of(handler: &str) -> &str {
    handler.split_once('/').map_or(handler, |(_, name)| name)
}

/// Handlers by their names.
trait Named: Send + Sync + 'static {
    fn is_known(&self, handler: &str) -> bool;

    fn handle<'h>(
        &'h self,
        handler: &'h str,
        ctx: &'h ObjectContext<'h>,
        record: Bytes,
    ) -> BoxFuture<'h, HandlerResult<()>>;
}

struct Keyed(Decider);

impl Named for Keyed {
    fn is_known(&self, handler: &str) -> bool {
        let mut topics = self.0.topics.iter();
        topics.any(|it| name_of(it.handler()) == handler)
    }

    fn handle<'h>(
        &'h self,
        handler: &'h str,
        ctx: &'h ObjectContext<'h>,
        record: Bytes,
    ) -> BoxFuture<'h, HandlerResult<()>> {
        let mut topics = self.0.topics.iter();
        match topics.find(|it| name_of(it.handler()) == handler) {
            Some(topic) => topic.handle(&self.0.service, ctx, record),
            None => async { Ok(()) }.boxed(),
        }
    }
}

struct Leased(Box<Work>);

impl Named for Leased {
    fn is_known(&self, handler: &str) -> bool {
        handler == WORK
    }

    fn handle<'h>(
        &'h self,
        _: &'h str,
        ctx: &'h ObjectContext<'h>,
        _: Bytes,
    ) -> BoxFuture<'h, HandlerResult<()>> {
        (self.0)(ctx.key().to_owned())
    }
}

/// What the SDK hands requests to.
struct Bound<N>(Arc<N>);

impl<N> Bound<N> {
    fn of(named: N) -> Self {
        Self(Arc::new(named))
    }
}

impl<N: Named> service::Service for Bound<N> {
    type Future = ServiceBoxFuture;

    fn handle(&self, ctx: ContextInternal) -> Self::Future {
        let named = Arc::clone(&self.0);
        async move {
            let handler = ctx.handler_name();
            if !named.is_known(handler) {
                return Err(Error::unknown_handler(ctx.service_name(), handler));
            }
            let (record, metadata) = ctx.input::<Bytes>().await;
            let object = ObjectContext::from((&ctx, metadata));
            let result = named.handle(handler, &object, record).await;
            ctx.handle_handler_result(result);
            ctx.end();
            Ok(())
        }
        .boxed()
    }
}
