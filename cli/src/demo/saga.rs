//! A trip is booked; another one fails at the card, and what was done is undone in reverse.

use millstream_pipeline::events::Event;
use millstream_schemas::trip_bookings::{BookTrip, TripBooked, TripRejected};
use millstream_topics::TripBookings;

use super::Run;

pub async fn play(run: &mut Run) -> anyhow::Result<()> {
    let request: BookTrip = serde_json::from_str(BookTrip::schema().example)?;
    let trip = run.key("trip12");
    let booked: TripBooked = run
        .request::<TripBookings, _>(&trip, request.clone())
        .await?;
    run.expect(
        "the flight's reservation",
        booked.flight_reservation,
        format!("{trip}-flight"),
    );

    let mut refused = request;
    refused.payment.card_number = "4111111111111111".into();
    let trip = run.key("trip13");
    let rejected: TripRejected = run.request::<TripBookings, _>(&trip, refused).await?;
    run.expect(
        "what was undone, in order",
        rejected.compensations,
        ["refund-charge", "cancel-car", "cancel-flight"]
            .map(String::from)
            .to_vec(),
    );
    Ok(())
}
