//! A Kafka record of any topic.

pub mod cloudevents;
pub mod digest;
pub mod key;
pub mod partition;
pub mod relayed;
pub mod source_offset;
pub mod wire;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
pub type HeaderList = Vec<(Cow<'static, str>, Option<Vec<u8>>)>;

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
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            each_header(headers)
                .map(|header| {
                    let name = Cow::Owned(header.key.to_owned());
                    (name, header.value.map(<[u8]>::to_vec))
                })
                .collect()
        });
        Self {
            topic: message.topic().to_owned(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
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
