//! Reading a request's body within limits.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::Gateway;
use super::principal::Principal;
use super::problem::Problem;
use super::shares::Share;
use millstream_pipeline::codec::json;
use millstream_pipeline::failure;

impl Gateway {
    /// Reads a body of allowed size in allowed time, and the memory that it holds.
    ///
    /// The memory is taken before the first byte is read, so that slow clients cannot fill it.
    pub(super) async fn read_body(
        &self,
        principal: &Principal,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Bytes, Share), Problem> {
        let limit = self.settings.max_body;
        let encoding = headers.get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| encoding != "identity") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                failure::INVALID_REQUEST,
                "a body with Content-Encoding is not read; send it plain",
            )
            .closing());
        }
        let too_large = || {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                failure::TOO_LARGE,
                format!("the body is larger than {limit} bytes"),
            )
            .closing()
        };
        let length = match headers.get(header::CONTENT_LENGTH) {
            Some(length) => {
                let length = length.to_str().ok().and_then(|text| text.parse().ok());
                length.ok_or_else(|| Problem::bad_request("Content-Length is no number"))?
            }
            None if headers.contains_key(header::TRANSFER_ENCODING) => limit,
            None => 0,
        };
        if length > limit {
            return Err(too_large());
        }
        let memory = self.bodies.take(principal, length);
        let memory =
            memory.map_err(|refused| refused.problem("bodies that are being read").closing())?;
        match tokio::time::timeout(self.settings.body_limit, to_bytes(body, limit)).await {
            Ok(Ok(bytes)) => Ok((bytes, memory)),
            Ok(Err(error)) => {
                let source = std::error::Error::source(&error);
                match source.is_some_and(|it| it.is::<http_body_util::LengthLimitError>()) {
                    true => Err(too_large()),
                    false => {
                        Err(Problem::bad_request(format!("the body broke off: {error}")).closing())
                    }
                }
            }
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                failure::TOO_SLOW,
                "the body did not come in time",
            )
            .closing()),
        }
    }
}

/// A body as JSON; `None`: it is empty.
pub fn json(bytes: &[u8]) -> Result<Option<Value>, Problem> {
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    json::parse(bytes)
        .map(Some)
        .map_err(|error| Problem::bad_request(format!("the body is not usable JSON: {error}")))
}
