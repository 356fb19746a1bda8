//! Trip bookings: a saga over three services.

mod kill;

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::reader::Seen;
use millstream_schemas::trip_bookings::{BookTrip, TripBooked, TripRejected};
use millstream_schemas::{Event, RequestFailed};
use millstream_topics::TripBookings;

use crate::support::watch::Watch;
use crate::support::{LIMIT, client, endpoints, failure, sql, unique, until};

/// Topics of the services that a trip asks.
pub const STEPS: [&str; 3] = ["flights", "car-rentals", "charges"];

/// What is undone when the card is refused: the compensation's name, and its command.
const UNDONE: [(&str, &str); 3] = [
    ("refund-charge", "RefundCharge"),
    ("cancel-car", "CancelCar"),
    ("cancel-flight", "CancelFlight"),
];

/// What a trip sends that fails at the card.
const REJECTED: [&str; 6] = [
    "ReserveFlight",
    "ReserveCar",
    "ChargeCard",
    "RefundCharge",
    "CancelCar",
    "CancelFlight",
];

pub fn trip() -> BookTrip {
    serde_json::from_str(BookTrip::schema().example).unwrap()
}

async fn book(client: &Client, id: &str, request: BookTrip) -> Seen {
    client
        .request::<TripBookings>(id, request, LIMIT)
        .await
        .unwrap()
}

/// Waits for the commands that a trip sends, by their short names, and checks their order.
async fn sent(watch: &Watch, trip: &str, expected: &[&str]) {
    let of_trip = |seen: &Seen| seen.meta.as_ref().unwrap().source.ends_with(trip);
    watch.until(expected.len(), of_trip).await;
    let name = |seen: &Seen| {
        let full_name = seen.full_name.as_deref().unwrap();
        full_name.rsplit('.').next().unwrap().to_owned()
    };
    // Two commands of one millisecond stand on different topics: nobody can tell their order.
    let place = |seen: &Seen| expected.iter().position(|it| *it == name(seen));
    let mut events = watch.events(of_trip);
    events.sort_by_key(|seen| (seen.timestamp, place(seen)));
    let names: Vec<_> = events.iter().map(name).collect();
    assert_eq!(names, expected, "{trip}");
}

/// Waits until the reservations of a trip stand there. A state is written after its result.
async fn reservations(endpoints: &Endpoints, trip: &str, expected: &str) {
    for (object, key) in [("Flights", "flight"), ("CarRentals", "car")] {
        let key = format!("{trip}-{key}");
        until(&format!("{key} to be {expected}"), async || {
            let (_, state) = sql::state(endpoints, object, &key).await.pop()?;
            (state["status"] == expected).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_is_booked_once_for_all_who_ask() {
    let (client, id) = (client().await, unique("trip"));
    let watch = Watch::new(endpoints(), &STEPS).await;
    let (first, second) = tokio::join!(book(&client, &id, trip()), book(&client, &id, trip()));
    let later = book(&client, &id, trip()).await;
    for seen in [first, second, later] {
        let booked: TripBooked = seen.event().unwrap();
        assert_eq!(booked.flight_reservation, format!("{id}-flight"));
        assert_eq!(booked.car_reservation, format!("{id}-car"));
        assert_eq!(booked.payment_id, format!("{id}-charge"));
    }
    let expected = [
        "ReserveFlight",
        "ReserveCar",
        "ChargeCard",
        "ConfirmFlight",
        "ConfirmCar",
    ];
    sent(&watch, &id, &expected).await;
    reservations(endpoints(), &id, "CONFIRMED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_for_the_same_trip_is_refused() {
    let (client, id) = (client().await, unique("trip"));
    book(&client, &id, trip()).await;
    let mut other = trip();
    other.flight.passenger_name = "Jane Doe".into();
    assert_eq!(
        failure(&book(&client, &id, other).await),
        "idempotency-mismatch"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_the_rest_is_undone_in_reverse() {
    let client = client().await;
    let watch = Watch::new(endpoints(), &STEPS).await;
    let change = |change: fn(&mut BookTrip)| {
        let mut request = trip();
        change(&mut request);
        request
    };
    let cases: [(BookTrip, &str, &[&str]); 5] = [
        (
            change(|it| it.flight.flight_id = "SOLD-OUT".into()),
            "flight-sold-out",
            &["ReserveFlight"],
        ),
        (
            change(|it| it.car.pickup_location = "SOLD-OUT".into()),
            "car-unavailable",
            &["ReserveFlight", "ReserveCar", "CancelFlight"],
        ),
        (
            change(|it| it.payment.card_number = "41110".into()),
            "card-declined",
            &REJECTED,
        ),
        (
            change(|it| it.flight.flight_id = "OVERBOOKED".into()),
            "flight-sold-out",
            &[
                "ReserveFlight",
                "ReserveCar",
                "ChargeCard",
                "ConfirmFlight",
                "RefundCharge",
                "CancelCar",
                "CancelFlight",
            ],
        ),
        (
            change(|it| it.car.pickup_location = "OVERBOOKED".into()),
            "car-unavailable",
            &[
                "ReserveFlight",
                "ReserveCar",
                "ChargeCard",
                "ConfirmFlight",
                "ConfirmCar",
                "RefundCharge",
                "CancelCar",
                "CancelFlight",
            ],
        ),
    ];
    for (request, reason, commands) in cases {
        let id = unique("trip");
        let rejected: TripRejected = book(&client, &id, request).await.event().unwrap();
        assert!(rejected.reason.starts_with(reason), "{}", rejected.reason);
        sent(&watch, &id, commands).await;
        let undone = UNDONE
            .iter()
            .filter(|(_, command)| commands.contains(command));
        let undone: Vec<_> = undone.map(|(name, _)| *name).collect();
        assert_eq!(rejected.compensations, undone);
        if commands.contains(&"CancelCar") {
            reservations(endpoints(), &id, "CANCELLED").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_makes_no_sense_is_refused_before_anything_is_done() {
    let client = client().await;
    let watch = Watch::new(endpoints(), &STEPS).await;
    let mut no_passenger = trip();
    no_passenger.flight.passenger_name.clear();
    let mut negative = trip();
    negative.payment.amount_cents = -150_000;
    for request in [no_passenger, negative] {
        let id = unique("trip");
        let refused = book(&client, &id, request).await;
        assert_eq!(
            refused.event::<RequestFailed>().unwrap().code,
            "invalid-request"
        );
        sent(&watch, &id, &[]).await;
    }
}

/// What a request between services costs the caller's journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_four_journal_entries() {
    let (client, id) = (client().await, unique("trip"));
    book(&client, &id, trip()).await;
    let journals = sql::journals(endpoints(), "BookingWorkflow", &id).await;
    let entries = journals.iter().map(|(_, entries)| entries);
    let run = entries.max_by_key(|entries| entries.len()).unwrap();
    let request = [
        "Command: Sleep",
        "Command: Run",
        "Notification: Run",
        "Notification: Signal",
    ];
    let mut expected = vec!["Command: Input"];
    expected.extend(request.repeat(5));
    expected.push("Command: Output");
    assert_eq!(run, &expected);
}
