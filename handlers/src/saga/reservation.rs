//! Flights and rental cars: reserved, then confirmed or cancelled.

use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::car_rentals::{self, CarReservation};
use millstream_schemas::flights::{self, FlightReservation};
use millstream_topics::{CarRentals, CarRentalsEvent, Flights, FlightsEvent, TOPICS};
use serde::{Deserialize, Serialize};

/// The flight has no seat left.
pub const FLIGHT_SOLD_OUT: &str = "flight-sold-out";
/// No car is left.
pub const CAR_UNAVAILABLE: &str = "car-unavailable";
/// The reservation was cancelled: it can neither be made nor confirmed any more.
pub const RESERVATION_CANCELLED: &str = "reservation-cancelled";
/// There is no such reservation.
pub const NOT_RESERVED: &str = "not-reserved";

/// What a flight id or a pickup location holds when nothing is to be had there: this catalogue has
/// no airline behind it.
const SOLD_OUT: &str = "SOLD-OUT";
/// The same for what is sold before it can be confirmed.
const OVERBOOKED: &str = "OVERBOOKED";

/// A reservation.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// Of what.
    #[serde(default)]
    what: String,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Reserved,
    Confirmed,
    Cancelled,
}

/// What is asked of a reservation.
enum Ask<'a> {
    Reserve {
        what: &'a str,
        sold_out: &'static str,
    },
    Confirm {
        sold_out: &'static str,
    },
    Cancel,
}

impl Reservation {
    /// Asking for what is so already changes nothing. Cancelled is final, also before the
    /// reservation: a command that arrives after its undo must not be carried out.
    fn ask(&mut self, ask: Ask<'_>) -> Result<Status, Failure> {
        let cancelled = || Failure::new(RESERVATION_CANCELLED, "make another reservation");
        let status = match (ask, self.status) {
            (Ask::Cancel, _) => Status::Cancelled,
            (_, Some(Status::Cancelled)) => return Err(cancelled()),
            (Ask::Reserve { .. }, Some(status)) => status,
            (Ask::Reserve { what, sold_out }, None) => {
                if what.trim().is_empty() {
                    return Err(Failure::invalid_request("say what is to be reserved"));
                }
                if what.contains(SOLD_OUT) {
                    let message = format!("nothing is left of {what}; choose another one");
                    return Err(Failure::new(sold_out, message));
                }
                self.what = what.to_owned();
                Status::Reserved
            }
            (Ask::Confirm { sold_out }, Some(Status::Reserved)) => {
                if self.what.contains(OVERBOOKED) {
                    let message = format!("{} is overbooked; choose another one", self.what);
                    return Err(Failure::new(sold_out, message));
                }
                Status::Confirmed
            }
            (Ask::Confirm { .. }, Some(Status::Confirmed)) => Status::Confirmed,
            (Ask::Confirm { .. }, None) => {
                return Err(Failure::new(NOT_RESERVED, "reserve before you confirm"));
            }
        };
        self.status = Some(status);
        Ok(status)
    }
}

fn flight(state: &mut Reservation, event: FlightsEvent) -> Result<FlightReservation, Failure> {
    let sold_out = FLIGHT_SOLD_OUT;
    let status = match &event {
        FlightsEvent::ReserveFlight(seat) => state.ask(Ask::Reserve {
            what: &seat.flight_id,
            sold_out,
        }),
        FlightsEvent::ConfirmFlight(_) => state.ask(Ask::Confirm { sold_out }),
        FlightsEvent::CancelFlight(_) => state.ask(Ask::Cancel),
    };
    let status = match status? {
        Status::Reserved => flights::Status::Reserved,
        Status::Confirmed => flights::Status::Confirmed,
        Status::Cancelled => flights::Status::Cancelled,
    };
    Ok(FlightReservation { status })
}

/// Reserves seats. Its key is the reservation id.
pub fn flights(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("Flights" in TOPICS))
        .on::<Flights, _>(flight)
}

fn car(state: &mut Reservation, event: CarRentalsEvent) -> Result<CarReservation, Failure> {
    let sold_out = CAR_UNAVAILABLE;
    let status = match &event {
        CarRentalsEvent::ReserveCar(car) => state.ask(Ask::Reserve {
            what: &car.pickup_location,
            sold_out,
        }),
        CarRentalsEvent::ConfirmCar(_) => state.ask(Ask::Confirm { sold_out }),
        CarRentalsEvent::CancelCar(_) => state.ask(Ask::Cancel),
    };
    let status = match status? {
        Status::Reserved => car_rentals::Status::Reserved,
        Status::Confirmed => car_rentals::Status::Confirmed,
        Status::Cancelled => car_rentals::Status::Cancelled,
    };
    Ok(CarReservation { status })
}

/// Reserves rental cars. Its key is the reservation id.
pub fn car_rentals(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("CarRentals" in TOPICS))
        .on::<CarRentals, _>(car)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: Ask<'_> = Ask::Reserve {
        what: "12345",
        sold_out: FLIGHT_SOLD_OUT,
    };
    const CONFIRM: Ask<'_> = Ask::Confirm {
        sold_out: FLIGHT_SOLD_OUT,
    };

    #[test]
    fn what_is_so_already_stays_so() {
        let mut seat = Reservation::default();
        assert_eq!(seat.ask(CONFIRM).unwrap_err().code, NOT_RESERVED);
        for _ in 0..2 {
            assert_eq!(seat.ask(RESERVE), Ok(Status::Reserved));
        }
        for _ in 0..2 {
            assert_eq!(seat.ask(CONFIRM), Ok(Status::Confirmed));
            assert_eq!(seat.ask(RESERVE), Ok(Status::Confirmed));
        }
    }

    #[test]
    fn cancelled_is_final_even_before_the_reservation() {
        for before in [vec![], vec![RESERVE], vec![RESERVE, CONFIRM]] {
            let mut seat = Reservation::default();
            for ask in before {
                seat.ask(ask).unwrap();
            }
            for _ in 0..2 {
                assert_eq!(seat.ask(Ask::Cancel), Ok(Status::Cancelled));
            }
            assert_eq!(seat.ask(RESERVE).unwrap_err().code, RESERVATION_CANCELLED);
            assert_eq!(seat.ask(CONFIRM).unwrap_err().code, RESERVATION_CANCELLED);
        }
    }
}
