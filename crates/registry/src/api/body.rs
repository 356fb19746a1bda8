//! The body of a request: JSON of bounded length, said to be JSON by whoever sends it.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;

use super::media;
use crate::error::Refusal;

/// Kafka's default limit of a record, which is that of a schema.
pub const LARGEST: usize = 1 << 20;
/// So much of a larger body is read and thrown away: many clients look at the answer only when they
/// have sent all of theirs.
const THROWN_AWAY: usize = 16 << 20;

/// A body.
pub struct Sent(pub Bytes);

impl<S: Sync> FromRequest<S> for Sent {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        media::check_sent(request.headers())?;
        let (parts, body) = request.into_parts();
        if is_announced_too_large(&parts.headers) {
            return Err(Refusal::TooLarge(LARGEST));
        }
        read(body).await.map(Sent)
    }
}

/// Whether the client waits to be told that it may send a body which is too large.
fn is_announced_too_large(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
    headers.contains_key(header::EXPECT) && length.is_some_and(|length| length > LARGEST)
}

async fn read(mut body: Body) -> Result<Bytes, Refusal> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::Body(format!("it broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length <= LARGEST {
            kept.extend_from_slice(&data);
        } else if length > THROWN_AWAY {
            break;
        } else {
            kept = Vec::new();
        }
    }
    match length > LARGEST {
        true => Err(Refusal::TooLarge(LARGEST)),
        false => Ok(kept.into()),
    }
}
