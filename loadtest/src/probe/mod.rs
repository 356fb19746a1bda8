//! What a running stack and its processes say of themselves.

pub mod broker;
pub mod log_records;
pub mod process;
