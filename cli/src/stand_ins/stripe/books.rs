//! What the provider keeps of payments.

use std::collections::{BTreeMap, HashMap};

use axum::http::StatusCode;
use millstream_pipeline::record::digest::{digest, hex};
use serde_json::{Value, json};

use super::control::{Delivery, Plan, Seen};
use super::error;

/// Payment methods, and why they are declined.
const METHODS: [(&str, Option<&str>); 4] = [
    ("pm_card_visa", None),
    ("pm_card_mastercard", None),
    ("pm_card_visa_chargeDeclined", Some("card_declined")),
    ("pm_card_chargeDeclinedExpiredCard", Some("expired_card")),
];

/// The largest amount: eight digits.
const MAX_AMOUNT: i64 = 99_999_999;

/// The books.
#[derive(Default)]
pub struct Books {
    intents: BTreeMap<String, Intent>,
    /// Requests by their `Idempotency-Key`.
    pub once: HashMap<String, Once>,
    pub plans: HashMap<String, Plan>,
    questions: HashMap<String, u32>,
}

/// A request that is carried out once.
pub enum Once {
    UnderWay(BTreeMap<String, String>),
    Done(BTreeMap<String, String>, (StatusCode, Value)),
}

struct Intent {
    id: String,
    payment: String,
    amount: i64,
    currency: String,
    declined: Option<&'static str>,
    /// The provider has told what it decided.
    decided: bool,
    /// A webhook was delivered, or left out.
    settled: bool,
    created_micros: i64,
}

impl Intent {
    fn json(&self) -> Value {
        let status = match (self.decided, self.declined) {
            (false, _) => "processing",
            (true, None) => "succeeded",
            (true, Some(_)) => "requires_payment_method",
        };
        let declined = self.declined.filter(|_| self.decided);
        let declined = declined
            .map(|code| json!({ "type": "card_error", "code": code, "message": "Declined." }));
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "currency": self.currency,
            "created": self.created_micros / 1_000_000,
            "last_payment_error": declined,
            "metadata": { "payment_id": self.payment },
            "status": status,
        })
    }

    /// The event that its webhooks hold.
    fn event(&self) -> Value {
        let kind = match self.declined {
            None => "payment_intent.succeeded",
            Some(_) => "payment_intent.payment_failed",
        };
        let id = hex::<12>(&digest(&[self.id.as_bytes(), kind.as_bytes()]));
        json!({
            "id": format!("evt_{id}"),
            "object": "event",
            "api_version": "2020-08-27",
            "created": jiff::Timestamp::now().as_second(),
            "data": { "object": self.json() },
            "livemode": false,
            "type": kind,
        })
    }
}

fn refused(code: &str, param: &str, message: &str) -> (StatusCode, Value) {
    let body = error("invalid_request_error", code, param, message);
    (StatusCode::BAD_REQUEST, body)
}

/// The id of a new payment, what is planned for it, and the answer.
type Created = (String, Plan, (StatusCode, Value));

impl Books {
    /// What is answered to a request that was made before; else it is under way from now on.
    pub fn once(
        &mut self,
        key: &str,
        form: &BTreeMap<String, String>,
    ) -> Option<(StatusCode, Value)> {
        match self.once.get(key) {
            None => {
                let under_way = Once::UnderWay(form.clone());
                self.once.insert(key.to_owned(), under_way);
                None
            }
            Some(Once::Done(before, answer)) if before == form => Some(answer.clone()),
            Some(Once::UnderWay(before)) if before == form => {
                let message = "Another request with this key is under way.";
                let body = error("idempotency_error", "idempotency_key_in_use", "", message);
                Some((StatusCode::CONFLICT, body))
            }
            Some(_) => {
                let message =
                    "Keys can only be used with the parameters they were first used with.";
                let body = error("idempotency_error", "", "", message);
                Some((StatusCode::BAD_REQUEST, body))
            }
        }
    }

    /// Creates a payment and confirms it, or says what is wrong with the request.
    pub fn create(
        &mut self,
        form: &BTreeMap<String, String>,
    ) -> Result<Created, (StatusCode, Value)> {
        let text = |name: &str| form.get(name).map_or("", String::as_str);
        let amount: i64 = text("amount").parse().unwrap_or(0);
        if amount <= 0 {
            let message = "This value must be greater than or equal to 1.";
            return Err(refused("parameter_invalid_integer", "amount", message));
        }
        if amount > MAX_AMOUNT {
            let message = "Amount must be no more than $999,999.99";
            return Err(refused("amount_too_large", "amount", message));
        }
        if text("currency").len() != 3 || text("confirm") != "true" {
            let message = "This stand-in wants a currency and confirm=true.";
            return Err(refused("parameter_missing", "currency", message));
        }
        let method = text("payment_method");
        let Some((_, declined)) = METHODS.iter().find(|(name, _)| *name == method) else {
            let message = format!("No such PaymentMethod: '{method}'");
            return Err(refused("resource_missing", "payment_method", &message));
        };
        let payment = text("metadata[payment_id]").to_owned();
        let plan = self.plans.get(&payment).cloned().unwrap_or_default();
        let id = format!("pi_{}", uuid::Uuid::now_v7().simple());
        let intent = Intent {
            id: id.clone(),
            payment,
            amount,
            currency: text("currency").to_owned(),
            declined: *declined,
            decided: text("metadata[delayed_status]") != "true",
            settled: false,
            created_micros: jiff::Timestamp::now().as_microsecond(),
        };
        let answer = match intent.declined.filter(|_| intent.decided) {
            None => (StatusCode::OK, intent.json()),
            Some(code) => {
                let mut body = error("card_error", code, "", "Your card was declined.");
                body["error"]["payment_intent"] = intent.json();
                (StatusCode::PAYMENT_REQUIRED, body)
            }
        };
        self.intents.insert(id.clone(), intent);
        Ok((id, plan, answer))
    }

    /// Decides about a payment: the event, and how often it is delivered. `None` if that is done.
    pub fn settle(&mut self, id: &str) -> Option<(Value, u32)> {
        let intent = self.intents.get_mut(id).filter(|intent| !intent.settled)?;
        (intent.decided, intent.settled) = (true, true);
        let plan = self.plans.get(&intent.payment).cloned().unwrap_or_default();
        let times = match plan.delivery {
            Delivery::AtOnce | Delivery::Later => 1,
            Delivery::Twice => 2,
            Delivery::Never => 0,
        };
        Some((intent.event(), times))
    }

    /// Ids of the provider of a payment.
    pub fn ids(&self, payment: &str) -> Vec<String> {
        let of_it = |intent: &&Intent| intent.payment == payment;
        let found = self.intents.values().filter(of_it);
        found.map(|intent| intent.id.clone()).collect()
    }

    /// Answers a question about a payment.
    pub fn retrieve(&mut self, id: &str) -> Option<Value> {
        let intent = self.intents.get(id)?;
        *self.questions.entry(intent.payment.clone()).or_default() += 1;
        Some(intent.json())
    }

    /// What was asked about a payment.
    pub fn seen(&self, payment: &str) -> Seen {
        Seen {
            intents: self.ids(payment).len(),
            questions: self.questions.get(payment).copied().unwrap_or_default(),
        }
    }
}
