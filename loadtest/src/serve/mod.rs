//! Parts of a stack that the fault suite starts as processes of their own.

pub mod catalogue;
pub mod gateway;
pub mod guard;
pub mod registry;
