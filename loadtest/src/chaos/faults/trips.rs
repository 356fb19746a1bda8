//! What a trip must come to: each step once and in order, or all of it undone in reverse, once.

use std::collections::{BTreeMap, HashMap};

use millstream_pipeline::events::Event;
use millstream_schemas::trip_bookings::BookTrip;

use crate::chaos::ledger::checker::Report;

/// How a trip ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything is to be had.
    Booked,
    /// The card is refused.
    Declined,
    /// There is no car.
    NoCar,
    /// The car is sold before it can be confirmed, when all else is done.
    Overbooked,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Booked, Self::Declined, Self::NoCar, Self::Overbooked];

    /// A trip that ends so.
    pub fn request(self) -> anyhow::Result<BookTrip> {
        let mut request: BookTrip = serde_json::from_str(BookTrip::schema().example)?;
        match self {
            Self::Booked => request.payment.card_number = "4242".into(),
            Self::Declined => request.payment.card_number = "4111".into(),
            Self::NoCar => request.car.pickup_location = "SOLD-OUT".into(),
            Self::Overbooked => request.car.pickup_location = "OVERBOOKED".into(),
        }
        Ok(request)
    }

    /// The commands that it sends, in order.
    pub fn commands(self) -> &'static [&'static str] {
        match self {
            Self::Booked => &[
                "ReserveFlight",
                "ReserveCar",
                "ChargeCard",
                "ConfirmFlight",
                "ConfirmCar",
            ],
            Self::Declined => &[
                "ReserveFlight",
                "ReserveCar",
                "ChargeCard",
                "RefundCharge",
                "CancelCar",
                "CancelFlight",
            ],
            Self::NoCar => &["ReserveFlight", "ReserveCar", "CancelFlight"],
            Self::Overbooked => &[
                "ReserveFlight",
                "ReserveCar",
                "ChargeCard",
                "ConfirmFlight",
                "ConfirmCar",
                "RefundCharge",
                "CancelCar",
                "CancelFlight",
            ],
        }
    }

    /// What its result says was undone.
    fn undone(self) -> &'static [&'static str] {
        match self {
            Self::Booked => &[],
            Self::NoCar => &["cancel-flight"],
            Self::Declined | Self::Overbooked => &["refund-charge", "cancel-car", "cancel-flight"],
        }
    }

    /// The state of its flight, its car and its charge in the end; `None`: there is none.
    fn states(self) -> [Option<&'static str>; 3] {
        match self {
            Self::Booked => [Some("CONFIRMED"), Some("CONFIRMED"), Some("charged")],
            Self::Declined | Self::Overbooked => {
                [Some("CANCELLED"), Some("CANCELLED"), Some("refunded")]
            }
            Self::NoCar => [Some("CANCELLED"), None, None],
        }
    }
}

/// A record that belongs to a trip.
#[derive(Debug, Clone)]
pub struct Step {
    /// Id of the event.
    pub id: String,
    /// Short name of the event.
    pub name: String,
    /// Timestamp of the record.
    pub timestamp: i64,
    /// Digest of its value.
    pub digest: u64,
}

/// What is known of a trip in the end.
#[derive(Debug, Default)]
pub struct Trip {
    /// Commands to the services, as they stand on the topics.
    pub commands: Vec<Step>,
    /// Its results.
    pub results: Vec<Step>,
    /// What the last result says was undone; `None`: that it is booked.
    pub undone: Option<Vec<String>>,
    /// State of flight, car and charge.
    pub states: [Option<String>; 3],
}

/// Counts what is wrong with a trip.
pub fn judge(name: &str, ending: Ending, trip: &Trip, report: &mut Report) {
    report.events += 1;
    report.raw_results += trip.results.len() as u64;
    let mut wrong = Vec::new();

    let results = distinct(&trip.results, report);
    match results.len() {
        0 => {
            report.loss += 1;
            wrong.push("it has no result".to_owned());
        }
        1 => {}
        more => {
            report.visible_duplicates += more as u64 - 1;
            wrong.push(format!("it has {more} results"));
        }
    }

    let expected = ending.commands();
    let mut commands = distinct(&trip.commands, report);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for command in &commands {
        *counts.entry(&command.name).or_default() += 1;
    }
    for name in expected {
        match counts.remove(name).unwrap_or_default() {
            0 => {
                report.loss += 1;
                wrong.push(format!("{name} is missing"));
            }
            count => {
                report.visible_duplicates += count - 1;
                if count > 1 {
                    wrong.push(format!("{name} was sent {count} times"));
                }
            }
        }
    }
    for (name, count) in counts {
        report.phantoms += count;
        wrong.push(format!("{name} does not belong to it"));
    }

    // Two commands of one millisecond stand on different topics: nobody can tell their order. Both
    // confirmations are sent at once.
    let is_confirmation = |name: &str| name.starts_with("Confirm");
    let place = |step: &Step| {
        expected.iter().position(|name| {
            *name == step.name || (is_confirmation(name) && is_confirmation(&step.name))
        })
    };
    commands.sort_by_key(|step| (step.timestamp, place(step)));
    let swapped = commands
        .windows(2)
        .filter(|pair| place(&pair[0]) > place(&pair[1]))
        .count();
    if swapped > 0 {
        report.inversions += swapped as u64;
        let names: Vec<_> = commands.iter().map(|step| step.name.as_str()).collect();
        wrong.push(format!("its order is {}", names.join(", ")));
    }

    let undone = trip.undone.as_deref().unwrap_or_default();
    if trip.undone.is_some() != (ending != Ending::Booked) || undone != ending.undone() {
        report.chain_mismatches += 1;
        wrong.push(format!("its result says {:?} was undone", trip.undone));
    }
    let states = trip.states.each_ref().map(Option::as_deref);
    if states != ending.states() {
        report.chain_mismatches += 1;
        wrong.push(format!("it is left half done: {states:?}"));
    }
    report.notes.extend(
        wrong
            .into_iter()
            .map(|what| format!("trip {name} ({ending:?}): {what}"))
            .take(20_usize.saturating_sub(report.notes.len())),
    );
}

/// Of each id the first record; counts copies, and other values under the same id.
fn distinct(steps: &[Step], report: &mut Report) -> Vec<Step> {
    let mut known: HashMap<&str, &Step> = HashMap::new();
    let mut first = Vec::new();
    for step in steps {
        match known.get(step.id.as_str()) {
            None => {
                known.insert(&step.id, step);
                first.push(step.clone());
            }
            Some(same) => {
                report.raw_duplicates += 1;
                report.conflicts += u64::from(same.digest != step.digest);
            }
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(ending: Ending) -> Trip {
        let step = |(at, name): (usize, &&str)| Step {
            id: format!("id-{at}"),
            name: (*name).to_owned(),
            timestamp: at as i64,
            digest: 1,
        };
        Trip {
            commands: ending.commands().iter().enumerate().map(step).collect(),
            results: vec![step((99, &"TripBooked"))],
            undone: (ending != Ending::Booked)
                .then(|| ending.undone().iter().map(|&it| it.to_owned()).collect()),
            states: ending.states().map(|state| state.map(str::to_owned)),
        }
    }

    fn judged(ending: Ending, change: impl FnOnce(&mut Trip)) -> Report {
        let (mut trip, mut report) = (good(ending), Report::default());
        change(&mut trip);
        judge("trip", ending, &trip, &mut report);
        report
    }

    #[test]
    fn a_good_trip_is_clean_and_a_copy_of_a_record_harms_nobody() {
        for ending in Ending::ALL {
            assert!(judged(ending, |_| {}).is_clean());
            let copied = judged(ending, |trip| {
                let copy = trip.commands[1].clone();
                trip.commands.push(copy);
            });
            assert!(copied.is_clean());
            assert_eq!(copied.raw_duplicates, 1);
        }
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        type Change = fn(&mut Trip);
        type Found = fn(&Report) -> u64;
        let cases: [(Change, Found); 8] = [
            (|it| it.results.clear(), |it| it.loss),
            (|it| drop(it.commands.remove(2)), |it| it.loss),
            (
                |it| {
                    let mut again = it.commands[2].clone();
                    again.id = "another".into();
                    it.commands.push(again);
                },
                |it| it.visible_duplicates,
            ),
            (
                |it| {
                    let mut again = it.results[0].clone();
                    again.id = "another".into();
                    it.results.push(again);
                },
                |it| it.visible_duplicates,
            ),
            (|it| it.commands[1].timestamp = 50, |it| it.inversions),
            (
                |it| it.commands[1].name = "ShipOrder".into(),
                |it| it.phantoms,
            ),
            (
                |it| {
                    let mut again = it.commands[1].clone();
                    again.digest = 2;
                    it.commands.push(again);
                },
                |it| it.conflicts,
            ),
            (
                |it| it.states[0] = Some("RESERVED".into()),
                |it| it.chain_mismatches,
            ),
        ];
        for (at, (change, found)) in cases.into_iter().enumerate() {
            for ending in [Ending::Booked, Ending::Declined, Ending::Overbooked] {
                assert!(
                    found(&judged(ending, change)) > 0,
                    "case {at} of {ending:?}"
                );
            }
        }
        let reversed = judged(Ending::Declined, |it| {
            let undone = it.undone.as_mut().unwrap();
            undone.reverse();
        });
        assert_eq!(reversed.chain_mismatches, 1);
    }
}
