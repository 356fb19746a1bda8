//! What is guaranteed, tried under faults and with hostile input.

pub mod faults;
pub mod fuzz;
pub mod ledger;
