//! A supply that many use, of which nobody can take all.
//!
//! Whoever takes something may hold, with it, at most what was left for others before. So one that
//! takes all it can get comes to half of the supply, two to a third each, and there is always some
//! left for whoever has nothing yet. Nobody's part has to be set, and none is kept for those who are
//! not there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::principal::Principal;
use super::problem::Problem;

/// The supply.
#[derive(Debug)]
pub struct Shares {
    total: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    used: usize,
    /// What each holds, if anything.
    held: HashMap<Principal, usize>,
}

/// A part of it. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    of: Arc<Shares>,
    principal: Principal,
    amount: usize,
}

/// Why nothing is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is not so much left.
    Empty,
    /// The rest is for others.
    OwnShare,
}

impl Refused {
    /// What the client is told; `what` there is no more of.
    pub fn problem(self, what: &str) -> Problem {
        Problem::overloaded(&match self {
            Self::Empty => format!("too many {what}"),
            Self::OwnShare => format!("too many {what} are yours; the rest is for others"),
        })
    }
}

impl Shares {
    /// So much of it.
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            inner: Mutex::default(),
        })
    }

    /// Takes a part. Those of whom nothing is known are not told apart, so they have no shares.
    pub fn take(self: &Arc<Self>, principal: &Principal, amount: usize) -> Result<Share, Refused> {
        let mut inner = self.inner();
        let left = self.total.saturating_sub(inner.used);
        if amount > left {
            return Err(Refused::Empty);
        }
        let held = inner.held.get(principal).copied().unwrap_or(0);
        if principal.name().is_some() && held.saturating_add(amount) > left {
            return Err(Refused::OwnShare);
        }
        inner.used += amount;
        if amount > 0 {
            inner.held.insert(principal.clone(), held + amount);
        }
        Ok(Share {
            of: Arc::clone(self),
            principal: principal.clone(),
            amount,
        })
    }

    /// How much of it is taken.
    pub fn used(&self) -> usize {
        self.inner().used
    }

    /// No code panics while it holds this.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut inner = self.of.inner();
        inner.used = inner.used.saturating_sub(self.amount);
        if let Some(held) = inner.held.get_mut(&self.principal) {
            *held = held.saturating_sub(self.amount);
            if *held == 0 {
                inner.held.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &Arc<Shares>, principal: &Principal, amount: usize) -> (Vec<Share>, Refused) {
        let mut taken = Vec::new();
        loop {
            match shares.take(principal, amount) {
                Ok(share) => taken.push(share),
                Err(refused) => return (taken, refused),
            }
        }
    }

    #[test]
    fn nobody_takes_all_and_nothing_is_kept_for_nobody() {
        let shares = Shares::new(760);
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(Principal::named);
        let (of_alice, refused) = fill(&shares, &alice, 1);
        assert_eq!((of_alice.len(), refused), (380, Refused::OwnShare));
        let (of_bob, refused) = fill(&shares, &bob, 1);
        assert_eq!((of_bob.len(), refused), (190, Refused::OwnShare));
        assert!(shares.take(&carol, 1).is_ok());
        assert!(shares.take(&carol, 190).is_ok());
        assert_eq!(shares.take(&carol, 191).unwrap_err(), Refused::Empty);
        drop(of_bob);
        assert_eq!(fill(&shares, &carol, 10).0.len(), 19);
        drop(of_alice);
        assert!(shares.inner().held.is_empty());
        assert_eq!(shares.used(), 0);
    }

    #[test]
    fn who_is_nobody_has_all() {
        let shares = Shares::new(10);
        let (all, refused) = fill(&shares, &Principal::anonymous(), 1);
        assert_eq!((all.len(), refused), (10, Refused::Empty));
    }

    #[test]
    fn who_has_nothing_gets_what_is_there() {
        let shares = Shares::new(10);
        let alice = Principal::named("alice");
        assert!(shares.take(&alice, 10).is_ok());
        assert!(shares.take(&alice, 0).is_ok());
        let _most = shares.take(&Principal::named("bob"), 5).unwrap();
        assert!(shares.take(&alice, 5).is_ok());
        assert_eq!(shares.take(&alice, 6).unwrap_err(), Refused::Empty);
    }
}
