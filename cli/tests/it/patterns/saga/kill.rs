//! Trips whose handlers are killed at every step, and one that somebody cancels.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_control::{Control, Settings, control};
use millstream_devstack::Part;
use millstream_pipeline::client::Client;
use millstream_pipeline::config::Endpoints;
use millstream_pipeline::events::{EventMeta, Replies, Topic};
use millstream_pipeline::kafka;
use millstream_pipeline::kafka::group;
use millstream_pipeline::kafka::reader::Seen;
use millstream_schemas::trip_bookings::{TripBooked, TripRejected};
use millstream_topics::TripBookings;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{REJECTED, STEPS, reservations, sent, trip};
use crate::support::watch::Watch;
use crate::support::{LIMIT, OwnStack, client_of, failure, query, unique, until};

const BOOKED: [&str; 5] = [
    "ReserveFlight",
    "ReserveCar",
    "ChargeCard",
    "ConfirmFlight",
    "ConfirmCar",
];
struct Trips {
    stack: OwnStack,
    endpoints: Endpoints,
    client: Arc<Client>,
    watch: Watch,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trip_survives_a_kill_at_every_step() {
    let stack = OwnStack::start(BTreeMap::new()).await;
    let endpoints = stack.endpoints();
    let topics: Vec<&str> = STEPS
        .into_iter()
        .chain([Replies::DECLARATION.name])
        .collect();
    let trips = Trips {
        client: client_of(&endpoints).await,
        watch: Watch::new(&endpoints, &topics).await,
        endpoints,
        stack,
    };
    // A trip's events are its commands and their replies, one after the other.
    for event in 1..=2 * REJECTED.len() {
        trips.killed_after(event).await;
    }
    let undone = ["ReserveFlight", "CancelFlight"];
    trips.ended_by("cancel", &undone).await;
    trips.ended_by("kill", &undone[..1]).await;
}

impl Trips {
    async fn begin(&self, card_number: &str) -> (String, EventMeta) {
        let (id, meta) = (unique("trip"), self.client.meta());
        let mut request = trip();
        request.payment.card_number = card_number.to_owned();
        let sent = self.client.send::<TripBookings>(&id, request, Some(&meta));
        sent.await.unwrap();
        (id, meta)
    }

    /// Kills the handlers when a good and a bad trip have come to their events of this number.
    async fn killed_after(&self, event: usize) {
        let (good, booked) = self.begin("4242").await;
        let (bad, rejected) = self.begin("4111").await;
        let of = |meta: &EventMeta| {
            let id = meta.correlation_id.clone();
            move |seen: &Seen| seen.meta.as_ref().unwrap().correlation_id == id
        };
        self.watch
            .until(event.min(2 * BOOKED.len()), of(&booked))
            .await;
        self.watch.until(event, of(&rejected)).await;
        self.stack.kill_part(Part::Handlers).await.unwrap();
        self.stack.start_part(Part::Handlers).await.unwrap();

        let seen = self.client.result_of(&booked, LIMIT).await.unwrap();
        seen.event::<TripBooked>().unwrap();
        let seen = self.client.result_of(&rejected, LIMIT).await.unwrap();
        let undone = seen.event::<TripRejected>().unwrap().compensations;
        assert_eq!(undone, ["refund-charge", "cancel-car", "cancel-flight"]);
        // Each step once, whatever was killed: a command that was sent twice has the same id.
        sent(&self.watch, &good, &BOOKED).await;
        sent(&self.watch, &bad, &REJECTED).await;
        reservations(&self.endpoints, &good, "CONFIRMED").await;
        reservations(&self.endpoints, &bad, "CANCELLED").await;
    }

    /// Ended by somebody while it waits for its first step: by `cancel`, which lets it undo what it
    /// did, or by `kill`, which does not.
    async fn ended_by(&self, how: &str, commands: &[&str]) {
        self.control(Control::Pause).await;
        self.replies_are_left().await;
        let (id, meta) = self.begin("4242").await;
        let reserved = |seen: &Seen| {
            seen.topic == "replies"
                && seen.meta.as_ref().unwrap().source == format!("Flights/{id}-flight")
        };
        self.watch.until(1, reserved).await;
        let sql = format!(
            "SELECT id FROM sys_invocation WHERE target_service_key = '{id}' AND target_handler_name = 'run'"
        );
        let admin = &self.endpoints.restate_admin;
        let run = query(admin, &sql).await.remove(0);
        let url = format!("{admin}/invocations/{}/{how}", run["id"].as_str().unwrap());
        let http = millstream_pipeline::http::builder()
            .no_proxy()
            .build()
            .unwrap();
        let ended = http.patch(url).send().await.unwrap();
        ended.error_for_status().unwrap();
        self.control(Control::Resume).await;
        let seen = self.client.result_of(&meta, LIMIT).await.unwrap();
        assert_eq!(failure(&seen), "cancelled");
        sent(&self.watch, &id, commands).await;
    }

    /// Restate leaves the group some time after its subscription is deleted.
    async fn replies_are_left(&self) {
        let prefix = Settings::default().prefix;
        let group = group::of_handler(&prefix, Replies::DECLARATION.name, "Replies/onEvent");
        let look: BaseConsumer = kafka::client(&self.endpoints.kafka).create().unwrap();
        until("a group without members", async || {
            let groups = look.fetch_group_list(Some(&group), Duration::from_secs(5));
            let groups = groups.ok()?;
            groups.groups().first()?.members().is_empty().then_some(())
        })
        .await;
    }

    async fn control(&self, what: Control) {
        let settings = Settings::default();
        control(
            &[Replies::DECLARATION],
            &self.endpoints,
            &settings,
            what,
            |_| {},
        )
        .await
        .unwrap();
    }
}
