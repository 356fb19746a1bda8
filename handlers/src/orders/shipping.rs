//! Shipments at the carrier, who may be out of reach for a while.

use std::time::Duration;

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::http;
use millstream_pipeline::service::{Pipeline, Service};
use millstream_pipeline::service_name;
use millstream_schemas::shipments::{Shipment, ShipmentState};
use millstream_topics::{Shipments, ShipmentsEvent, TOPICS};
use reqwest::Method;
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Settings, check_items};

/// The carrier does not take the order.
pub const SHIPMENT_REJECTED: &str = "shipment-rejected";
/// The carrier did not answer, however often it was tried.
pub const CARRIER_UNAVAILABLE: &str = "carrier-unavailable";
/// The shipment was cancelled; it is not initiated again.
pub const SHIPMENT_CANCELLED: &str = "shipment-cancelled";

/// The first try and three retries.
const MAX_TRIES: u32 = 4;
/// First and longest pause between tries; each is twice the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// How long the carrier may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The service. Its key is the order id.
pub struct Shipping {
    service: Service,
    carrier: Carrier,
}

impl Shipping {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline, settings: &Settings) -> Self {
        Self {
            service: pipeline.service(service_name!(Shipping in TOPICS)),
            carrier: Carrier {
                url: settings.carrier.clone(),
                client: http::client(),
            },
        }
    }
}

/// The shipment of one order.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipped {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<Shipment>,
}

/// What a command has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: it is so already.
    Nothing(Shipment),
    /// To hand these items over to the carrier.
    Ship(Vec<String>),
    /// To take the order back from the carrier.
    Cancel,
}

/// Each command may come again; a cancellation comes to stay.
pub fn decide(shipped: &Shipped, command: ShipmentsEvent) -> Result<Ask, Failure> {
    match (command, shipped.status) {
        (ShipmentsEvent::InitiateShipment(_), Some(Shipment::Cancelled)) => Err(Failure::new(
            SHIPMENT_CANCELLED,
            "the shipment was cancelled; order again under a new order id",
        )),
        (ShipmentsEvent::InitiateShipment(_), Some(status @ Shipment::Initiated))
        | (ShipmentsEvent::CancelShipment(_), Some(status @ Shipment::Cancelled)) => {
            Ok(Ask::Nothing(status))
        }
        (ShipmentsEvent::InitiateShipment(command), None) => {
            check_items(&command.items)?;
            Ok(Ask::Ship(command.items))
        }
        // The carrier is asked even if we know of no shipment: it may have taken one and its answer
        // was lost.
        (ShipmentsEvent::CancelShipment(_), _) => Ok(Ask::Cancel),
    }
}

/// The carrier: `PUT /shipments/{order}` with `{"items": [..]}` takes an order, `DELETE` gives it
/// back; both may be repeated. 4xx is a rejection, anything else is tried again.
#[derive(Clone)]
struct Carrier {
    url: String,
    client: reqwest::Client,
}

/// The carrier's word.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Word {
    Done,
    Rejected { status: u16 },
}

impl Carrier {
    async fn ask(&self, order: &str, items: Option<&[String]>) -> HandlerResult<Json<Word>> {
        let url = http::address(&self.url, ["shipments", order])?;
        let request = match items {
            Some(items) => self
                .client
                .put(url)
                .json(&serde_json::json!({ "items": items })),
            None => self.client.request(Method::DELETE, url),
        };
        let answer = request.timeout(ANSWER_LIMIT).send().await?;
        let status = answer.status().as_u16();
        Ok(Json(match status {
            429 => return Err(format!("the carrier answered {status}").into()),
            // The carrier never had what is taken back.
            404 if items.is_none() => Word::Done,
            400..=499 => Word::Rejected { status },
            _ => {
                answer.error_for_status()?;
                Word::Done
            }
        }))
    }
}

impl Shipping {
    /// Asks the carrier to ship these items, or to take the order back.
    async fn ask(
        &self,
        ctx: &ObjectContext<'_>,
        items: Option<Vec<String>>,
    ) -> Result<(), Failure> {
        let (carrier, order) = (self.carrier.clone(), ctx.key().to_owned());
        let name = match items {
            Some(_) => "ship",
            None => "cancel",
        };
        let asked = ctx
            .run(async move || carrier.ask(&order, items.as_deref()).await)
            .name(name)
            .retry_policy(
                RunRetryPolicy::new()
                    .initial_delay(PAUSES.0)
                    .exponentiation_factor(2.0)
                    .max_delay(PAUSES.1)
                    .max_attempts(MAX_TRIES),
            )
            .await;
        match asked {
            Ok(Json(Word::Done)) => Ok(()),
            Ok(Json(Word::Rejected { status })) => Err(Failure::new(
                SHIPMENT_REJECTED,
                format!("the carrier answered {status}; ask the carrier why"),
            )),
            Err(error) if error.code() == 409 => Err(Failure::new(
                failure::CANCELLED,
                "the work was cancelled; send the command again",
            )),
            Err(error) => Err(Failure::passing(
                CARRIER_UNAVAILABLE,
                format!(
                    "the carrier was tried {MAX_TRIES} times ({}); send the command again",
                    error.message()
                ),
            )),
        }
    }
}

#[restate_sdk::object]
impl Shipping {
    /// Handles `shipments`.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        let received = self.service.receive::<Shipments, Shipped>(&ctx, record);
        let Some(mut turn) = received.await? else {
            return Ok(());
        };
        if let Err(failure) = http::check_segment(ctx.key()) {
            return turn.fail(failure).await;
        }
        let command = turn.event.clone();
        let (items, status) = match decide(turn.state(), command) {
            Ok(Ask::Nothing(status)) => return turn.answer(ShipmentState { status }).await,
            Ok(Ask::Ship(items)) => (Some(items), Shipment::Initiated),
            Ok(Ask::Cancel) => (None, Shipment::Cancelled),
            Err(failure) => return turn.fail(failure).await,
        };
        if let Err(failure) = self.ask(&ctx, items).await {
            return turn.fail(failure).await;
        }
        turn.state().status = Some(status);
        turn.answer(ShipmentState { status }).await
    }
}

#[cfg(test)]
mod tests {
    use millstream_schemas::shipments::{CancelShipment, InitiateShipment};

    use super::*;

    fn initiate() -> ShipmentsEvent {
        let items = vec!["laptop".to_owned()];
        InitiateShipment { items }.into()
    }

    #[test]
    fn the_carrier_is_asked_once_and_a_cancellation_stays() {
        let at = |status| Shipped { status };
        let cancel = || ShipmentsEvent::from(CancelShipment {});
        let (initiated, cancelled) = (Shipment::Initiated, Shipment::Cancelled);
        let ship = Ask::Ship(vec!["laptop".into()]);
        assert_eq!(decide(&at(None), initiate()), Ok(ship));
        let again = decide(&at(Some(initiated)), initiate());
        assert_eq!(again, Ok(Ask::Nothing(initiated)));
        let refused = decide(&at(Some(cancelled)), initiate()).unwrap_err();
        assert_eq!(refused.code, SHIPMENT_CANCELLED);

        assert_eq!(decide(&at(None), cancel()), Ok(Ask::Cancel));
        assert_eq!(decide(&at(Some(initiated)), cancel()), Ok(Ask::Cancel));
        let again = decide(&at(Some(cancelled)), cancel());
        assert_eq!(again, Ok(Ask::Nothing(cancelled)));
    }

    #[test]
    fn nothing_is_not_shipped() {
        let refused = decide(&Shipped::default(), InitiateShipment::default().into());
        assert_eq!(refused.unwrap_err().code, failure::INVALID_REQUEST);
    }
}
