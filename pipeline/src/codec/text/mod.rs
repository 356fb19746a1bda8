//! JSON as it is written: what a reader that takes the first value of two, or a number as floating point,
//! would not see.

mod integers;
mod unique;

pub use integers::integer;
pub use unique::parse;
