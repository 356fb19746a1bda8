//! A Kafka that takes nobody without TLS and SASL, and lets users do what they have rights to.

use std::path::PathBuf;
use std::process::Stdio;

use millstream_devstack::{Progress, programs};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::tls::certificate;

/// Users whose password is their name with this after it.
const PASSWORD: &str = "-password";
const USERS: [&str; 7] = [
    "admin",
    "millstream-handlers",
    "millstream-gateway",
    "millstream-guard",
    "millstream-apply",
    "millstream-registry",
    "millstream-restate",
];

pub struct Broker {
    /// Where users show a password (SCRAM-SHA-512).
    pub scram: String,
    /// Where they show a token (OAUTHBEARER).
    pub tokens: String,
    pub folder: TempDir,
    libraries: PathBuf,
    _process: Child,
}

impl Broker {
    /// One with nothing in it, which answers.
    pub async fn start(ports: &[u16; 3]) -> Self {
        let (libraries, _) = programs(&Progress::silent()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [scram, tokens, controller] = ports;
        let properties = folder.path().join("server.properties");
        let data = folder.path().join("data");
        let (authority, certificate) = (certificate("authority.pem"), certificate("server.pem"));
        let module = "org.apache.kafka.common.security";
        let text = format!(
            "process.roles=broker,controller
node.id=1870265317
controller.quorum.voters=1870265317@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=SCRAM://127.0.0.1:{scram},TOKENS://127.0.0.1:{tokens},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=SCRAM://localhost:{scram},TOKENS://localhost:{tokens}
listener.security.protocol.map=SCRAM:SASL_SSL,TOKENS:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SCRAM
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram.scram-sha-512.sasl.jaas.config={module}.scram.ScramLoginModule required username=\"admin\" password=\"admin{PASSWORD}\";
listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.tokens.oauthbearer.sasl.jaas.config={module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";
# A connection ends with its token, unless the client shows another one on it.
listener.name.tokens.oauthbearer.connections.max.reauth.ms=60000
ssl.keystore.type=PEM
ssl.keystore.location={certificate}
ssl.truststore.type=PEM
ssl.truststore.location={authority}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:admin;User:ANONYMOUS
log.dirs={}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
",
            data.display(),
        );
        std::fs::write(&properties, text).unwrap();
        let properties = properties.display().to_string();
        let mut format = java(&libraries);
        let id = "bWlsbHN0cmVhbS10ZXN0cw";
        format.args(["kafka.tools.StorageTool", "format", "-t", id]);
        format.args(["-c", &properties]);
        for user in USERS {
            let login = format!("SCRAM-SHA-512=[name={user},password={user}{PASSWORD}]");
            format.args(["--add-scram", &login]);
        }
        let output = format.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let log = std::fs::File::create(folder.path().join("kafka.log")).unwrap();
        let process = java(&libraries)
            .args(["-Xmx512m", "kafka.Kafka", &properties])
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            scram: format!("localhost:{scram}"),
            tokens: format!("localhost:{tokens}"),
            folder,
            libraries,
            _process: process,
        }
    }

    /// A file of settings, for `--kafka-config`: this user with its password.
    pub fn user(&self, name: &str) -> String {
        self.login(name, &format!("{name}{PASSWORD}"), "authority.pem")
    }

    /// The same, with any password, and the file of an authority.
    pub fn login(&self, name: &str, password: &str, authority: &str) -> String {
        let text = format!(
            "security.protocol=SASL_SSL\nssl.ca.location={}\nsasl.mechanism=SCRAM-SHA-512\n\
             sasl.username={name}\nsasl.password={password}\n",
            certificate(authority)
        );
        self.file(&format!("{name}-{}.properties", text.len()), &text)
    }

    /// Writes a file; answers its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Runs commands for `kafka-acls.sh` as the administrator, as the documentation says.
    pub async fn grant(&self, commands: &str) {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
        let admin = self.file(
            "admin.properties",
            &format!(
                "security.protocol=SASL_SSL\nssl.truststore.type=PEM\n\
                 ssl.truststore.location={}\nsasl.mechanism=SCRAM-SHA-512\n\
                 sasl.jaas.config={module} required username=\"admin\" password=\"admin{PASSWORD}\";\n",
                certificate("authority.pem")
            ),
        );
        let jars = self.libraries.display();
        // Kafka's own script stands in its distribution and not among the jars.
        let script = format!(
            "set -e\nkafka-acls.sh() {{ java -XX:TieredStopAtLevel=1 -cp '{jars}/*' \
             org.apache.kafka.tools.AclCommand \"$@\"; }}\n{commands}"
        );
        let output = Command::new("bash")
            .arg(self.file("acls.sh", &script))
            .env("KAFKA", &self.scram)
            .env("ADMIN", admin)
            .output()
            .await
            .unwrap();
        let log = self.log();
        assert!(output.status.success(), "{output:?}\n{log}");
    }

    /// What the broker has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("kafka.log")).unwrap_or_default()
    }
}

fn java(libraries: &std::path::Path) -> Command {
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(libraries.join("*"));
    command
}
