//! What the dev stack is doing, on stderr: a spinner with the time it takes, or plain lines where
//! stderr is no terminal or `NO_COLOR` is set.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where progress is shown.
#[derive(Debug, Clone)]
pub struct Progress(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Silent,
    Lines,
    Spinners(MultiProgress),
}

impl Progress {
    /// Shows nothing.
    pub fn silent() -> Self {
        Self(Kind::Silent)
    }

    /// Shows it on stderr, in the form that stderr allows.
    pub fn stderr() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
            || !std::io::stderr().is_terminal();
        Self(if plain {
            Kind::Lines
        } else {
            Kind::Spinners(MultiProgress::new())
        })
    }

    /// Begins something that takes a while.
    pub fn step(&self, what: impl Into<String>) -> Step {
        let what = what.into();
        let bar = match &self.0 {
            Kind::Spinners(all) => {
                let bar = all.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
                    bar.set_style(style);
                }
                bar.set_message(what.clone());
                bar.enable_steady_tick(Duration::from_millis(100));
                Some(bar)
            }
            Kind::Lines => {
                line(format_args!("{what} ..."));
                None
            }
            Kind::Silent => None,
        };
        Step {
            progress: self.clone(),
            what,
            bar,
            begun: Instant::now(),
        }
    }

    /// Says something once.
    pub fn say(&self, text: &str) {
        match &self.0 {
            Kind::Silent => {}
            Kind::Lines => line(format_args!("{text}")),
            // Only fails when stderr is gone, and then nobody reads it.
            Kind::Spinners(all) => drop(all.println(text)),
        }
    }
}

/// A line on standard error. That nobody can read it is no error.
fn line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Something that is going on. It vanishes from the terminal when it is dropped.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    what: String,
    bar: Option<ProgressBar>,
    begun: Instant,
}

impl Step {
    /// Shows a detail behind the step's name, where there is a spinner.
    pub fn detail(&self, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {detail}", self.what));
        }
    }

    /// Ends it and says so, with the time it took.
    pub fn done(self, said: &str) {
        let line = format!("{said} ({:.1} s)", self.begun.elapsed().as_secs_f32());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.progress.say(&line);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
