//! Tickets: what opens the stream of one request, for a minute, where a key cannot be shown.
//!
//! A browser's `EventSource` sends no headers, so what it shows stands in the address, and addresses
//! stand in logs. A key in one would be worth something for a year; a ticket tells whoever finds it
//! the result of one request, as long as it is young. It is signed with the gateway's key, so every
//! replica takes it and none keeps it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use super::Gateway;
use super::access::{Caller, Pass, Refusal};
use super::principal::Principal;
use super::problem::Problem;
use super::requests;
use millstream_pipeline::identity::{KeyError, Signer, SigningKey};
use millstream_pipeline::record::digest::digest;

/// Where a ticket is asked for.
pub const PATH: &str = "/v1/requests/{id}/ticket";
/// The query's member that holds it.
pub const QUERY: &str = "ticket";

/// How long one is good for: to open a stream, which then lasts as long as any.
const LIFETIME: Duration = Duration::from_secs(60);
/// Begins what is signed, so that no signature made for something else is a ticket.
const DOMAIN: &[u8] = b"millstream-ticket-v2";
/// Begins the text of a ticket.
const VERSION: &str = "v2";

/// Whose a ticket is, and what he has shown for it.
pub type Whose = (Principal, Pass);

/// Makes and checks them.
#[derive(Debug)]
pub struct Tickets {
    /// `None`: that of the gateway's signer.
    own: Option<SigningKey>,
    signer: Option<Arc<Signer>>,
}

impl Tickets {
    /// Signed with this signer's key. A gateway without one asks nobody for anything, and has a key
    /// that it made for itself.
    pub fn new(signer: Option<Arc<Signer>>) -> Result<Self, KeyError> {
        let own = match signer {
            Some(_) => None,
            None => Some(SigningKey::generate()?),
        };
        Ok(Self { own, signer })
    }

    fn key(&self) -> Option<&SigningKey> {
        let signer = self.signer.as_ref();
        self.own.as_ref().or_else(|| Some(signer?.key()))
    }

    /// A ticket for the stream of a principal's request. The stream ends with the pass, as one does
    /// that was opened with it.
    pub fn make(&self, request: &str, whose: &Whose, now: jiff::Timestamp) -> String {
        let expires_at = now.as_second() + LIFETIME.as_secs().cast_signed();
        let signature = self
            .key()
            .map(|key| key.sign(&message(request, whose, expires_at)));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signature.unwrap_or([0; 64]));
        let name = BASE64_URL_SAFE_NO_PAD.encode(whose.0.as_bytes());
        let pass = BASE64_URL_SAFE_NO_PAD.encode(whose.1.to_string());
        format!("{VERSION}.{expires_at}.{name}.{pass}.{signature}")
    }

    /// Whose ticket it is, if it is one for this request and of now.
    pub fn check(&self, request: &str, ticket: &str, now: jiff::Timestamp) -> Option<Whose> {
        let mut parts = ticket.split('.');
        let (version, expires_at) = (parts.next()?, parts.next()?.parse().ok()?);
        let mut decoded = parts.map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let (name, pass) = (decoded.next()??, decoded.next()??);
        let signature = decoded.next()??;
        if version != VERSION || decoded.next().is_some() || now.as_second() >= expires_at {
            return None;
        }
        let principal = Principal::named(String::from_utf8(name).ok()?);
        let whose = (principal, String::from_utf8(pass).ok()?.parse().ok()?);
        let message = message(request, &whose, expires_at);
        let public = self.key()?.public();
        let is_ours = public.verifies(&message, &signature.try_into().ok()?);
        is_ours.then_some(whose)
    }
}

fn message(request: &str, (principal, pass): &Whose, expires_at: i64) -> [u8; 32] {
    digest(&[
        DOMAIN,
        request.as_bytes(),
        principal.as_bytes(),
        pass.to_string().as_bytes(),
        &expires_at.to_be_bytes(),
    ])
}

/// The request and the ticket of an address, if it is that of a stream and has one.
fn shown(uri: &Uri) -> Option<(&str, &str)> {
    let (before, after) = requests::EVENTS_PATH.split_once("{id}")?;
    let id = uri.path().strip_prefix(before)?.strip_suffix(after)?;
    let mut members = uri.query()?.split('&');
    let ticket = members.find_map(|member| member.strip_prefix(QUERY)?.strip_prefix('='))?;
    Some((id, ticket))
}

impl Gateway {
    /// Who asks for a stream with a ticket; `None`: the request shows none.
    pub(super) fn by_ticket(&self, method: &Method, uri: &Uri) -> Option<Result<Caller, Problem>> {
        let (request, ticket) = shown(uri).filter(|_| method == Method::GET)?;
        let checked = self.tickets.check(request, ticket, jiff::Timestamp::now());
        let Some((principal, pass)) = checked else {
            return Some(Err(Refusal::Ticket.unauthenticated()));
        };
        let name = format!("ticket {}", principal.name().unwrap_or_default());
        let taken = self.access.take(&name, self.access.limit());
        // This address is all that it reaches, and the right to it was checked for the ticket.
        Some(taken.map(|()| Caller::unlimited(principal, pass)))
    }
}

/// Gives a ticket to whoever may be told the result.
pub async fn handle(
    State(gateway): State<Arc<Gateway>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Response {
    let response = gateway.known(&caller, &id).map(|_| {
        let ticket = gateway.tickets.make(
            &id,
            &(caller.principal, caller.pass),
            jiff::Timestamp::now(),
        );
        let events = requests::EVENTS_PATH.replace("{id}", &id);
        Json(json!({
            "ticket": ticket,
            "expires_in": LIFETIME.as_secs(),
            "events": format!("{events}?{QUERY}={ticket}"),
        }))
        .into_response()
    });
    super::labelled(&format!("POST {PATH}"), response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_ticket_opens_one_stream_of_its_principal_for_a_minute() {
        let signer = || Arc::new(Signer::new(SigningKey::generate().unwrap()));
        let (signer, other) = (signer(), Tickets::new(Some(signer())).unwrap());
        let [tickets, replica] = [(); 2].map(|()| Tickets::new(Some(Arc::clone(&signer))).unwrap());
        let pass = Pass::Key("0a1b".into());
        let alice = (Principal::named("alice: ä.b"), pass);
        let ticket = tickets.make("r1", &alice, at(1_000));
        assert_eq!(replica.check("r1", &ticket, at(1_000)), Some(alice.clone()));
        assert_eq!(replica.check("r1", &ticket, at(1_059)), Some(alice));
        assert_eq!(replica.check("r1", &ticket, at(1_060)), None, "it is over");
        assert_eq!(
            replica.check("r2", &ticket, at(1_000)),
            None,
            "another request"
        );
        assert_eq!(
            other.check("r1", &ticket, at(1_000)),
            None,
            "another installation"
        );
        let parts: Vec<&str> = ticket.split('.').collect();
        let [version, expiry, name, pass, signature] = parts.try_into().unwrap();
        let [bob, other] = ["bob", ""].map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
        for forged in [
            format!("{version}.9{expiry}.{name}.{pass}.{signature}"),
            format!("{version}.{expiry}.{bob}.{pass}.{signature}"),
            format!("{version}.{expiry}.{name}.{other}.{signature}"),
            format!("v1.{expiry}.{name}.{pass}.{signature}"),
            format!("{ticket}.{signature}"),
            format!("{version}.{expiry}.{name}.{pass}.{}", "A".repeat(86)),
            format!("{version}.{expiry}.{name}.{pass}"),
            String::new(),
        ] {
            assert_eq!(replica.check("r1", &forged, at(1_000)), None, "{forged}");
        }
    }

    #[test]
    fn a_gateway_that_asks_nobody_has_tickets_as_well() {
        let tickets = Tickets::new(None).unwrap();
        let nobody = (Principal::anonymous(), Pass::Nothing);
        let ticket = tickets.make("r1", &nobody, at(0));
        assert_eq!(tickets.check("r1", &ticket, at(0)), Some(nobody));
    }

    #[test]
    fn a_ticket_is_read_at_streams_alone() {
        let read = |uri: &str| {
            let uri: Uri = uri.parse().unwrap();
            shown(&uri).map(|(id, ticket)| (id.to_owned(), ticket.to_owned()))
        };
        let found = Some(("r1".to_owned(), "t".to_owned()));
        assert_eq!(read("/v1/requests/r1/events?ticket=t"), found);
        assert_eq!(read("http://x/v1/requests/r1/events?a=b&ticket=t"), found);
        for other in [
            "/v1/requests/r1/events",
            "/v1/requests/r1/events?tickets=t",
            "/v1/requests/r1?ticket=t",
            "/v1/requests/r1/ticket?ticket=t",
            "/reserve/a/b?ticket=t",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
