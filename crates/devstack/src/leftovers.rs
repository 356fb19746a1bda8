//! What a dev stack leaves behind when it is killed: its processes. They are written down when they
//! are started, and stopped by the next stack on the same folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::docker::{self, DOCKER};
use super::error::DevStackError;
use super::progress::Progress;

/// The command line of every process that was started, by process id.
pub type Started = BTreeMap<u32, String>;

const FILE: &str = "processes.json";
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes down which processes were started.
pub fn write(folder: &Path, started: &Started) -> Result<(), DevStackError> {
    super::data::write_json(&folder.join(FILE), started)
}

/// Stops the processes that an earlier stack on this folder left behind. A process that was given
/// the same id meanwhile is left alone: its command line differs.
pub async fn stop(folder: &Path, progress: &Progress) -> Result<(), DevStackError> {
    let path = folder.join(FILE);
    let started: Started = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(DevStackError::file("cannot read", path)(source)),
    };
    if started.values().any(|line| line.starts_with(DOCKER)) {
        // With their containers end the programs that show them.
        docker::remove_left(folder).await?;
    }
    let is_running = |(pid, line): &(&u32, &String)| command_line(**pid).as_ref() == Some(line);
    let running = || {
        started
            .iter()
            .filter(is_running)
            .map(|(pid, _)| *pid)
            .collect::<Vec<_>>()
    };
    let left = running();
    if left.is_empty() {
        return Ok(());
    }
    progress.say(&format!(
        "stopping {} processes of an earlier dev stack",
        left.len()
    ));
    let begun = Instant::now();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for pid in running() {
            if let Ok(pid @ 1..) = i32::try_from(pid) {
                // It may have ended meanwhile.
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
        while !running().is_empty() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // A killed process is gone in a moment; it must be before its data is opened again.
    while !running().is_empty() && begun.elapsed() < 2 * PATIENCE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The command line of a running process, its words joined by spaces.
fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = bytes.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        return Some(
            words
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that ends with the test, however the test ends.
    struct Sleep(std::process::Child);

    impl Sleep {
        fn start() -> Self {
            let mut command = std::process::Command::new("sleep");
            let started = Self(command.arg("600").spawn().unwrap());
            // A program that has begun has no command line yet for a moment.
            while command_line(started.0.id()).is_none_or(|line| line.is_empty()) {
                std::thread::yield_now();
            }
            started
        }
    }

    impl Drop for Sleep {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn stops_what_is_ours_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mut ours, mut foreign) = (Sleep::start(), Sleep::start());
        let started = Started::from([
            (ours.0.id(), "sleep 600".to_owned()),
            (foreign.0.id(), "sleep 60".to_owned()),
        ]);
        write(folder.path(), &started).unwrap();
        stop(folder.path(), &Progress::silent()).await.unwrap();
        // It has no command line any more a moment before its end can be waited for.
        let begun = Instant::now();
        while ours.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "ours is stopped");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let foreign = foreign.0.try_wait().unwrap();
        assert!(foreign.is_none(), "the other runs on");
    }
}
