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
use super::docker::Container;
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
    /// Where it runs, if not on this machine itself.
    pub container: Option<Container>,
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
        let words = self.words();
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// What is run, without a wrapper: the program, or what runs it in its container.
    fn words(&self) -> Vec<OsString> {
        match &self.container {
            Some(container) => {
                let set = self.set.iter();
                let set = set.map(|(name, value)| (name.as_str(), value.as_str()));
                container.words(&self.program, &self.arguments, set)
            }
            None => {
                let program = self.program.clone().into_os_string();
                [&[program][..], &self.arguments[..]].concat()
            }
        }
    }

    /// The command, and the name of its program.
    fn command(&self) -> (Command, String) {
        let words = [&self.wrapper[..], &self.words()[..]].concat();
        let mut words = words.into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(&program);
        command.args(words).kill_on_drop(true);
        if self.container.is_none() {
            command.envs(self.set.iter().map(|(name, value)| (name, value)));
            for name in &self.unset {
                command.env_remove(name);
            }
        }
        (command, program.display().to_string())
    }

    /// Runs it to its end; `part` is what it makes the data of.
    pub async fn format(&self, part: &'static str) -> Result<(), DevStackError> {
        let (mut command, program) = self.command();
        let mut unfinished = Unfinished(self.container.as_ref());
        let output = command.output().await;
        unfinished.0 = None;
        let output = output.map_err(|source| DevStackError::Run { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(DevStackError::Format {
            part,
            said: String::from_utf8_lossy(&said).trim().to_owned(),
        })
    }
}

/// A container that is removed with this: Docker's program, when it is killed, leaves it behind.
struct Unfinished<'c>(Option<&'c Container>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(container) = self.0 {
            container.remove();
        }
    }
}

/// A part that runs, or ran.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    stop: Signal,
    log: PathBuf,
    container: Option<Container>,
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
        let (mut command, program) = line.command();
        command
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let cannot_run = |source| DevStackError::Run { program, source };
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
            container: line.container.clone(),
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
        self.kill_now();
        self.end().await;
    }

    fn kill_now(&self) {
        match &self.container {
            Some(container) if self.status().is_none() => container.remove(),
            _ => {}
        }
        self.signal(Signal::SIGKILL);
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
        self.kill_now();
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
            container: None,
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
