//! A log that cannot be written ends nothing: each program that runs for long, with standard output
//! and standard error on a full device, and on a disk that is full for a while. No broker answers, so
//! that the Kafka client has much to log, in its own threads too.
//!
//! The guard is tried by the load generator's tests: none of the catalogue's topics is guarded, so it
//! would end at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use futures::future::join_all;
use millstream_devstack::Ports;
use millstream_pipeline::observe::metrics::LOG_LINES_LOST_TOTAL;
use tokio::process::{Child, Command};

use crate::support::until;

/// More than the lines of a start.
const LINES: u64 = 20;

/// A program that runs for long.
struct Program {
    name: &'static str,
    /// The last of them is a flag that the address belongs to.
    arguments: Vec<String>,
    /// Where its metrics are.
    address: String,
}

fn programs() -> Vec<Program> {
    let ports = Ports::choose(&[]).unwrap();
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    let program = |name, arguments: &[&str], port| Program {
        name,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        address: local(port),
    };
    let listen = |port| local(port);
    vec![
        program(
            "serve",
            &["--listen", &listen(ports.handlers), "--metrics"],
            ports.metrics,
        ),
        program(
            "gateway",
            &["--listen", &listen(ports.gateway), "--metrics"],
            ports.gateway_metrics,
        ),
        // On a port of a part that does not run here.
        program(
            "exporter",
            &["--interval", "1", "--metrics"],
            ports.restate_admin,
        ),
        program("registry", &["--listen"], ports.registry),
    ]
}

impl Program {
    fn start(&self, folder: &Path, output: &File) -> Child {
        let nobody = "http://127.0.0.1:1";
        Command::new(env!("CARGO_BIN_EXE_millstream"))
            .arg(self.name)
            .args(&self.arguments)
            .arg(&self.address)
            .current_dir(folder)
            .env("RUST_LOG", "debug")
            .env("MILLSTREAM_INSECURE_DEV", "true")
            .env("MILLSTREAM_KAFKA", "127.0.0.1:1")
            .env("MILLSTREAM_SCHEMA_REGISTRY", nobody)
            .env("MILLSTREAM_RESTATE_ADMIN", nobody)
            .env("MILLSTREAM_RESTATE_INGRESS", nobody)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Waits until it has lost more lines than so many; how many.
    async fn loses(&self, child: &mut Child, lines: u64) -> u64 {
        let client = millstream_pipeline::http::builder().no_proxy().build();
        let (http, url) = (client.unwrap(), format!("http://{}/metrics", self.address));
        let what = format!("{} loses more than {lines} lines", self.name);
        let lost = until(&what, || {
            assert_eq!(child.try_wait().unwrap(), None, "{} has ended", self.name);
            let asked = http.get(&url).send();
            async move {
                let text = asked.await.ok()?.text().await.ok()?;
                let mut all = text.lines();
                let line = all.find(|it| it.starts_with(LOG_LINES_LOST_TOTAL))?;
                let lost: u64 = line.rsplit_once(' ')?.1.parse().ok()?;
                (lost > lines).then_some(lost)
            }
        })
        .await;
        assert_eq!(child.try_wait().unwrap(), None, "{} has ended", self.name);
        lost
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_no_program() {
    let folder = &tempfile::tempdir().unwrap();
    let programs = programs();
    let all = programs.iter().map(|program| async move {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut child = program.start(folder.path(), &full);
        program.loses(&mut child, LINES).await;
        child.kill().await.unwrap();
    });
    join_all(all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_when_a_full_disk_has_room_again() {
    let disk = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = std::process::Command::new(arguments[0]);
        let command = command.args(&arguments[1..]).arg(disk.path());
        command.output().is_ok_and(|it| it.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]) {
        eprintln!("skipped: only root may mount a small disk");
        return;
    }
    let (log, filler) = (disk.path().join("log"), disk.path().join("filler"));
    let program = programs().pop().unwrap();
    let output = OpenOptions::new().create(true).append(true).open(&log);
    let mut child = program.start(disk.path(), &output.unwrap());
    let mut fill = File::create(&filler).unwrap();
    while fill.write_all(&[0; 4096]).is_ok() {}
    let lost = program.loses(&mut child, LINES).await;
    program.loses(&mut child, lost).await;
    std::fs::remove_file(&filler).unwrap();
    drop(fill);
    let length = || std::fs::metadata(&log).unwrap().len();
    let before = length();
    until("the log goes on", || async {
        (length() > before).then_some(())
    })
    .await;
    child.kill().await.unwrap();
    assert!(mount(&["umount"]), "nobody uses it any more");
}
