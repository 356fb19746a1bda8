//! The patterns of the catalogue, by events on topics.

mod idempotency;
mod reservations;
mod tracking;
mod user_updates;

use millstream_pipeline::reader::Seen;
use millstream_schemas::RequestFailed;

/// The code of a `RequestFailed`.
fn refusal(seen: &Seen) -> String {
    seen.event::<RequestFailed>().unwrap().code
}
