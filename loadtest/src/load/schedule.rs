//! When each event is to be sent. Nothing that happens while they are sent changes it: the load is
//! an open loop.
//!
//! The rate over time is a list of segments, and with it the number of events that are due by a
//! time. Events that are spread evenly are due when that number reaches 0, 1, 2 and so on; random
//! ones when it reaches the arrivals of a Poisson process with rate 1.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// How events are spread over time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Evenly.
    #[default]
    Uniform,
    /// At random and independent of each other, as those of many users are.
    Exponential,
}

/// Some time with one rate, or with one that rises or falls evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Segment {
    /// Events per second at its beginning.
    pub from: f64,
    /// Events per second at its end.
    pub to: f64,
    /// How long it is.
    pub seconds: f64,
}

impl Segment {
    /// Events that are due in all of it.
    pub fn events(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.seconds
    }

    /// Whether the rate stays the same.
    pub fn is_constant(&self) -> bool {
        self.from == self.to
    }

    fn slope(&self) -> f64 {
        (self.to - self.from) / self.seconds
    }

    /// Events that are due `time` seconds into it.
    fn due_by(&self, time: f64) -> f64 {
        self.from * time + self.slope() * time * time / 2.0
    }

    /// When so many events are due: the inverse.
    fn time_of(&self, events: f64) -> f64 {
        let root = (self.from * self.from + 2.0 * self.slope() * events)
            .max(0.0)
            .sqrt();
        match self.from + root {
            0.0 => 0.0,
            sum => (2.0 * events / sum).min(self.seconds),
        }
    }
}

/// All segments, one after the other.
#[derive(Debug, Clone)]
pub struct Schedule(Vec<Placed>);

#[derive(Debug, Clone, Copy)]
struct Placed {
    segment: Segment,
    begins: f64,
    events_before: f64,
}

/// An event of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it is to be sent, in microseconds from the beginning.
    pub micros: u64,
    /// Which segment it belongs to.
    pub segment: usize,
}

impl Schedule {
    /// These segments.
    pub fn new(segments: &[Segment]) -> Self {
        let (mut begins, mut events_before) = (0.0, 0.0);
        let place = |segment: &Segment| {
            let placed = Placed {
                segment: *segment,
                begins,
                events_before,
            };
            begins += segment.seconds;
            events_before += segment.events();
            placed
        };
        Self(segments.iter().map(place).collect())
    }

    /// How long it takes.
    pub fn seconds(&self) -> f64 {
        self.0
            .last()
            .map_or(0.0, |last| last.begins + last.segment.seconds)
    }

    /// When a segment begins, in seconds.
    pub fn begins(&self, segment: usize) -> f64 {
        self.0
            .get(segment)
            .map_or(self.seconds(), |placed| placed.begins)
    }

    /// How many events it has, on average if they are random.
    pub fn events(&self) -> f64 {
        self.due_by(self.seconds())
    }

    /// How many events are due by a time.
    pub fn due_by(&self, seconds: f64) -> f64 {
        let placed = self.0.iter().rev().find(|placed| placed.begins <= seconds);
        placed.map_or(0.0, |placed| {
            let within = (seconds - placed.begins).min(placed.segment.seconds);
            placed.events_before + placed.segment.due_by(within)
        })
    }

    /// The events in the order of time.
    pub fn events_due(&self, arrivals: Arrivals, mut random: Random) -> impl Iterator<Item = Due> {
        let (placed, mut segment, mut reached) = (self.0.clone(), 0, None);
        std::iter::from_fn(move || {
            let step = match arrivals {
                Arrivals::Uniform => 1.0,
                Arrivals::Exponential => -(1.0 - random.unit()).ln(),
            };
            // The first of evenly spread events is due at once.
            let count = match (reached, arrivals) {
                (None, Arrivals::Uniform) => 0.0,
                (reached, _) => reached.unwrap_or(0.0) + step,
            };
            reached = Some(count);
            while count >= placed.get(segment)?.events_before + placed[segment].segment.events() {
                segment += 1;
            }
            let at = placed[segment];
            let seconds = at.begins + at.segment.time_of(count - at.events_before);
            Some(Due {
                micros: (seconds * 1e6) as u64,
                segment,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flat(rate: f64, seconds: f64) -> Segment {
        Segment {
            from: rate,
            to: rate,
            seconds,
        }
    }

    fn due(segments: &[Segment], arrivals: Arrivals, seed: u64) -> Vec<Due> {
        Schedule::new(segments)
            .events_due(arrivals, Random::new(seed))
            .collect()
    }

    #[test]
    fn evenly_spread_events_have_even_distances() {
        let events = due(&[flat(4.0, 1.0), flat(2.0, 1.0)], Arrivals::Uniform, 1);
        let micros: Vec<u64> = events.iter().map(|due| due.micros).collect();
        assert_eq!(micros, [0, 250_000, 500_000, 750_000, 1_000_000, 1_500_000]);
        let segments: Vec<usize> = events.iter().map(|due| due.segment).collect();
        assert_eq!(segments, [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn a_pause_has_no_events() {
        let events = due(
            &[flat(1.0, 1.0), flat(0.0, 5.0), flat(1.0, 1.0)],
            Arrivals::Uniform,
            1,
        );
        let micros: Vec<u64> = events.iter().map(|due| due.micros).collect();
        assert_eq!(micros, [0, 6_000_000]);
    }

    #[test]
    fn random_events_come_from_the_seed_and_have_exponential_distances() {
        let segments = [flat(1000.0, 20.0)];
        let events = due(&segments, Arrivals::Exponential, 7);
        assert_eq!(events, due(&segments, Arrivals::Exponential, 7));
        assert_ne!(events, due(&segments, Arrivals::Exponential, 8));
        // 20,000 expected, with a standard deviation of 141.
        assert!((19_300..20_700).contains(&events.len()), "{}", events.len());
        // Of exponential distances 1/e are longer than the mean.
        let longer = events
            .windows(2)
            .filter(|pair| pair[1].micros - pair[0].micros > 1000)
            .count();
        let share = longer as f64 / events.len() as f64;
        assert!((0.34..0.40).contains(&share), "{share}");
    }

    proptest! {
        /// By any time so many events were sent as the rate says, in any shape of load.
        #[test]
        fn the_rate_is_kept(
            shape in prop::collection::vec((0_u32..500, 0_u32..500, 1_u32..20), 1..6),
            at in 0.0_f64..1.0,
        ) {
            let segments: Vec<Segment> = shape
                .into_iter()
                .map(|(from, to, seconds)| Segment {
                    from: f64::from(from),
                    to: f64::from(to),
                    seconds: f64::from(seconds),
                })
                .collect();
            let schedule = Schedule::new(&segments);
            let events = due(&segments, Arrivals::Uniform, 1);
            prop_assert!((events.len() as f64 - schedule.events()).abs() <= 1.0);
            prop_assert!(events.is_sorted_by_key(|due| (due.segment, due.micros)));
            let time = at * schedule.seconds();
            let sent = events.partition_point(|due| (due.micros as f64) < time * 1e6) as f64;
            prop_assert!((sent - schedule.due_by(time)).abs() <= 1.01);
        }
    }
}
