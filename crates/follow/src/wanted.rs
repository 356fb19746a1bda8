//! What is looked for: ids, and which record has one of them.

use millstream_pipeline::record::cloudevents::{CAUSATION_ID, CORRELATION_ID, ID, SOURCE};
use millstream_pipeline::record::{each_header, header_at};
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};

use crate::found::{GUARD, LETTER, Place, REPLAY_OF};

/// Where [`CORRELATION_ID`] stands among the headers that a producer of ours writes.
const USUAL: usize = 5;

/// The most ids that are looked for at once: a record without headers is searched for each.
const MAX_IDS: usize = 32;

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Ids of requests and of events.
    ids: Vec<String>,
    /// Those that name a record: its dead letter is wanted as well.
    places: Vec<Place>,
    /// What is wanted in place of ids.
    instead: Option<Instead>,
    /// Whether an id was passed over, because too many are wanted.
    is_cut: bool,
}

#[derive(Debug, Clone)]
enum Instead {
    Everything,
    Key(Vec<u8>),
    Source(String),
}

impl Wanted {
    /// This id.
    pub fn id(id: &str) -> Self {
        let mut wanted = Self::default();
        wanted.add(id);
        wanted
    }

    /// Records with this key.
    pub fn key(key: &[u8]) -> Self {
        Self::instead(Instead::Key(key.to_vec()))
    }

    /// Records of this source.
    pub fn source(source: &str) -> Self {
        Self::instead(Instead::Source(source.to_owned()))
    }

    /// Every record.
    pub fn everything() -> Self {
        Self::instead(Instead::Everything)
    }

    fn instead(instead: Instead) -> Self {
        Self {
            instead: Some(instead),
            ..Self::default()
        }
    }

    /// Also this id; false if it was wanted before, or too many are.
    pub fn add(&mut self, id: &str) -> bool {
        if id.is_empty() || self.ids.iter().any(|known| known == id) {
            return false;
        }
        if self.ids.len() >= MAX_IDS {
            self.is_cut = true;
            return false;
        }
        self.places.extend(Place::parse(id));
        self.ids.push(id.to_owned());
        true
    }

    /// The ids.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Whether an id was passed over, because too many are wanted.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn is_id(&self, value: Option<&[u8]>) -> bool {
        value.is_some_and(|value| self.ids.iter().any(|id| id.as_bytes() == value))
    }

    /// Whether a record is wanted. It is called for every record there is, so the usual case, another
    /// request's record, is decided by one header.
    pub fn takes(&self, message: &BorrowedMessage<'_>) -> bool {
        match &self.instead {
            None => {}
            Some(Instead::Everything) => return true,
            Some(Instead::Key(key)) => return message.key() == Some(key),
            Some(Instead::Source(source)) => {
                return header(message, SOURCE) == Some(source.as_bytes());
            }
        }
        // A record without `meta` says nowhere what it is: its place is its id.
        let is_here = |place: &Place| {
            place.offset == message.offset()
                && place.partition == message.partition()
                && place.topic == message.topic()
        };
        if self.places.iter().any(is_here) {
            return true;
        }
        let Some(headers) = message.headers() else {
            return self.stands_in(message.payload());
        };
        if let Some(usual) = header_at(headers, USUAL)
            && usual.key == CORRELATION_ID
            && self.is_id(usual.value)
        {
            return true;
        }
        let (mut has_id, mut letter, mut relayed) = (false, false, false);
        for header in each_header(headers) {
            match header.key {
                ID | CORRELATION_ID | CAUSATION_ID | REPLAY_OF => {
                    has_id |= header.key == ID;
                    if self.is_id(header.value) {
                        return true;
                    }
                }
                name => {
                    letter |= name == LETTER[0];
                    relayed |= name == GUARD[0];
                }
            }
        }
        (letter && self.is_of_place(headers, &LETTER))
            || (relayed && self.is_of_place(headers, &GUARD))
            || (!has_id && self.stands_in(message.payload()))
    }

    /// Whether headers of these names, for topic, partition and offset, name a record that is wanted.
    fn is_of_place(&self, headers: &impl Headers, names: &[&str; 3]) -> bool {
        let mut named: [Option<&[u8]>; 3] = [None; 3];
        for header in each_header(headers) {
            if let Some(at) = names.iter().position(|name| *name == header.key) {
                named[at] = header.value;
            }
        }
        let text = |at: usize| named[at].and_then(|value| std::str::from_utf8(value).ok());
        self.places.iter().any(|place| {
            text(0) == Some(&place.topic)
                && text(1).and_then(|it| it.parse().ok()) == Some(place.partition)
                && text(2).and_then(|it| it.parse().ok()) == Some(place.offset)
        })
    }

    /// A producer that writes no headers may know `meta` all the same, where an id stands as it is.
    fn stands_in(&self, bytes: Option<&[u8]>) -> bool {
        let Some(bytes) = bytes else { return false };
        self.ids
            .iter()
            .any(|id| memchr::memmem::find(bytes, id.as_bytes()).is_some())
    }
}

fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m [u8]> {
    let mut headers = each_header(message.headers()?);
    headers.find(|header| header.key == name)?.value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_wanted_once_and_not_too_many() {
        let mut wanted = Wanted::id("a");
        assert!(!wanted.add("a") && !wanted.add("") && wanted.add("t/1/2"));
        assert_eq!(wanted.places.len(), 1);
        assert!(!wanted.is_cut());
        for id in 0..100 {
            wanted.add(&id.to_string());
        }
        assert_eq!(wanted.ids().len(), MAX_IDS);
        assert!(wanted.is_cut());
    }
}
