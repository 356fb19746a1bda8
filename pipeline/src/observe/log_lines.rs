//! Where log lines go that cannot be written: nowhere. They are counted.
//!
//! A log on a full disk, or behind a pipe that nobody reads any more, must not end a process: the
//! subscriber would complain on standard error, which panics when that cannot be written either, and
//! a panic inside a callback of librdkafka aborts.

use std::io::{self, Write};

use crate::observe::metrics::metrics;

/// A writer that never fails. What it is given at once counts as one line.
#[derive(Debug)]
pub struct LogLines<W>(W);

impl<W: Write> LogLines<W> {
    /// Writes to `inner` what can be written there.
    pub fn new(inner: W) -> Self {
        Self(inner)
    }
}

/// Log lines to standard error.
pub fn stderr() -> LogLines<io::Stderr> {
    LogLines::new(io::stderr())
}

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if self.0.write_all(line).is_err() {
            metrics().log_lines_lost.inc();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What is lost is counted when it is written; standard error keeps nothing back.
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_cannot_be_written_is_lost_and_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let mut lines = LogLines::new(full.unwrap());
        let before = metrics().log_lines_lost.get();
        writeln!(lines, "one").unwrap();
        assert!(metrics().log_lines_lost.get() > before);
        let mut text = Vec::new();
        LogLines::new(&mut text).write_all(b"two\n").unwrap();
        assert_eq!(text, b"two\n");
    }
}
