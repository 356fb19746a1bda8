//! One part as a process of its own: started in its own process group, watched, stopped with
//! a signal and after a limit with SIGKILL, killed when it is dropped.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{ChildStdin, Command};
use tokio::sync::{mpsc, watch};

use super::Part;
use super::error::DevStackError;

/// How long a part may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many lines of a log are shown.
const TAIL: usize = 20;

/// What to run.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// A program, with its arguments, that becomes this one; mostly empty.
    pub wrapper: Vec<OsString>,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables that are set for it.
    pub set: Vec<(String, String)>,
    /// Variables that it must not inherit.
    pub unset: Vec<&'static str>,
}

impl CommandLine {
    /// Program and arguments as the system shows them, joined by spaces.
    pub fn shown(&self) -> String {
        std::iter::once(self.program.as_os_str())
            .chain(self.arguments.iter().map(OsString::as_os_str))
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A part that runs, or ran.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    stop: Signal,
    log: PathBuf,
    ended: watch::Receiver<Option<ExitStatus>>,
    awaited: watch::Sender<bool>,
    // Our own programs end when this closes, which it does however this process ends.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts it. Its output is added to the log; if it ends without [`Process::stop`], `deaths`
    /// is told.
    pub fn start(
        part: Part,
        line: &CommandLine,
        log: &Path,
        deaths: mpsc::UnboundedSender<(Part, String)>,
    ) -> Result<Self, DevStackError> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let output = open().map_err(DevStackError::file("cannot open the log", log))?;
        let errors = open().map_err(DevStackError::file("cannot open the log", log))?;
        let program = line.program.clone().into_os_string();
        let mut words = line.wrapper.iter().chain([&program]).chain(&line.arguments);
        let mut command = Command::new(words.next().unwrap_or(&program));
        command
            .args(words)
            .envs(line.set.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .kill_on_drop(true);
        for name in &line.unset {
            command.env_remove(name);
        }
        let cannot_run = |source| DevStackError::Run {
            program: line
                .wrapper
                .first()
                .unwrap_or(&program)
                .display()
                .to_string(),
            source,
        };
        let mut child = command.spawn().map_err(cannot_run)?;
        let pid = child.id().unwrap_or_default();
        // Waiting would close it.
        let stdin = child.stdin.take();
        let (tell, ended) = watch::channel(None);
        let (awaited, is_awaited) = watch::channel(false);
        tokio::spawn(async move {
            let Ok(status) = child.wait().await else {
                return;
            };
            if !*is_awaited.borrow() {
                // Nobody may be watching, which is their choice.
                let _ = deaths.send((part, status.to_string()));
            }
            tell.send_replace(Some(status));
        });
        Ok(Self {
            pid,
            stop: match part {
                // At SIGTERM it would wait for its clients to leave.
                Part::Postgres => Signal::SIGINT,
                _ => Signal::SIGTERM,
            },
            log: log.to_owned(),
            ended,
            awaited,
            _stdin: stdin,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it did.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Asks it to end, waits, and kills it when it takes too long.
    pub async fn stop(mut self) {
        self.awaited.send_replace(true);
        self.signal(self.stop);
        if tokio::time::timeout(PATIENCE, self.end()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills it at once, as a crash would.
    pub async fn kill(&mut self) {
        self.awaited.send_replace(true);
        self.signal(Signal::SIGKILL);
        self.end().await;
    }

    async fn end(&mut self) {
        // An error means that the watching task is gone, and the process with it.
        let _ = self.ended.wait_for(Option::is_some).await;
    }

    fn signal(&self, signal: Signal) {
        // The id is still ours as long as nobody has waited for the process.
        if self.status().is_none()
            && let Ok(pid @ 1..) = i32::try_from(self.pid)
        {
            // It may have ended meanwhile.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.awaited.send_replace(true);
        self.signal(Signal::SIGKILL);
    }
}

/// The last lines of a file.
pub fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> CommandLine {
        CommandLine {
            wrapper: Vec::new(),
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            set: Vec::new(),
            unset: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_death_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (deaths, mut dead) = mpsc::unbounded_channel();
        let process =
            Process::start(Part::Registry, &shell("echo oh no; exit 3"), &log, deaths).unwrap();
        let (part, status) = dead.recv().await.unwrap();
        assert_eq!((part, status.as_str()), (Part::Registry, "exit status: 3"));
        assert_eq!(process.tail(), "oh no");
    }

    #[tokio::test]
    async fn a_stop_is_no_death() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (deaths, mut dead) = mpsc::unbounded_channel();
        let process = Process::start(Part::Kafka, &shell("sleep 600"), &log, deaths).unwrap();
        process.stop().await;
        assert_eq!(dead.recv().await, None, "the sender went without a message");
    }

    #[tokio::test]
    async fn own_programs_notice_that_the_parent_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (deaths, mut dead) = mpsc::unbounded_channel();
        let mut process =
            Process::start(Part::Handlers, &shell("read x; exit 7"), &log, deaths).unwrap();
        process._stdin = None;
        assert_eq!(dead.recv().await.unwrap().1, "exit status: 7");
    }
}
