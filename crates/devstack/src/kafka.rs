//! A Kafka node, broker and controller in one process (KRaft): a single one, or one of a cluster.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::data::Data;
use super::docker::Container;
use super::error::DevStackError;
use super::own::address;
use super::ports::Ports;
use super::prerequisites::java;
use super::process::CommandLine;

// Only warnings, and the lines that say when it started and stopped.
const LOGGING: &str = "status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %m (%c{1})%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=INFO
";

/// The id of the first broker; the others follow. librdkafka may read a leader's id out of memory that
/// nobody has written to, and crashes if it is a broker's: 0, 1, 2 are found there all the time
/// (docs/decisions/0024).
const FIRST_ID: u32 = 1_870_265_317;

/// Where Kafka's program and settings are.
#[derive(Debug, Clone)]
pub struct Kafka {
    container: Option<Container>,
    data: PathBuf,
    libraries: PathBuf,
    properties: PathBuf,
    logging: PathBuf,
}

impl Kafka {
    /// Writes the settings of the node at this index into `folder`.
    pub fn configure(
        (program, container): (&Path, Option<Container>),
        folder: &Path,
        data: &Data,
        node: usize,
        nodes: &[Ports],
    ) -> Result<Self, DevStackError> {
        let kafka = Self {
            container,
            data: data.kafka(node),
            libraries: program.join("libs"),
            properties: data.kafka(node).with_extension("properties"),
            logging: folder.join("kafka-log4j2.properties"),
        };
        let ids: Vec<u32> = (0..nodes.len()).map(|it| id(&data.kafka(it), it)).collect();
        let settings = properties(&kafka.data, node, nodes, &ids);
        for (path, text) in [
            (&kafka.properties, settings.as_str()),
            (&kafka.logging, LOGGING),
        ] {
            std::fs::write(path, text).map_err(DevStackError::file("cannot write", path))?;
        }
        Ok(kafka)
    }

    /// Makes the data directory usable, once.
    pub async fn format(&self, data: &Data) -> Result<(), DevStackError> {
        let mut arguments = self.java_arguments();
        // It runs for half a second: compiling it well would take longer.
        arguments.insert(0, "-XX:TieredStopAtLevel=1".into());
        arguments.extend(["kafka.tools.StorageTool", "format", "-t"].map(OsString::from));
        arguments.extend([
            data.cluster_id().into(),
            "-c".into(),
            self.properties.clone().into(),
        ]);
        self.line(arguments).format("Kafka").await
    }

    /// How the node is started.
    pub fn command_line(&self) -> CommandLine {
        // A heap as small as this is collected in milliseconds by one thread; G1's would be busy
        // beside the broker's.
        let mut arguments: Vec<OsString> = ["-Xms256m", "-Xmx768m", "-XX:+UseSerialGC"]
            .map(OsString::from)
            .to_vec();
        arguments.extend(self.java_arguments());
        arguments.extend(["kafka.Kafka".into(), self.properties.clone().into()]);
        self.line(arguments)
    }

    fn line(&self, arguments: Vec<OsString>) -> CommandLine {
        CommandLine {
            wrapper: Vec::new(),
            container: self.container.clone(),
            program: match &self.container {
                Some(_) => "java".into(),
                None => java(),
            },
            arguments,
            set: Vec::new(),
            unset: Vec::new(),
        }
    }

    fn java_arguments(&self) -> Vec<OsString> {
        let mut logging = OsString::from("-Dlog4j2.configurationFile=");
        logging.push(&self.logging);
        vec![
            "-Djava.awt.headless=true".into(),
            "-Djava.net.preferIPv4Stack=true".into(),
            logging,
            "-cp".into(),
            self.libraries.join("*").into(),
        ]
    }
}

/// The id of a node: the one that its data was formatted with, if there is any.
fn id(data: &Path, node: usize) -> u32 {
    let known = std::fs::read_to_string(data.join("meta.properties")).unwrap_or_default();
    let known = known.lines().find_map(|line| line.strip_prefix("node.id="));
    known
        .and_then(|id| id.trim().parse().ok())
        .unwrap_or(FIRST_ID + u32::try_from(node).unwrap_or_default())
}

fn properties(data: &Path, node: usize, nodes: &[Ports], ids: &[u32]) -> String {
    // In a properties file a backslash begins an escape.
    let data = data.display().to_string().replace('\\', "\\\\");
    let Ports {
        kafka,
        kafka_controller,
        ..
    } = &nodes[node];
    let voters: Vec<_> = ids
        .iter()
        .zip(nodes)
        .map(|(id, ports)| format!("{id}@{}", address(ports.kafka_controller)))
        .collect();
    let (id, voters) = (ids[node], voters.join(","));
    // Of a cluster one node may be away.
    let (copies, in_sync) = (nodes.len(), nodes.len().div_ceil(2));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let (network_threads, io_threads) = ((cores / 2).clamp(1, 3), cores.clamp(1, 8));
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{kafka_controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# Topics come from declarations; a misspelt name is an error.
auto.create.topics.enable=false
# The first member of a group starts at once.
group.initial.rebalance.delay.ms=0
# Clients that keep connecting to a broker which stands still fill the queue of connections, 50 by
# default. One that is dropped there believes itself connected, and for minutes does not try again.
socket.listen.backlog.size=1000
# No more than there are processors: the rest would only take turns.
num.network.threads={network_threads}
num.io.threads={io_threads}
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_keeps_the_id_that_it_was_formatted_with() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(id(folder.path(), 1), FIRST_ID + 1);
        let known = "#\nnode.id=2\nversion=1\n";
        std::fs::write(folder.path().join("meta.properties"), known).unwrap();
        assert_eq!(id(folder.path(), 1), 2);
    }
}
