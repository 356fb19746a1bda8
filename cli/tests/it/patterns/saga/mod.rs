//! Trip bookings: a saga over three services.

mod kill;

use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::reader::Seen;
use millstream_schemas::trip_bookings::{BookTrip, TripBooked, TripRejected};
use millstream_schemas::{Event, RequestFailed};
use millstream_topics::TripBookings;

use crate::support::watch::Watch;
use crate::support::{LIMIT, client, endpoints, failure, sql, unique};

/// Topics of the services that a trip asks.
pub const STEPS: [&str; 3] = ["flights", "car-rentals", "charges"];

pub fn trip() -> BookTrip {
    serde_json::from_str(BookTrip::schema().example).unwrap()
}

async fn book(client: &Client, id: &str, request: BookTrip) -> Seen {
    client
        .request::<TripBookings>(id, request, LIMIT)
        .await
        .unwrap()
}

/// Short names of the commands that a trip has sent, in order.
fn commands(watch: &Watch, trip: &str) -> Vec<String> {
    let of_trip = |seen: &Seen| seen.meta.as_ref().unwrap().source.ends_with(trip);
    let name = |seen: Seen| {
        seen.full_name
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut events = watch.events(of_trip);
    events.sort_by_key(|seen| seen.timestamp);
    events.into_iter().map(name).collect()
}

async fn status(endpoints: &Endpoints, object: &str, key: &str) -> Option<String> {
    let (_, state) = sql::state(endpoints, object, key).await.pop()?;
    state["status"].as_str().map(str::to_owned)
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
    assert_eq!(commands(&watch, &id), expected);
    for (object, key) in [
        ("Flights", format!("{id}-flight")),
        ("CarRentals", format!("{id}-car")),
    ] {
        let status = status(endpoints(), object, &key).await;
        assert_eq!(status.as_deref(), Some("CONFIRMED"));
    }
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
    let all = ["refund-charge", "cancel-car", "cancel-flight"];
    let cases = [
        (
            change(|it| it.flight.flight_id = "SOLD-OUT".into()),
            "flight-sold-out",
            &all[3..],
        ),
        (
            change(|it| it.car.pickup_location = "SOLD-OUT".into()),
            "car-unavailable",
            &all[2..],
        ),
        (
            change(|it| it.payment.card_number = "41110".into()),
            "card-declined",
            &all[..],
        ),
        (
            change(|it| it.flight.flight_id = "OVERBOOKED".into()),
            "flight-sold-out",
            &all[..],
        ),
        (
            change(|it| it.car.pickup_location = "OVERBOOKED".into()),
            "car-unavailable",
            &all[..],
        ),
    ];
    for (request, reason, undone) in cases {
        let id = unique("trip");
        let rejected: TripRejected = book(&client, &id, request).await.event().unwrap();
        assert!(rejected.reason.starts_with(reason), "{}", rejected.reason);
        assert_eq!(rejected.compensations, undone);
        let sent = commands(&watch, &id);
        let cancels = ["RefundCharge", "CancelCar", "CancelFlight"];
        assert_eq!(
            sent[sent.len() - undone.len()..],
            cancels[3 - undone.len()..]
        );
        for (object, key) in [("Flights", "flight"), ("CarRentals", "car")] {
            let status = status(endpoints(), object, &format!("{id}-{key}")).await;
            assert!(
                matches!(status.as_deref(), None | Some("CANCELLED")),
                "{status:?}"
            );
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
        assert_eq!(commands(&watch, &id), [""; 0]);
    }
}
