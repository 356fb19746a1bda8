//! The three containers: what each needs, and when it is ready.

use std::time::Duration;

use millstream_devstack::RESTATE_SETTINGS;
use testcontainers::core::{ContainerPort, ExecCommand, Healthcheck, Host, WaitFor};
use testcontainers::runners::AsyncRunner;
use testcontainers::{
    ContainerAsync, ContainerRequest, CopyTargetOptions, GenericImage, ImageExt,
    TestcontainersError,
};

use crate::images::image;

/// A container that runs.
pub type Container = ContainerAsync<GenericImage>;

/// How long one may take to be ready. Pulling its image is not counted.
const LIMIT: Duration = Duration::from_secs(120);

/// Kafka's port for this process.
const KAFKA: ContainerPort = ContainerPort::Tcp(9092);
/// Kafka's port for the other containers.
const KAFKA_INSIDE: u16 = 19092;
/// Restate's ingress.
const INGRESS: ContainerPort = ContainerPort::Tcp(8080);
/// Restate's admin API.
const ADMIN: ContainerPort = ContainerPort::Tcp(9070);
const POSTGRES: ContainerPort = ContainerPort::Tcp(5432);

/// The name under which a container reaches this machine.
pub const THIS_MACHINE: &str = "host.docker.internal";

/// Where the private key of Restate's request identity is in its container.
const IDENTITY: &str = "/etc/millstream/restate.pem";
const SETTINGS: &str = "/etc/millstream/restate.toml";

/// Kafka tells its clients under which address they reach it, and ours is known only when the
/// container runs: it waits for this file.
const ADVERTISED: &str = "/tmp/advertised";

/// Kafka, its address for this process, and that for the other containers.
pub async fn kafka(
    name: &str,
    network: &str,
) -> Result<(Container, String, String), TestcontainersError> {
    let host = format!("kafka-{network}");
    let inside = format!("{host}:{KAFKA_INSIDE}");
    let start = format!(
        "until [ -f {ADVERTISED} ]; do sleep 0.05; done; \
         KAFKA_ADVERTISED_LISTENERS=$(cat {ADVERTISED}) exec /etc/kafka/docker/run"
    );
    let mut request = image(name)
        .with_entrypoint("bash")
        .with_exposed_port(KAFKA)
        .with_cmd(["-c", &start])
        .with_network(network)
        .with_container_name(&host);
    for (variable, value) in [
        // Not a number that is found in memory by chance: docs/decisions/0024.
        ("NODE_ID", "1870265317"),
        ("PROCESS_ROLES", "broker,controller"),
        ("CONTROLLER_QUORUM_VOTERS", "1870265317@localhost:9093"),
        ("CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        (
            "LISTENERS",
            "OUTSIDE://:9092,INSIDE://:19092,CONTROLLER://:9093",
        ),
        (
            "LISTENER_SECURITY_PROTOCOL_MAP",
            "OUTSIDE:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        ),
        ("INTER_BROKER_LISTENER_NAME", "INSIDE"),
        // Topics come from declarations.
        ("AUTO_CREATE_TOPICS_ENABLE", "false"),
        ("GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ("OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("OFFSETS_TOPIC_NUM_PARTITIONS", "8"),
        ("TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR", "1"),
        ("SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR", "1"),
        ("HEAP_OPTS", "-Xms256m -Xmx768m"),
    ] {
        request = request.with_env_var(format!("KAFKA_{variable}"), value);
    }
    let container = start_within(LIMIT, request).await?;
    let outside = address(&container, KAFKA).await?;
    let write = format!(
        "echo OUTSIDE://{outside},INSIDE://{inside} > {ADVERTISED}.new && \
         mv {ADVERTISED}.new {ADVERTISED}"
    );
    let started = WaitFor::message_on_stdout("Kafka Server started");
    let write =
        ExecCommand::new(["sh", "-c", &write]).with_container_ready_conditions(vec![started]);
    container.exec(write).await?;
    Ok((container, outside, inside))
}

/// Restate, its ingress and its admin API. It signs its requests with the key in `identity` (PEM).
pub async fn restate(
    name: &str,
    network: &str,
    identity: Vec<u8>,
) -> Result<(Container, String, String), TestcontainersError> {
    let healthy = healthcheck([
        "curl",
        "-fsS",
        "http://localhost:9070/health",
        "http://localhost:8080/restate/health",
    ]);
    let request = image(name)
        .with_exposed_port(INGRESS)
        .with_exposed_port(ADMIN)
        .with_wait_for(WaitFor::healthcheck())
        .with_cmd(["--no-logo", "--config-file", SETTINGS])
        .with_health_check(healthy)
        .with_network(network)
        .with_container_name(format!("restate-{network}"))
        .with_host(THIS_MACHINE, Host::HostGateway)
        .with_env_var("DO_NOT_TRACK", "1")
        .with_env_var("RESTATE_REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE", IDENTITY)
        .with_copy_to(CopyTargetOptions::new(IDENTITY), identity)
        .with_copy_to(SETTINGS, RESTATE_SETTINGS.as_bytes().to_vec());
    let container = start_within(LIMIT, request).await?;
    let ingress = address(&container, INGRESS).await?;
    let admin = address(&container, ADMIN).await?;
    Ok((
        container,
        format!("http://{ingress}"),
        format!("http://{admin}"),
    ))
}

/// Postgres and its connection URL.
pub async fn postgres(
    name: &str,
    network: &str,
) -> Result<(Container, String), TestcontainersError> {
    let password = uuid::Uuid::new_v4().simple().to_string();
    // Over TCP: while it sets itself up it listens on its socket alone.
    let healthy = healthcheck(["pg_isready", "-h", "127.0.0.1", "-U", "millstream"]);
    let request = image(name)
        .with_exposed_port(POSTGRES)
        .with_wait_for(WaitFor::healthcheck())
        // Without it there is no two-phase commit. What is stored need not survive the test.
        .with_cmd([
            "postgres",
            "-c",
            "max_prepared_transactions=100",
            "-c",
            "fsync=off",
        ])
        .with_health_check(healthy)
        .with_network(network)
        .with_container_name(format!("postgres-{network}"))
        .with_env_var("POSTGRES_USER", "millstream")
        .with_env_var("POSTGRES_PASSWORD", &password);
    let container = start_within(LIMIT, request).await?;
    let at = address(&container, POSTGRES).await?;
    let url = format!("postgresql://millstream:{password}@{at}/millstream");
    Ok((container, url))
}

async fn start_within(
    limit: Duration,
    request: ContainerRequest<GenericImage>,
) -> Result<Container, TestcontainersError> {
    request.with_startup_timeout(limit).start().await
}

fn healthcheck<const N: usize>(command: [&str; N]) -> Healthcheck {
    Healthcheck::cmd(command)
        .with_interval(Duration::from_millis(250))
        .with_timeout(Duration::from_secs(5))
        .with_retries(u32::try_from(LIMIT.as_millis() / 250).unwrap_or(u32::MAX))
}

/// Where this process reaches a port of the container.
async fn address(
    container: &Container,
    port: ContainerPort,
) -> Result<String, TestcontainersError> {
    let host = match container.get_host().await?.to_string() {
        // Docker may give the same port another number for IPv6.
        name if name == "localhost" => "127.0.0.1".to_owned(),
        other => other,
    };
    let port = container.get_host_port_ipv4(port).await?;
    Ok(format!("{host}:{port}"))
}
