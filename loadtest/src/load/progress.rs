//! What a run is doing, on stderr: a bar on a terminal, else a line every ten seconds.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use super::series::Sample;

/// Seconds between two lines.
const LINES: f64 = 10.0;

/// Shows samples.
pub struct Progress {
    bar: Option<ProgressBar>,
    seconds: f64,
    said: f64,
}

impl Progress {
    /// Of a run that sends for so many seconds.
    pub fn new(seconds: f64) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || !std::io::stderr().is_terminal();
        let bar = (!plain).then(|| {
            let bar = ProgressBar::new(seconds.ceil() as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            seconds,
            said: 0.0,
        }
    }

    /// Shows a second.
    pub fn show(&mut self, sample: &Sample) {
        let line = line(sample, self.seconds);
        match &self.bar {
            Some(bar) => {
                bar.set_position((sample.seconds.min(self.seconds)) as u64);
                bar.set_message(line);
            }
            None if sample.seconds >= self.said + LINES => {
                self.said = sample.seconds;
                eprintln!("{:.0} s  {line}", sample.seconds);
            }
            None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(sample: &Sample, seconds: f64) -> String {
    let p99 = sample
        .latency
        .map_or("-".into(), |it| format!("{:.1} ms", it.p99_ms));
    let lag = sample.lag.map_or("-".into(), |lag| lag.to_string());
    let what = match sample.seconds > seconds + 1.0 {
        true => "awaiting results:",
        false => "",
    };
    format!(
        "{what} target {:.0}/s, sent {:.0}/s, answered {:.0}/s, failed {:.0}/s, p99 {p99}, lag {lag}, \
         unanswered {}",
        sample.target_rate,
        sample.sent_rate,
        sample.answered_rate,
        sample.failed_rate,
        sample.unanswered
    )
    .trim_start()
    .to_owned()
}
