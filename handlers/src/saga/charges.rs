//! Charges: a card is charged once for each charge id, and refunded at most once.

use millstream_pipeline::failure::Failure;
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::charges::{Charge, ChargeCard, Status};
use millstream_topics::{Charges, ChargesEvent, TOPICS};
use serde::{Deserialize, Serialize};

/// The card is refused.
pub const CARD_DECLINED: &str = "card-declined";
/// The charge was refunded before it was made.
pub const CHARGE_REFUNDED: &str = "charge-refunded";

/// Cards that begin like this are refused.
const DECLINED: &str = "4111";

/// A charge.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What was charged, in cents.
    #[serde(default)]
    charged_cents: i64,
    /// Final: whatever was charged was given back.
    #[serde(default)]
    refunded: bool,
}

/// Charges a card, or gives the money back. Either is so once, however often it is asked for.
pub fn decide(account: &mut Account, event: ChargesEvent) -> Result<Charge, Failure> {
    let status = match event {
        ChargesEvent::RefundCharge(_) => {
            account.refunded = true;
            Status::Refunded
        }
        ChargesEvent::ChargeCard(card) => {
            charge(account, &card)?;
            Status::Charged
        }
    };
    Ok(Charge { status })
}

fn charge(account: &mut Account, card: &ChargeCard) -> Result<(), Failure> {
    if account.refunded {
        let message = "this charge was refunded; make another one";
        return Err(Failure::new(CHARGE_REFUNDED, message));
    }
    if card.amount_cents <= 0 {
        return Err(Failure::invalid_request("amount_cents must be more than 0"));
    }
    if account.charged_cents == 0 && card.card_number.starts_with(DECLINED) {
        let message = "the card is refused; pay with another one";
        return Err(Failure::new(CARD_DECLINED, message));
    }
    if ![0, card.amount_cents].contains(&account.charged_cents) {
        return Err(Failure::invalid_request(
            "this charge was made with another amount; make another one",
        ));
    }
    account.charged_cents = card.amount_cents;
    Ok(())
}

/// The service. Its key is the charge id.
pub fn charges(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("Charges" in TOPICS))
        .on::<Charges, _>(decide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_schemas::charges::RefundCharge;

    fn pay(account: &mut Account, card_number: &str, amount_cents: i64) -> Result<Charge, Failure> {
        let card_number = card_number.to_owned();
        let card = ChargeCard {
            card_number,
            amount_cents,
        };
        decide(account, card.into())
    }

    #[test]
    fn a_charge_is_made_once_and_refunded_for_good() {
        let mut account = Account::default();
        for _ in 0..2 {
            assert_eq!(
                pay(&mut account, "4242", 5).unwrap().status,
                Status::Charged
            );
            assert_eq!(account.charged_cents, 5);
        }
        assert_eq!(
            pay(&mut account, "4242", 6).unwrap_err().code,
            "invalid-request"
        );
        for _ in 0..2 {
            let refunded = decide(&mut account, RefundCharge {}.into()).unwrap();
            assert_eq!(refunded.status, Status::Refunded);
        }
        assert_eq!(
            pay(&mut account, "4242", 5).unwrap_err().code,
            CHARGE_REFUNDED
        );
    }

    #[test]
    fn bad_cards_and_amounts_change_nothing() {
        let mut account = Account::default();
        let refused = pay(&mut account, "4111111111111111", 5).unwrap_err();
        assert_eq!(refused.code, CARD_DECLINED);
        for amount in [0, -5] {
            assert_eq!(
                pay(&mut account, "4242", amount).unwrap_err().code,
                "invalid-request"
            );
        }
        assert_eq!(account, Account::default());
    }
}
