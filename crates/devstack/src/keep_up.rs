//! Bringing back parts that die.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;

use super::Part;
use super::error::DevStackError;
use super::stack::DevStack;

/// A part that has run for so long is not said to die again and again.
const CALM: Duration = Duration::from_secs(60);
/// The longest pause before a part is started again.
const LONGEST: Duration = Duration::from_secs(30);

/// What became of one part.
#[derive(Debug, Default)]
struct Deaths {
    /// Since the stack was started.
    all: u32,
    /// Since it last ran for long.
    in_a_row: u32,
    up_since: Option<Instant>,
    /// Whether it is being brought back.
    coming: bool,
}

impl Deaths {
    /// One more; how long to wait before the part is started again.
    fn add(&mut self) -> Duration {
        if self.up_since.is_some_and(|since| since.elapsed() > CALM) {
            self.in_a_row = 0;
        }
        self.up_since = None;
        self.all += 1;
        self.in_a_row += 1;
        pause(self.in_a_row)
    }
}

/// None before the first time, then a second, then always twice as long, up to a limit.
fn pause(in_a_row: u32) -> Duration {
    match in_a_row.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => Duration::from_secs(1 << doublings.min(5)).min(LONGEST),
    }
}

type Start<'s> = LocalBoxFuture<'s, (Part, Result<(), DevStackError>)>;

impl DevStack {
    /// Starts each part again that ends without being asked to, for ever, and says so. The others go
    /// on meanwhile. One that does not come up is tried again, too.
    pub async fn keep_up(&self, mut say: impl FnMut(String)) -> Infallible {
        let mut deaths: BTreeMap<Part, Deaths> = BTreeMap::new();
        let mut starts: FuturesUnordered<Start<'_>> = FuturesUnordered::new();
        loop {
            let (part, what) = tokio::select! {
                death = self.wait() => {
                    // Of one that is being started the start itself tells.
                    if deaths.get(&death.part).is_some_and(|deaths| deaths.coming) {
                        continue;
                    }
                    (death.part, format!("ended ({})", death.reason()))
                }
                Some((part, started)) = starts.next() => match started {
                    Ok(()) => {
                        let deaths = deaths.entry(part).or_default();
                        (deaths.coming, deaths.up_since) = (false, Some(Instant::now()));
                        say(format!("{part} runs again"));
                        continue;
                    }
                    Err(error) => (part, format!("does not start: {error}\n{part} is down")),
                },
            };
            let deaths = deaths.entry(part).or_default();
            let pause = deaths.add();
            deaths.coming = true;
            say(format!(
                "{part} {what}; starting it again{}, for the {}",
                match pause.as_secs() {
                    0 => String::new(),
                    seconds => format!(" in {seconds} s"),
                },
                match deaths.all {
                    1 => "first time".to_owned(),
                    all => format!("{all}. time; its log is {}", self.log(part).display()),
                }
            ));
            starts.push(Box::pin(async move {
                tokio::time::sleep(pause).await;
                (part, self.start_part(part).await)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_brought_back_at_once_and_then_less_and_less_often() {
        let pauses: Vec<u64> = (1..9).map(|times| pause(times).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }
}
