//! Accounts: money comes in, and goes out as long as there is enough.
//!
//! A command may come twice: its sender was killed before it had noted that it was sent. The
//! window of event ids forgets the first copy when many others have come since, so the account
//! keeps what it did for each movement for as long as a copy may be on its way: a day, and the latest
//! thousand, for all of it is read and written with every event.

use std::collections::BTreeMap;

use millstream_pipeline::failure::{self, Failure};
use millstream_pipeline::lane::decider::Decider;
use millstream_pipeline::service::Pipeline;
use millstream_pipeline::service_name;
use millstream_schemas::accounts::AccountBalance;
use millstream_topics::{Accounts, AccountsEvent, TOPICS};
use serde::{Deserialize, Serialize};

use super::positive;

/// How long a movement is remembered, in milliseconds of the account's time: a day, as idempotency
/// keys are.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;
/// How many movements are remembered. A copy comes within seconds or minutes; whoever
/// moves more in that time spreads it over several accounts.
const REMEMBERED: usize = 1000;

/// An account.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    #[serde(default)]
    balance_cents: i64,
    /// By movement id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    movements: BTreeMap<String, Movement>,
}

/// What was done for a movement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Movement {
    /// Negative: withdrawn.
    cents: i64,
    accepted: bool,
    /// When its command came, in milliseconds since 1970-01-01 UTC.
    at: i64,
}

/// The times of a command, in milliseconds since 1970-01-01 UTC. A producer's clock may be behind, and
/// a command may have waited: what it did is kept from when it came, and forgotten by what others say.
#[derive(Debug, Clone, Copy)]
pub struct When {
    /// When it was recorded.
    pub recorded_ms: i64,
    /// When it came.
    pub taken_ms: i64,
}

impl Account {
    /// Moves money in, or out if `cents` is negative; once for each `id`.
    fn transfer(&mut self, id: &str, cents: i64, when: When) -> Result<AccountBalance, Failure> {
        let (now, at) = (when.recorded_ms, when.taken_ms);
        self.movements
            .retain(|_, movement| now.saturating_sub(movement.at) < REMEMBERED_MS);
        let accepted = match self.movements.get_mut(id) {
            Some(before) if before.cents == cents => {
                // Who has sent one more copy may send another.
                before.at = at;
                before.accepted
            }
            Some(_) => {
                let message = "this movement was asked for with another amount; name a new one";
                return Err(Failure::new(failure::IDEMPOTENCY_MISMATCH, message));
            }
            None => {
                let balance = self.balance_cents.checked_add(cents).ok_or_else(|| {
                    Failure::invalid_request("the account cannot hold that much; deposit less")
                })?;
                let accepted = balance >= 0;
                if accepted {
                    self.balance_cents = balance;
                }
                // A refusal is kept as well: its sender was told, and a copy that comes when
                // there is enough must not move anything.
                let movement = Movement {
                    cents,
                    accepted,
                    at,
                };
                self.movements.insert(id.to_owned(), movement);
                self.forget_oldest();
                accepted
            }
        };
        Ok(AccountBalance {
            balance_cents: self.balance_cents,
            accepted,
        })
    }

    /// Keeps as many movements as may be remembered.
    fn forget_oldest(&mut self) {
        while self.movements.len() > REMEMBERED {
            let oldest = self
                .movements
                .iter()
                .min_by_key(|(_, movement)| movement.at);
            let Some(oldest) = oldest.map(|(id, _)| id.clone()) else {
                return;
            };
            self.movements.remove(&oldest);
        }
    }

    /// Decides about a command with this id.
    pub fn decide(
        &mut self,
        event: &AccountsEvent,
        event_id: &str,
        when: When,
    ) -> Result<AccountBalance, Failure> {
        let (movement, cents) = match event {
            AccountsEvent::Deposit(it) => (&it.movement_id, positive(it.amount_cents)?),
            AccountsEvent::Withdraw(it) => (&it.movement_id, -positive(it.amount_cents)?),
        };
        let id = movement.as_deref().filter(|id| !id.is_empty());
        self.transfer(id.unwrap_or(event_id), cents, when)
    }
}

/// The service. Its key is the account id.
pub fn accounts(pipeline: &Pipeline) -> Decider {
    pipeline
        .decider(service_name!("Accounts" in TOPICS))
        .on_with::<Accounts, Account>(|account, event, outputs| {
            let when = When {
                recorded_ms: outputs.recorded_ms(),
                taken_ms: outputs.taken_ms(),
            };
            let id = &outputs.meta().id;
            account.decide(&event, id, when).map(Some)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_schemas::accounts::{Deposit, Withdraw};

    /// Recorded and taken at this time.
    fn at(ms: i64) -> When {
        When {
            recorded_ms: ms,
            taken_ms: ms,
        }
    }

    fn deposit(amount_cents: i64) -> AccountsEvent {
        let movement_id = None;
        Deposit {
            amount_cents,
            movement_id,
        }
        .into()
    }

    fn withdraw(amount_cents: i64, movement_id: &str) -> AccountsEvent {
        let movement_id = Some(movement_id.to_owned());
        Withdraw {
            amount_cents,
            movement_id,
        }
        .into()
    }

    #[test]
    fn a_movement_is_carried_out_once_however_many_come_between() {
        let mut account = Account::default();
        account.decide(&deposit(1000), "salary", at(0)).unwrap();
        account.decide(&withdraw(100, "rent"), "1", at(1)).unwrap();
        for n in 0..500 {
            let id = format!("small-{n}");
            account.decide(&withdraw(1, &id), &id, at(2)).unwrap();
        }
        let again = account.decide(&withdraw(100, "rent"), "2", at(3)).unwrap();
        assert_eq!((again.accepted, again.balance_cents), (true, 400));
        let again = account.decide(&deposit(1000), "salary", at(3)).unwrap();
        assert_eq!(again.balance_cents, 400);
        let other = account
            .decide(&withdraw(99, "rent"), "3", at(3))
            .unwrap_err();
        assert_eq!(other.code, failure::IDEMPOTENCY_MISMATCH);
        assert_eq!(account.balance_cents, 400);
    }

    #[test]
    fn a_refused_movement_stays_refused() {
        let mut account = Account::default();
        let refused = account.decide(&withdraw(5, "rent"), "1", at(0)).unwrap();
        assert_eq!((refused.accepted, refused.balance_cents), (false, 0));
        account.decide(&deposit(5), "salary", at(0)).unwrap();
        let refused = account.decide(&withdraw(5, "rent"), "2", at(0)).unwrap();
        assert_eq!((refused.accepted, refused.balance_cents), (false, 5));
        let taken = account.decide(&withdraw(5, "food"), "3", at(0)).unwrap();
        assert_eq!((taken.accepted, taken.balance_cents), (true, 0));
    }

    #[test]
    fn movements_are_forgotten_a_day_after_their_last_copy() {
        let mut account = Account::default();
        account.decide(&deposit(5), "a", at(0)).unwrap();
        account.decide(&deposit(5), "b", at(1)).unwrap();
        account
            .decide(&deposit(5), "a", at(REMEMBERED_MS - 1))
            .unwrap();
        let last = account.decide(&deposit(5), "a", at(REMEMBERED_MS + 1));
        assert_eq!(last.unwrap().balance_cents, 10);
        assert_eq!(account.movements.len(), 1, "b is a day old, a was repeated");
    }

    #[test]
    fn a_movement_is_carried_out_once_whatever_its_timestamp_says() {
        const NOW: i64 = 1_763_686_800_000;
        // Recorded days ago by a clock that is behind, and then by others.
        let behind = |ms: i64| When {
            recorded_ms: NOW - 3 * REMEMBERED_MS,
            taken_ms: NOW + ms,
        };
        let mut account = Account::default();
        account.decide(&deposit(100), "m1", behind(0)).unwrap();
        account.decide(&deposit(1), "m2", at(NOW + 1)).unwrap();
        let again = account.decide(&deposit(100), "m1", at(NOW + 2)).unwrap();
        assert_eq!(again.balance_cents, 101);
        let again = account.decide(&deposit(1), "m2", behind(3)).unwrap();
        assert_eq!(again.balance_cents, 101);
        // A copy that waited for days while nothing was handled was recorded within the day.
        let waited = When {
            recorded_ms: NOW + 5,
            taken_ms: NOW + 3 * REMEMBERED_MS,
        };
        let again = account.decide(&deposit(100), "m1", waited).unwrap();
        assert_eq!(again.balance_cents, 101);
    }

    #[test]
    fn the_latest_movements_alone_are_remembered() {
        let mut account = Account::default();
        let id = |n: usize| format!("movement-{n}");
        for n in 0..3 * REMEMBERED {
            let time = i64::try_from(n / 7).unwrap();
            account.decide(&deposit(1), &id(n), at(time)).unwrap();
            assert!(account.movements.len() <= REMEMBERED);
        }
        let balance = account.balance_cents;
        let last = 3 * REMEMBERED - 1;
        for n in [last, last - REMEMBERED + 8] {
            account.decide(&deposit(1), &id(n), at(1000)).unwrap();
            assert_eq!(account.balance_cents, balance, "{n} is remembered");
        }
    }

    #[test]
    fn amounts_that_make_no_sense_change_nothing() {
        let mut account = Account::default();
        account.decide(&deposit(i64::MAX), "all", at(0)).unwrap();
        let before = account.clone();
        for event in [
            deposit(0),
            deposit(-1),
            withdraw(0, "a"),
            withdraw(i64::MIN, "b"),
            deposit(1),
        ] {
            let refused = account.decide(&event, "x", at(0)).unwrap_err();
            assert_eq!(refused.code, "invalid-request");
        }
        assert_eq!(account, before);
    }
}
