//! Trip bookings: a saga over three services.

mod kill;

use millstream_handlers::saga::{CHARGE_REFUNDED, NOT_RESERVED, RESERVATION_CANCELLED};
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{Event, RequestFailed};
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::charges::{ChargeCard, RefundCharge};
use millstream_schemas::flights::{CancelFlight, ConfirmFlight, ReserveFlight};
use millstream_schemas::trip_bookings::{BookTrip, TripBooked, TripRejected};
use millstream_topics::{Charges, ChargesEvent, Flights, FlightsEvent, TripBookings};

use crate::support::watch::Watch;
use crate::support::{LIMIT, client, endpoints, failure, query, sql, unique, until};

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
    let mut names: Vec<_> = events.iter().map(name).collect();
    // Both confirmations are sent at once, so either may come first.
    let turned = |pair: &[String]| pair == ["ConfirmCar", "ConfirmFlight"];
    if let Some(at) = names.windows(2).position(turned) {
        names.swap(at, at + 1);
    }
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
                "ConfirmCar",
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

/// The services by themselves: nothing changes, and nothing is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn services_of_a_trip_refuse_what_makes_no_sense() {
    let (client, key) = (client().await, unique("bad"));
    let flight = async |command: FlightsEvent| {
        let answer = client.request::<Flights>(&key, command, LIMIT).await;
        answer.unwrap()
    };
    let reserve = ReserveFlight {
        flight_id: "12345".into(),
        passenger_name: "John Doe".into(),
    };
    for (command, code) in [
        (ConfirmFlight {}.into(), NOT_RESERVED),
        (ReserveFlight::default().into(), "invalid-request"),
        (ConfirmFlight {}.into(), NOT_RESERVED),
    ] {
        assert_eq!(failure(&flight(command).await), code);
    }
    flight(CancelFlight {}.into()).await;
    for command in [ConfirmFlight {}.into(), reserve.into()] {
        assert_eq!(failure(&flight(command).await), RESERVATION_CANCELLED);
    }
    let charge = async |command: ChargesEvent| {
        let answer = client.request::<Charges>(&key, command, LIMIT).await;
        answer.unwrap()
    };
    let pay = |amount_cents| ChargeCard {
        card_number: "4242".into(),
        amount_cents,
    };
    for amount in [0, -5, i64::MIN] {
        let refused = charge(pay(amount).into()).await;
        assert_eq!(failure(&refused), "invalid-request");
    }
    charge(RefundCharge {}.into()).await;
    assert_eq!(failure(&charge(pay(5).into()).await), CHARGE_REFUNDED);
}

/// What requests between services cost the caller's journal: three entries each, one for each that is
/// sent together with another, and a timer for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_three_journal_entries_and_a_further_one_at_once_is_one() {
    let (client, id) = (client().await, unique("trip"));
    book(&client, &id, trip()).await;
    let journals = sql::journals(endpoints(), "BookingWorkflow", &id).await;
    let entries = journals.iter().map(|(_, entries)| entries);
    let run = entries.max_by_key(|entries| entries.len()).unwrap();
    // A signal comes by another way than what the caller journals, so it may come before that.
    let (signals, own): (Vec<&String>, Vec<_>) = run
        .iter()
        .partition(|entry| *entry == "Notification: Signal");
    assert_eq!(signals.len(), 5);
    let mut expected = vec!["Command: Input", "Command: Sleep"];
    expected.extend(["Command: Run", "Notification: Run"].repeat(4));
    expected.push("Command: Output");
    assert_eq!(own, expected);
}

/// What a run emits has ids of its own: nobody takes it for a copy of what the run before emitted.
#[tokio::test(flavor = "multi_thread")]
async fn a_trip_that_comes_again_after_its_retention_is_booked_again() {
    let (client, id) = (client().await, unique("trip"));
    let watch = Watch::new(endpoints(), &STEPS).await;
    let of_trip = |seen: &Seen| seen.meta.as_ref().unwrap().source.ends_with(&id);
    let first = book(&client, &id, trip()).await;
    first.event::<TripBooked>().unwrap();
    watch.until(5, of_trip).await;
    let admin = &endpoints().restate_admin;
    let sql = format!(
        "SELECT id FROM sys_invocation WHERE target_service_name = 'BookingWorkflow' \
         AND target_service_key = '{id}' AND target_handler_name = 'run'"
    );
    let run = query(admin, &sql).await.remove(0);
    let url = format!("{admin}/invocations/{}/purge", run["id"].as_str().unwrap());
    let http = millstream_pipeline::http::builder()
        .no_proxy()
        .build()
        .unwrap();
    let purged = http.patch(url).send().await.unwrap();
    purged.error_for_status().unwrap();
    until("the end of the retention", async || {
        query(admin, &sql).await.is_empty().then_some(())
    })
    .await;
    let again = book(&client, &id, trip()).await;
    again.event::<TripBooked>().unwrap();
    watch.until(10, of_trip).await;
}
