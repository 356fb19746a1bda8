//! Parts that fail, crash and come back. Each test has a stack of its own and plays its scenarios
//! one after the other: a stack takes seconds and a gigabyte.

mod crashes;
mod database;
mod dev;
pub mod ledger;
mod logs;
mod proxy;
mod registry;
