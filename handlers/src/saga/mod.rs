//! Trip booking: flight, car and payment, all or nothing.
//!
//! The workflow asks three services by commands on their topics. Flight and car are reserved and
//! confirmed later, so they are undone after they were reserved; the card is charged in one go, so
//! its undo is registered before. Whatever stops the trip, the undo commands run in reverse.
//!
//! A trip's `run` has 16 entries in its journal: its input, the deadline's timer, three requests of
//! three entries each, the two confirmations, which are sent at once, of four, and its output. Four
//! round trips through Kafka and Restate follow each other.

mod charges;
mod reservation;

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_pipeline::steps::compensations::Compensations;
use millstream_pipeline::steps::{StepError, StepResult, Steps};
use millstream_schemas::trip_bookings::{BookTrip, TripBooked, TripRejected};
use millstream_schemas::{car_rentals, charges as charge, flights as flight};
use millstream_topics::{
    CarRentals as Cars, Charges as Payments, Flights as Seats, TOPICS, TripBookings,
    TripBookingsResult,
};
use restate_sdk::prelude::*;

pub use charges::{CARD_DECLINED, CHARGE_REFUNDED, charges};
pub use reservation::{
    CAR_UNAVAILABLE, FLIGHT_SOLD_OUT, NOT_RESERVED, RESERVATION_CANCELLED, car_rentals, flights,
};

/// How long booking a trip may take. It is longer than some restarts, so that only what is broken
/// stops a trip.
const DEADLINE: Duration = Duration::from_secs(120);

/// The workflow. Its key is the trip id.
pub struct BookingWorkflow(Service);

impl BookingWorkflow {
    /// The workflow on `pipeline`.
    pub fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service(service_name!(BookingWorkflow in TOPICS)))
    }
}

#[restate_sdk::workflow(workflow_completion_retention = "30d")]
impl BookingWorkflow {
    /// Books the trip, once for each trip id.
    #[handler]
    async fn run(&self, ctx: WorkflowContext<'_>, record: Bytes) -> HandlerResult<Bytes> {
        let flow = self.0.run::<TripBookings>(&ctx, record).await?;
        let result = book_or_undo(&flow.steps(), ctx.key(), &flow.event).await;
        flow.finish(result).await
    }

    /// Handles `trip-bookings`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: SharedWorkflowContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.0.start::<TripBookings>(&ctx, record).await
    }
}

async fn book_or_undo(
    steps: &Steps<'_>,
    trip: &str,
    request: &BookTrip,
) -> StepResult<TripBookingsResult> {
    check(request)?;
    let mut undo = Compensations::new();
    match book(steps, trip, request, &mut undo).await {
        Ok(booked) => Ok(booked.into()),
        Err(StepError::Failed(failure)) => {
            let compensations = undo.run(steps).await?;
            match &*failure.code {
                failure::CANCELLED => Err(failure.into()),
                _ => Ok(TripRejected {
                    reason: failure.to_string(),
                    compensations,
                }
                .into()),
            }
        }
        Err(attempt) => Err(attempt),
    }
}

async fn book(
    steps: &Steps<'_>,
    trip: &str,
    request: &BookTrip,
    undo: &mut Compensations,
) -> StepResult<TripBooked> {
    let BookTrip {
        flight,
        car,
        payment,
    } = request.clone();
    let flight_reservation = format!("{trip}-flight");
    let car_reservation = format!("{trip}-car");
    let payment_id = format!("{trip}-charge");

    let mut services = steps.ask(DEADLINE);
    let reserve = flight::ReserveFlight {
        flight_id: flight.flight_id,
        passenger_name: flight.passenger_name,
    };
    let reserved = services.request::<Seats>(&flight_reservation, reserve);
    undo.after::<Seats, _>(
        reserved.await,
        "cancel-flight",
        &flight_reservation,
        flight::CancelFlight {},
    )?;

    let reserve = car_rentals::ReserveCar {
        pickup_location: car.pickup_location,
        rental_date: car.rental_date,
    };
    let reserved = services.request::<Cars>(&car_reservation, reserve);
    undo.after::<Cars, _>(
        reserved.await,
        "cancel-car",
        &car_reservation,
        car_rentals::CancelCar {},
    )?;

    undo.add::<Payments>("refund-charge", &payment_id, charge::RefundCharge {})?;
    let pay = charge::ChargeCard {
        card_number: payment.card_number,
        amount_cents: payment.amount_cents,
    };
    services.request::<Payments>(&payment_id, pay).await?;

    let seat = services.add::<Seats>(&flight_reservation, flight::ConfirmFlight {});
    let wheels = services.add::<Cars>(&car_reservation, car_rentals::ConfirmCar {});
    services.get(seat).await?;
    services.get(wheels).await?;
    Ok(TripBooked {
        flight_reservation,
        car_reservation,
        payment_id,
    })
}

/// What no service needs to be asked about.
fn check(request: &BookTrip) -> Result<(), Failure> {
    let BookTrip {
        flight,
        car,
        payment,
    } = request;
    let texts = [
        ("flight.flight_id", &flight.flight_id),
        ("flight.passenger_name", &flight.passenger_name),
        ("car.pickup_location", &car.pickup_location),
        ("car.rental_date", &car.rental_date),
        ("payment.card_number", &payment.card_number),
    ];
    for (field, text) in texts {
        if text.trim().is_empty() {
            return Err(Failure::invalid_request(format!(
                "{field} is empty; fill it in"
            )));
        }
    }
    if payment.amount_cents <= 0 {
        return Err(Failure::invalid_request(
            "payment.amount_cents must be more than 0",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_pipeline::events::Event;

    fn example() -> BookTrip {
        serde_json::from_str(BookTrip::schema().example).unwrap()
    }

    #[test]
    fn a_trip_says_what_it_needs() {
        assert_eq!(check(&example()), Ok(()));
        let mut no_flight = example();
        no_flight.flight.flight_id = " ".into();
        let mut free = example();
        free.payment.amount_cents = -1;
        for trip in [no_flight, free] {
            assert_eq!(check(&trip).unwrap_err().code, "invalid-request");
        }
    }
}
