//! The decision about an order, of which there is one.

use bytes::Bytes;
use millstream_pipeline::failure::{self, Failure};
use millstream_schemas::order_approvals::ApprovalRecorded;
use serde::{Deserialize, Serialize};

/// An administrator rejected the order.
pub const ORDER_NOT_APPROVED: &str = "order-not-approved";
/// No administrator decided about the order in time.
pub const APPROVAL_TIMED_OUT: &str = "approval-timed-out";
/// The order was decided otherwise before.
pub const ORDER_ALREADY_DECIDED: &str = "order-already-decided";
/// The order was rejected before anybody decided about it.
pub const ORDER_CLOSED: &str = "order-closed";

/// What the promise holds: the first decision, which no later one changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    verdict: Verdict,
    /// When it was made, in microseconds since 1970-01-01 UTC.
    pub at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Verdict {
    Approved,
    Rejected,
    /// The workflow ended without anybody's decision.
    Closed,
}

impl Decision {
    /// An administrator's, recorded at this time in milliseconds.
    pub fn of(approved: bool, recorded_ms: i64) -> Self {
        let verdict = match approved {
            true => Verdict::Approved,
            false => Verdict::Rejected,
        };
        Self {
            verdict,
            at: recorded_ms.saturating_mul(1000),
        }
    }

    /// Nobody's: the order was rejected, or its time was over, at this time in microseconds.
    pub fn closed(at: i64) -> Self {
        let verdict = Verdict::Closed;
        Self { verdict, at }
    }

    /// As the promise holds it.
    pub fn to_bytes(self) -> Bytes {
        // Texts and a number are always JSON.
        serde_json::to_vec(&self).unwrap_or_default().into()
    }

    /// Decoded here and not by the SDK, which would try for ever what cannot be decoded.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, Failure> {
        serde_json::from_slice(bytes)
            .map_err(|error| Failure::new(failure::HANDLER_FAILED, format!("approval: {error}")))
    }

    /// Whether the order may be shipped.
    pub fn allows(self) -> Result<(), Failure> {
        match self.verdict {
            Verdict::Approved => Ok(()),
            Verdict::Rejected => Err(Failure::new(
                ORDER_NOT_APPROVED,
                "an administrator rejected the order",
            )),
            Verdict::Closed => Err(Failure::new(
                APPROVAL_TIMED_OUT,
                "no administrator decided about the order in time",
            )),
        }
    }

    /// What whoever decides like `asked` is told when this is the decision that counts.
    pub fn answer(self, asked: Self) -> Result<ApprovalRecorded, Failure> {
        match self.verdict {
            Verdict::Closed => Err(Failure::new(
                ORDER_CLOSED,
                "the order was rejected before anybody decided about it; see its result",
            )),
            counts if counts != asked.verdict => Err(Failure::new(
                ORDER_ALREADY_DECIDED,
                "the order was decided otherwise before; the first decision counts",
            )),
            counts => Ok(ApprovalRecorded {
                approved: counts == Verdict::Approved,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_763_686_800_000;

    #[test]
    fn the_first_decision_counts() {
        let (yes, no) = (Decision::of(true, AT), Decision::of(false, AT));
        assert_eq!(yes.answer(yes), Ok(ApprovalRecorded { approved: true }));
        assert_eq!(no.answer(no), Ok(ApprovalRecorded { approved: false }));
        assert_eq!(yes.answer(no).unwrap_err().code, ORDER_ALREADY_DECIDED);
        assert_eq!(no.answer(yes).unwrap_err().code, ORDER_ALREADY_DECIDED);
        let closed = Decision::closed(AT * 1000);
        assert_eq!(closed.answer(yes).unwrap_err().code, ORDER_CLOSED);
        assert_eq!(closed.answer(no).unwrap_err().code, ORDER_CLOSED);
    }

    #[test]
    fn only_approval_lets_an_order_go() {
        assert_eq!(Decision::of(true, AT).allows(), Ok(()));
        let rejected = Decision::of(false, AT).allows().unwrap_err();
        assert_eq!(rejected.code, ORDER_NOT_APPROVED);
        let closed = Decision::closed(AT).allows().unwrap_err();
        assert_eq!(closed.code, APPROVAL_TIMED_OUT);
    }

    #[test]
    fn a_decision_survives_its_bytes() {
        let decision = Decision::of(true, AT);
        assert_eq!(Decision::from_bytes(&decision.to_bytes()), Ok(decision));
        assert!(Decision::from_bytes(&Bytes::from_static(b"true")).is_err());
    }
}
