//! A single Postgres server. It refuses to run as root, so there it is run as an ordinary user who
//! may still reach the stack's folder.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::data::Data;
use super::docker::Container;
use super::error::DevStackError;
use super::own::address;
use super::ports::Ports;
use super::process::CommandLine;

/// The superuser, who may log in from this machine without a password.
const USER: &str = "millstream";
/// The database that every server has.
const DATABASE: &str = "postgres";
/// Who runs the server when we are root: `nobody` of most systems.
const NOBODY: u32 = 65534;
/// Changes identity as well, and keeps one right of root: to pass folders that are root's alone,
/// such as its home with the cache of programs. The secure bit lets access(2) know of that right.
const AS_NOBODY: [&str; 7] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override",
    "--ambient-caps=-all,+dac_override",
];
/// How long the processes of a killed server may take to notice that it is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The programs `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub struct Postgres {
    programs: PathBuf,
    container: Option<Container>,
}

impl Postgres {
    /// The one that was fetched, or an installed one. `programs` holds `initdb` and `postgres`.
    pub fn new(programs: PathBuf) -> Self {
        Self {
            programs,
            container: None,
        }
    }

    /// That of an image, whose programs are in the container's path.
    pub fn contained(container: Container) -> Self {
        Self {
            programs: PathBuf::new(),
            container: Some(match are_root() {
                true => container.of_user(NOBODY, NOBODY),
                false => container,
            }),
        }
    }

    /// Makes the data directory unless it is there; comes back when it is usable.
    pub async fn format(&self, data: &Data) -> Result<(), DevStackError> {
        let folder = data.postgres();
        let cluster = cluster(&folder);
        if cluster.exists() {
            return Ok(());
        }
        let cannot_make = |source| DevStackError::file("cannot make", &folder)(source);
        if are_root() {
            std::os::unix::fs::chown(&folder, Some(NOBODY), Some(NOBODY)).map_err(cannot_make)?;
        }
        // What an interrupted attempt left is not taken for whole.
        let unfinished = folder.join("unfinished");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(cannot_make)?;
        }
        let arguments = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "-D"];
        let mut arguments: Vec<OsString> = arguments.map(OsString::from).into();
        arguments.push(unfinished.clone().into());
        self.line("initdb", arguments).format("Postgres").await?;
        std::fs::rename(&unfinished, &cluster).map_err(cannot_make)
    }

    /// How the server is started.
    pub fn command_line(&self, data: &Data, ports: &Ports) -> CommandLine {
        let mut arguments: Vec<OsString> = vec![
            "-D".into(),
            cluster(&data.postgres()).into(),
            "-p".into(),
            ports.postgres.to_string().into(),
        ];
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            // Without it there is no two-phase commit. As many as commands may be under way.
            "max_prepared_transactions=1000",
            "max_connections=200",
            "fsync=on",
        ] {
            arguments.extend(["-c".into(), setting.into()]);
        }
        self.line("postgres", arguments)
    }

    fn line(&self, program: &str, arguments: Vec<OsString>) -> CommandLine {
        CommandLine {
            wrapper: match self.container {
                Some(_) => Vec::new(),
                None => wrapper(),
            },
            container: self.container.clone(),
            program: self.programs.join(program),
            arguments,
            set: Vec::new(),
            unset: vec!["PGDATA", "PGPORT"],
        }
    }
}

/// Where an installed Postgres has its programs, asked of `pg_config`.
pub fn installed() -> Option<PathBuf> {
    let output = std::process::Command::new("pg_config")
        .arg("--bindir")
        .output()
        .ok()?;
    let folder = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    folder.join("initdb").is_file().then_some(folder)
}

/// The connection URL.
pub fn url(ports: &Ports) -> String {
    format!("postgresql://{USER}@{}/{DATABASE}", address(ports.postgres))
}

/// The data directory proper, which `initdb` wants to make itself.
fn cluster(folder: &Path) -> PathBuf {
    folder.join("cluster")
}

/// What has to stand before a program of Postgres; empty for an ordinary user.
fn wrapper() -> Vec<OsString> {
    match are_root() {
        true => AS_NOBODY.map(OsString::from).to_vec(),
        false => Vec::new(),
    }
}

/// Whether this process runs as root, for whom `setpriv` is needed.
pub fn are_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Waits until no process of an earlier server is left. Those of a killed one end when they notice,
/// and as long as one is there a new server refuses the data. Where the system does not tell, it
/// does not wait.
pub async fn settle(folder: &Path) {
    let cluster = cluster(folder);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && is_working_directory(&cluster) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_working_directory(folder: &Path) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|process| {
        std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder)
    })
}

/// Whether the server lets a client in; during start and recovery it accepts connections and
/// refuses the client.
pub async fn lets_in(address: &str) -> bool {
    ask(address).await.unwrap_or(false)
}

/// A start-up message of protocol 3.0; the answer begins with `R` for a client that is let in.
async fn ask(address: &str) -> std::io::Result<bool> {
    let parameters = format!("user\0{USER}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap_or_default();
    let mut message = [length.to_be_bytes(), 196_608_u32.to_be_bytes()].concat();
    message.extend(parameters.as_bytes());
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&message).await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    // Says goodbye, or the log would complain.
    stream.write_all(b"X\0\0\0\x04").await?;
    Ok(answer == *b"R")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_server_that_lets_clients_in_counts() {
        use tokio::net::TcpListener;
        for (answer, expected) in [(b'R', true), (b'E', false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            tokio::spawn(async move {
                let (mut client, _) = listener.accept().await.unwrap();
                client.write_all(&[answer]).await.unwrap();
                let mut until_it_has_gone = Vec::new();
                client.read_to_end(&mut until_it_has_gone).await.unwrap();
            });
            assert_eq!(lets_in(&address).await, expected);
        }
        assert!(!lets_in("127.0.0.1:1").await, "nobody listens there");
    }

    #[test]
    fn tells_whose_working_directory_a_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        assert!(!is_working_directory(&folder));
        let mut there = std::process::Command::new("sleep")
            .arg("600")
            .current_dir(&folder)
            .spawn()
            .unwrap();
        let seen = is_working_directory(&folder);
        there.kill().unwrap();
        there.wait().unwrap();
        assert!(seen || !Path::new("/proc/self/cwd").exists());
    }
}
