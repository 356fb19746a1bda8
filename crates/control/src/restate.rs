//! Restate's admin API, as far as declarations need it.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Error;
use super::http::Api;
use millstream_pipeline::lane::invocation;
use millstream_pipeline::serve::PROJECT;

/// How long the first of a group of invocations has been in its state, by Restate's own clock: `now` is
/// in nanoseconds there.
const WAITED_MS: &str =
    "CAST(now() AS BIGINT) / 1000000 - CAST(MIN(modified_at) AS BIGINT) AS waited_ms";

/// Whether an invocation is being tried again.
pub const FAILS: &str =
    "status IN ('ready', 'running') AND last_failure IS NOT NULL AND last_failure <> ''";

/// Client of the admin API.
#[derive(Debug, Clone)]
pub struct Restate {
    api: Api,
}

/// A subscription as the server shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ActualSubscription {
    /// Given by the server; a new subscription has a new one.
    pub id: String,
    /// `kafka://<cluster>/<topic>`.
    pub source: String,
    /// `service://<Service>/<handler>`.
    pub sink: String,
    /// Consumer settings, the server's own among them.
    pub options: BTreeMap<String, String>,
}

/// A Kafka cluster as the server shows it: secrets are redacted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ActualCluster {
    /// Name that subscriptions use.
    pub name: String,
    /// Consumer settings.
    pub properties: BTreeMap<String, String>,
}

/// A registered deployment.
#[derive(Debug, Clone, Deserialize)]
pub struct ActualDeployment {
    /// Given by the server.
    pub id: String,
    /// Where it is; a Lambda has none.
    #[serde(default)]
    pub uri: Option<String>,
    /// When it was registered.
    #[serde(default)]
    pub created_at: String,
    /// Its services with their revisions.
    pub services: Vec<ServiceRevision>,
}

/// Name and revision of a service.
#[derive(Debug, Clone, Deserialize)]
pub struct ServiceRevision {
    /// Name.
    pub name: String,
    /// Number of its version.
    pub revision: u32,
}

/// A service with its handlers.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Name.
    pub name: String,
    /// `Service`, `VirtualObject` or `Workflow`.
    pub ty: String,
    /// Its handlers.
    pub handlers: Vec<Handler>,
    /// The deployment that new invocations go to.
    #[serde(default)]
    pub deployment_id: String,
    /// How failing invocations are retried.
    #[serde(default)]
    pub retry_policy: RetryPolicy,
    /// Every other property that discovery determines.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

impl Service {
    /// The prefix of the project that it is of, if its handlers say so.
    pub fn prefix(&self) -> Option<&str> {
        self.rest.get("metadata")?.get(PROJECT)?.as_str()
    }
}

/// One handler of a service.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Handler {
    /// Name.
    pub name: String,
    /// `Exclusive`, `Shared` or `Workflow`; none in a plain service.
    #[serde(default)]
    pub ty: Option<String>,
    /// Every other property that discovery determines.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// How failing invocations of a service are retried.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RetryPolicy {
    /// Attempts before giving up; none: unlimited.
    #[serde(default)]
    pub max_attempts: Option<u64>,
    /// What giving up means.
    #[serde(default)]
    pub on_max_attempts: Option<String>,
}

/// How many invocations of a service are in a state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InvocationCount {
    /// Service.
    pub service: String,
    /// Such as `paused` or `backing-off`.
    pub status: String,
    /// How many.
    pub count: u64,
    /// How long that one of them has been in this state which came to it first.
    #[serde(default)]
    pub waited_ms: Option<i64>,
}

/// A key whose events wait for their turn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WaitingKey {
    /// Service.
    pub service: String,
    /// Key of the object.
    pub key: String,
    /// How many wait.
    pub count: u64,
    /// How long the first of them has waited.
    pub waited_ms: i64,
}

/// An invocation that goes on when somebody resumes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedInvocation {
    /// Its id.
    pub id: String,
    /// `Service/key/handler`.
    pub target: String,
    /// Restate's code for why, such as `RT0001`; `None`: somebody paused it.
    pub code: Option<String>,
    /// The reason in words.
    pub reason: Option<String>,
}

/// An unfinished invocation of a service in the batch lane, whose keys are partitions.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// The partition.
    pub key: Option<String>,
    /// Such as `running` or `backing-off`.
    pub status: String,
    /// How often it was tried.
    pub attempts: u64,
    /// What its last attempt said.
    pub failure: Option<String>,
}

/// How many unfinished invocations are pinned to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PinnedCount {
    /// Deployment id.
    pub deployment: String,
    /// How many.
    pub count: u64,
}

impl Restate {
    /// A client of the admin API at `url`.
    pub fn new(url: &str) -> Result<Self, Error> {
        Ok(Self {
            api: Api::new("Restate's admin API", url)?,
        })
    }

    /// The server's version.
    pub async fn version(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        Ok(self.api.get::<Version>("/version").await?.version)
    }

    /// Every subscription.
    pub async fn subscriptions(&self) -> Result<Vec<ActualSubscription>, Error> {
        #[derive(Deserialize)]
        struct List {
            subscriptions: Vec<ActualSubscription>,
        }
        Ok(self.api.get::<List>("/subscriptions").await?.subscriptions)
    }

    /// Makes a subscription; answers its id.
    pub async fn create_subscription(
        &self,
        source: &str,
        sink: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<String, Error> {
        let body = json!({ "source": source, "sink": sink, "options": options });
        let answer = self
            .api
            .call(Method::POST, "/subscriptions", Some(&body))
            .await?;
        Ok(answer.parse::<ActualSubscription>()?.id)
    }

    /// Removes a subscription; one that is gone already is removed.
    pub async fn delete_subscription(&self, id: &str) -> Result<(), Error> {
        let answer = self
            .api
            .call(Method::DELETE, &format!("/subscriptions/{id}"), None)
            .await?;
        if answer.status != StatusCode::NOT_FOUND {
            answer.success()?;
        }
        Ok(())
    }

    /// Every Kafka cluster.
    pub async fn clusters(&self) -> Result<Vec<ActualCluster>, Error> {
        #[derive(Deserialize)]
        struct List {
            clusters: Vec<ActualCluster>,
        }
        Ok(self.api.get::<List>("/kafka-clusters").await?.clusters)
    }

    /// Makes a Kafka cluster known.
    pub async fn create_cluster(
        &self,
        name: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let body = json!({ "name": name, "properties": properties });
        self.api
            .call(Method::POST, "/kafka-clusters", Some(&body))
            .await?
            .success()?;
        Ok(())
    }

    /// Replaces a Kafka cluster's properties.
    pub async fn update_cluster(
        &self,
        name: &str,
        properties: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let body = json!({ "properties": properties });
        let path = format!("/kafka-clusters/{name}");
        self.api
            .call(Method::PATCH, &path, Some(&body))
            .await?
            .success()?;
        Ok(())
    }

    /// Every deployment.
    pub async fn deployments(&self) -> Result<Vec<ActualDeployment>, Error> {
        #[derive(Deserialize)]
        struct List {
            deployments: Vec<ActualDeployment>,
        }
        Ok(self.api.get::<List>("/deployments").await?.deployments)
    }

    /// The services of one deployment, as they were when it was registered.
    pub async fn deployment_services(&self, id: &str) -> Result<Vec<Service>, Error> {
        Ok(self
            .api
            .get::<Services>(&format!("/deployments/{id}"))
            .await?
            .services)
    }

    /// The services that new invocations go to.
    pub async fn services(&self) -> Result<Vec<Service>, Error> {
        Ok(self.api.get::<Services>("/services").await?.services)
    }

    /// What a deployment at `uri` would offer if it were registered now; changes nothing.
    pub async fn discover(&self, uri: &str) -> Result<Vec<Service>, Error> {
        self.register(uri, true, true).await
    }

    /// Registers the deployment at `uri`; `force` replaces what is registered under the same URI.
    pub async fn register_deployment(&self, uri: &str, force: bool) -> Result<Vec<Service>, Error> {
        self.register(uri, force, false).await
    }

    async fn register(&self, uri: &str, force: bool, dry_run: bool) -> Result<Vec<Service>, Error> {
        let body = json!({ "uri": uri, "force": force, "dry_run": dry_run });
        let answer = self
            .api
            .call(Method::POST, "/deployments", Some(&body))
            .await?;
        Ok(answer.parse::<Services>()?.services)
    }

    /// Unfinished invocations by service and state. One that has failed backs off until it succeeds, also
    /// in the moments in which it is tried again: else whoever looks now and then sees it come and go.
    pub async fn invocation_counts(&self) -> Result<Vec<InvocationCount>, Error> {
        self.query(&format!(
            "SELECT service, status, COUNT(*) AS count, {WAITED_MS} FROM \
             (SELECT target_service_name AS service, modified_at, CASE WHEN {FAILS} \
             THEN 'backing-off' ELSE status END AS status FROM sys_invocation WHERE status <> 'completed') \
             GROUP BY service, status"
        ))
        .await
    }

    /// The keys whose events have waited longest for their turn.
    pub async fn waiting_keys(&self, limit: usize) -> Result<Vec<WaitingKey>, Error> {
        self.query(&format!(
            "SELECT target_service_name AS service, target_service_key AS key, COUNT(*) AS count, {WAITED_MS} \
             FROM sys_invocation WHERE status = 'pending' AND target_service_key IS NOT NULL \
             GROUP BY target_service_name, target_service_key ORDER BY waited_ms DESC LIMIT {limit}"
        ))
        .await
    }

    /// The invocations that have been paused for longest, and why.
    pub async fn paused(&self, limit: usize) -> Result<Vec<PausedInvocation>, Error> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            target: String,
        }
        #[derive(Deserialize)]
        struct Happened {
            event_json: String,
        }
        let rows: Vec<Row> = self
            .query(&format!(
                "SELECT id, target FROM sys_invocation WHERE status = 'paused' \
                 ORDER BY modified_at LIMIT {limit}"
            ))
            .await?;
        let mut paused = Vec::with_capacity(rows.len());
        for Row { id, target } in rows {
            let happened: Vec<Happened> = match invocation::is_id(&id) {
                true => {
                    self.query(&format!(
                        "SELECT event_json FROM sys_journal_events \
                         WHERE id = '{id}' AND event_type = 'Paused' ORDER BY appended_at DESC LIMIT 1"
                    ))
                    .await?
                }
                false => Vec::new(),
            };
            let text = happened.first().map(|it| it.event_json.as_str());
            let event: Value = serde_json::from_str(text.unwrap_or_default()).unwrap_or_default();
            let why = |name: &str| event["last_failure"][name].as_str().map(str::to_owned);
            paused.push(PausedInvocation {
                code: why("restate_doc_error_code"),
                reason: why("error_message"),
                id,
                target,
            });
        }
        Ok(paused)
    }

    /// The unfinished invocations of a service in the batch lane.
    pub async fn unfinished(&self, service: &str, handler: &str) -> Result<Vec<Lease>, Error> {
        let quoted = |text: &str| text.replace('\'', "''");
        self.query(&format!(
            "SELECT id, target_service_key AS key, status, COALESCE(retry_count, 0) AS attempts, \
             last_failure AS failure FROM sys_invocation WHERE status <> 'completed' \
             AND target_service_name = '{}' AND target_handler_name = '{}'",
            quoted(service),
            quoted(handler)
        ))
        .await
    }

    /// Those of one partition, the one that has it first.
    pub async fn leases(
        &self,
        service: &str,
        handler: &str,
        partition: i32,
    ) -> Result<Vec<Lease>, Error> {
        let leases = self.unfinished(service, handler).await?;
        let key = partition.to_string();
        // What waits for its turn says less than what has it.
        let (waiting, has): (Vec<_>, Vec<_>) = leases
            .into_iter()
            .filter(|it| it.key.as_deref() == Some(&key))
            .partition(|it| it.status == "pending");
        Ok(has.into_iter().chain(waiting).collect())
    }

    /// Ends an invocation wherever it is; one that has ended by itself has ended.
    pub async fn kill(&self, id: &str) -> Result<(), Error> {
        let path = format!("/invocations/{id}/kill");
        let answer = self.api.call(Method::PATCH, &path, None).await?;
        match answer.status {
            StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(()),
            _ => answer.success().map(drop),
        }
    }

    /// Unfinished invocations by the deployment that they are pinned to.
    pub async fn pinned_counts(&self) -> Result<Vec<PinnedCount>, Error> {
        self.query(
            "SELECT pinned_deployment_id AS deployment, COUNT(*) AS count FROM sys_invocation \
             WHERE status <> 'completed' AND pinned_deployment_id IS NOT NULL GROUP BY pinned_deployment_id",
        )
        .await
    }

    /// The rows of a query in Restate's SQL.
    pub async fn query<T: serde::de::DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, Error> {
        #[derive(Deserialize)]
        struct Rows<T> {
            rows: Vec<T>,
        }
        let answer = self
            .api
            .call(Method::POST, "/query", Some(&json!({ "query": sql })))
            .await?;
        Ok(answer.parse::<Rows<T>>()?.rows)
    }
}

#[derive(Deserialize)]
struct Services {
    services: Vec<Service>,
}
