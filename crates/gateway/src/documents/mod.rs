//! Descriptions of the interfaces for other tools, made from declarations and schemas.

mod asyncapi;
mod openapi;
mod schema;
#[cfg(test)]
mod tests;

pub use asyncapi::asyncapi;
pub use openapi::openapi;
