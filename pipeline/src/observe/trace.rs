//! Where an event stands in its trace.
//!
//! Every event has a span, the one that sent it; handling it is a span below that, and what the
//! handler emits are spans below the latter. All ids come from ids of events, so that a repeated
//! attempt writes the same bytes and a handler need not remember what it has begun.
//!
//! Source: W3C Trace Context, `traceparent` version 00.

use std::fmt;

use crate::record::digest::{digest, put_hex};

/// A span's place: its trace, itself and whether it is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Never 0.
    pub trace: u128,
    /// 0: the trace begins here.
    pub span: u64,
    /// As in `traceparent`; the lowest bit says that the trace is sampled.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a `traceparent`; `None` if it is none.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let mut part = |length: usize| {
            let part = parts.next().filter(|part| part.len() == length)?;
            let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            part.bytes().all(is_hex).then_some(part)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let context = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (version != "ff" && context.trace != 0 && context.span != 0).then_some(context)
    }

    /// Of an event whose producer says `traceparent`, or a new trace that begins with this event.
    pub fn of(traceparent: Option<&str>, event_id: &str) -> Self {
        traceparent
            .and_then(Self::parse)
            .unwrap_or_else(|| Self::root(event_id))
    }

    fn root(event_id: &str) -> Self {
        let digest = digest(&[b"trace", event_id.as_bytes()]);
        let mut trace = [0; 16];
        trace.copy_from_slice(&digest[..16]);
        Self {
            trace: u128::from_be_bytes(trace).max(1),
            span: 0,
            flags: 1,
        }
    }

    /// The span that sends an event, in the same trace.
    pub fn sending(self, event_id: &str) -> Self {
        Self {
            span: span(&[b"span", event_id.as_bytes()]),
            ..self
        }
    }

    /// The span in which `source` (`Service/key`) handles an event, in the same trace.
    pub fn handling(self, event_id: &str, source: &str) -> Self {
        Self {
            span: span(&[b"handling", event_id.as_bytes(), source.as_bytes()]),
            ..self
        }
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut text[3..35], &self.trace.to_be_bytes());
        put_hex(&mut text[36..52], &self.span.to_be_bytes());
        put_hex(&mut text[53..], &[self.flags]);
        formatter.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

fn span(parts: &[&[u8]]) -> u64 {
    let mut span = [0; 8];
    span.copy_from_slice(&digest(parts)[..8]);
    u64::from_be_bytes(span).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_goes_on_with_a_new_span() {
        let parent = TraceContext::of(Some(PARENT), "cause");
        assert_eq!(parent.to_string(), PARENT);
        let child = parent.sending("event");
        assert_eq!(child, parent.sending("event"));
        assert_eq!(
            (child.trace, child.flags),
            (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 1)
        );
        assert_ne!(child.span, parent.span);
        assert_ne!(child.span, parent.handling("event", "Service/key").span);
        assert_eq!(TraceContext::parse(&child.to_string()), Some(child));
    }

    #[test]
    fn an_event_without_a_trace_begins_one() {
        for broken in [
            "",
            "00-1-2-3",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            let begun = TraceContext::of(Some(broken), "event");
            assert_eq!(begun, TraceContext::of(None, "event"), "{broken}");
            assert_eq!(begun.span, 0);
            assert_ne!(begun.trace, TraceContext::of(None, "another").trace);
        }
    }
}
