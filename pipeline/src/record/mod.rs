//! A Kafka record of any topic.

pub mod cloudevents;
pub mod digest;
pub mod key;
pub mod partition;
pub mod relayed;
pub mod source_offset;
pub mod wire;

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};

/// The largest record that our producers send and that dead letter topics take. A dead letter, or a
/// record that came through the guard, is the original record and the headers that explain it, so it
/// may be larger than the largest record that other topics take (Kafka's default is 1 MiB).
pub const EXPLAINED_MAX_BYTES: usize = 2_097_152;

/// The headers of a record, in order. One whose name is no text is left out.
pub fn each_header<H: Headers>(headers: &H) -> impl Iterator<Item = Header<'_, &[u8]>> {
    (0..headers.count()).filter_map(|at| header_at(headers, at))
}

/// One of them. The client library panics over a name that is no text, which whoever writes a topic may
/// send.
pub fn header_at<H: Headers>(headers: &H, at: usize) -> Option<Header<'_, &[u8]>> {
    let read = catch_unwind(AssertUnwindSafe(|| headers.try_get(at)));
    read.ok().flatten()
}

/// Headers in order: a name, and a value; `None`: null. A name may come again.
pub type HeaderList = Vec<(Cow<'static, str>, Option<Bytes>)>;

/// The headers of a consumed message.
pub fn header_list(message: &impl Message<Headers: Headers>) -> HeaderList {
    let mut values = Values::default();
    for header in message.headers().into_iter().flat_map(each_header) {
        values.push(header.key.to_owned().into(), header.value);
    }
    values.into_list()
}

/// The values of headers, written one behind the other: all of them are one piece of memory, which is
/// kept as long as one of them is.
#[derive(Default)]
pub(crate) struct Values {
    bytes: Vec<u8>,
    /// Names, and where their values begin and end.
    ranges: Vec<(Cow<'static, str>, Option<Range<usize>>)>,
}

impl Values {
    /// With room for so many headers with so many bytes.
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ranges: Vec::with_capacity(headers),
        }
    }

    /// One more header.
    pub fn push(&mut self, name: Cow<'static, str>, value: Option<&[u8]>) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        let range = begin..self.bytes.len();
        self.ranges.push((name, value.map(|_| range)));
    }

    /// One more header with a text.
    pub fn text(&mut self, name: &'static str, value: &str) {
        self.push(name.into(), Some(value.as_bytes()));
    }

    /// One more header with what is shown of this.
    pub fn shown(&mut self, name: &'static str, value: impl Display) {
        let begin = self.bytes.len();
        // There is always room in a vector.
        let _ = write!(self.bytes, "{value}");
        let range = begin..self.bytes.len();
        self.ranges.push((name.into(), Some(range)));
    }

    /// All of them, in order.
    pub fn into_list(self) -> HeaderList {
        let bytes = Bytes::from(self.bytes);
        let headers = self.ranges.into_iter();
        let headers = headers.map(|(name, range)| (name, range.map(|range| bytes.slice(range))));
        headers.collect()
    }
}

/// A record that was read, or is to be produced.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Topic.
    pub topic: String,
    /// Key; `None`: null.
    pub key: Option<Vec<u8>>,
    /// Value; `None`: null.
    pub value: Option<Vec<u8>>,
    /// Headers.
    pub headers: HeaderList,
}

impl Record {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// Its headers as the client takes them.
    pub fn owned_headers(&self) -> OwnedHeaders {
        let none = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(none, |headers, (key, value)| {
            let value = value.as_deref();
            headers.insert(Header { key, value })
        })
    }

    /// What a consumed message holds, its headers included.
    pub fn copy_of(message: &impl Message<Headers: Headers>) -> Self {
        Self {
            topic: message.topic().to_owned(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: header_list(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the client library's, of which the second has a name that is no text.
    struct Hostile;

    impl Headers for Hostile {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, at: usize) -> Option<Header<'_, &[u8]>> {
            let key = ["first", "\u{fffd}", "third"][at];
            assert_ne!(at, 1, "no text");
            let value = Some(&b"value"[..]);
            Some(Header { key, value })
        }
    }

    #[test]
    fn a_header_whose_name_is_no_text_is_left_out() {
        let names: Vec<_> = each_header(&Hostile).map(|header| header.key).collect();
        assert_eq!(names, ["first", "third"]);
        assert_eq!(header_at(&Hostile, 1), None);
    }
}
