//! A connection whose heads are as strict as RFC 9112 allows, which hyper's are not: lines end with
//! CR and LF, a body's length is said once, and a head has a largest size.
//!
//! A proxy and a server that do not agree where a request ends can be made to take one for two. What
//! is refused here gets a byte that stands in no head, so that hyper answers 400 and closes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a line that are looked at: a body's length is shorter.
const LOOKED_AT: usize = 128;
/// Stands in no head and in no chunk's size.
const REFUSED: u8 = 0;

/// A stream, watched.
pub struct Heads<S> {
    stream: S,
    watch: Watch,
}

impl<S> Heads<S> {
    /// Watches a stream; a head may have so many bytes.
    pub fn new(stream: S, longest: usize) -> Self {
        let watch = Watch {
            longest,
            state: State::begin(),
        };
        Self { stream, watch }
    }
}

/// Follows what is read.
struct Watch {
    longest: usize,
    state: State,
}

enum State {
    Head(Head),
    /// So many bytes are still to come.
    Body(u64),
    /// A line with a chunk's size.
    Size(Line),
    Chunk(u64),
    /// The end of a chunk's line, and whether CR has come.
    ChunkEnd(bool),
    /// Lines after the last chunk.
    Trailer(Line),
    /// Refused: hyper closes.
    Over,
}

#[derive(Default)]
struct Head {
    /// Bytes so far.
    length: usize,
    line: Line,
    /// Whether the request line has come.
    begun: bool,
    body: Option<Body>,
}

enum Body {
    Length(u64),
    Chunked,
}

/// A line that is being read: what it begins with, and how much more there was.
#[derive(Default)]
struct Line {
    begin: Vec<u8>,
    length: usize,
    ends_with_cr: bool,
}

/// What a byte makes of a line.
enum Step {
    More,
    Ended,
    /// By LF alone.
    Bare,
}

impl Line {
    fn take(&mut self, byte: u8) -> Step {
        if byte == b'\n' {
            return match self.ends_with_cr {
                true => Step::Ended,
                false => Step::Bare,
            };
        }
        self.ends_with_cr = byte == b'\r';
        self.length += 1;
        if self.begin.len() < LOOKED_AT {
            self.begin.push(byte);
        }
        Step::More
    }

    /// It holds nothing but its end.
    fn is_empty(&self) -> bool {
        self.length == 1
    }

    /// All of it, unless it is too long to be looked at.
    fn text(&self) -> Option<&str> {
        let text = self.begin.strip_suffix(b"\r")?;
        (self.length == self.begin.len())
            .then(|| std::str::from_utf8(text).ok())
            .flatten()
    }

    /// Whether this is its field, as far as it is looked at.
    fn is_field(&self, name: &str) -> bool {
        let begin = self.begin.get(..name.len());
        begin.is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
            && self.begin.get(name.len()) == Some(&b':')
    }
}

impl Head {
    /// Takes a line; `None`: it contradicts another one.
    fn take(&mut self) -> Option<()> {
        let line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) {
            return Some(());
        }
        let is_length = line.is_field("content-length");
        if !is_length && !line.is_field("transfer-encoding") {
            return Some(());
        }
        let (_, value) = line.text()?.split_once(':')?;
        let value = value.trim_matches([' ', '\t']);
        let body = match is_length {
            true if value.bytes().all(|it| it.is_ascii_digit()) => {
                Body::Length(value.parse().ok()?)
            }
            false if value.eq_ignore_ascii_case("chunked") => Body::Chunked,
            _ => return None,
        };
        // One that says it twice may be read in two ways.
        self.body.replace(body).is_none().then_some(())
    }
}

impl State {
    fn begin() -> Self {
        Self::Head(Head::default())
    }

    fn body(length: u64) -> Self {
        match length {
            0 => Self::begin(),
            length => Self::Body(length),
        }
    }

    /// The state after this byte; `None`: it is not to be.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match self {
            Self::Over => Self::Over,
            Self::Body(length) => Self::body(length - 1),
            Self::Chunk(1) => Self::ChunkEnd(false),
            Self::Chunk(length) => Self::Chunk(length - 1),
            Self::ChunkEnd(has_cr) => match (has_cr, byte) {
                (false, b'\r') => Self::ChunkEnd(true),
                (true, b'\n') => Self::Size(Line::default()),
                _ => return None,
            },
            Self::Size(mut line) => match line.take(byte) {
                Step::Bare => return None,
                Step::More => Self::Size(line),
                Step::Ended => {
                    let size = line.text()?.split([';', ' ', '\t']).next()?;
                    match u64::from_str_radix(size, 16).ok()? {
                        0 => Self::Trailer(Line::default()),
                        size => Self::Chunk(size),
                    }
                }
            },
            Self::Trailer(mut line) => match line.take(byte) {
                Step::Bare => return None,
                Step::More => Self::Trailer(line),
                Step::Ended if line.is_empty() => Self::begin(),
                Step::Ended => Self::Trailer(Line::default()),
            },
            Self::Head(mut head) => {
                head.length += 1;
                match head.line.take(byte) {
                    Step::Bare => return None,
                    Step::More => Self::Head(head),
                    // Empty lines may stand before a request.
                    Step::Ended if head.line.is_empty() && !head.begun => {
                        head.line = Line::default();
                        Self::Head(head)
                    }
                    Step::Ended if head.line.is_empty() => match head.body {
                        None => Self::begin(),
                        Some(Body::Length(length)) => Self::body(length),
                        Some(Body::Chunked) => Self::Size(Line::default()),
                    },
                    Step::Ended => {
                        head.take()?;
                        Self::Head(head)
                    }
                }
            }
        })
    }
}

impl Watch {
    /// How much may be read at once: of a head no more than it may have, so that hyper, whose buffer
    /// is as large, has it whole or refuses it.
    fn room(&self) -> usize {
        match &self.state {
            State::Head(head) if head.length < self.longest => self.longest - head.length,
            _ => usize::MAX,
        }
    }

    /// Follows what was read, and makes unreadable what is refused.
    fn see(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while let Some(byte) = bytes.get_mut(at) {
            // Of bodies all but the last byte are passed at once.
            if let State::Body(length) | State::Chunk(length) = &mut self.state
                && *length > 1
            {
                let most = usize::try_from(*length - 1).unwrap_or(usize::MAX);
                let here = most.min(bytes.len() - at);
                *length -= here as u64;
                at += here;
                continue;
            }
            let state = std::mem::replace(&mut self.state, State::Over);
            match state.after(*byte) {
                Some(state) => self.state = state,
                None => *byte = REFUSED,
            }
            at += 1;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heads<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, watch } = self.get_mut();
        let room = watch.room().min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(stream).poll_read(context, &mut part))?;
        watch.see(part.filled_mut());
        let read = part.filled().len();
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heads<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What hyper is given of this, cut at these places.
    fn passed(text: &str, cuts: &[usize]) -> (Vec<u8>, Watch) {
        let mut watch = Watch {
            longest: 1000,
            state: State::begin(),
        };
        let mut bytes = text.as_bytes().to_vec();
        let mut from = 0;
        for to in cuts.iter().map(|cut| cut % (text.len() + 1)) {
            if to > from {
                watch.see(&mut bytes[from..to]);
                from = to;
            }
        }
        watch.see(&mut bytes[from..]);
        (bytes, watch)
    }

    const GOOD: [&str; 7] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\r\n",
        "POST / HTTP/1.1\r\ncontent-LENGTH:\t0 \r\nX: content-length: 9\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n20;a=b\r\n0123456789\n0123456789\n0123456789\r\n0\r\nT: x\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nX-Content-Length: a\r\nContent-Lengthy: b\r\n\r\n",
    ];

    proptest! {
        #[test]
        fn good_requests_pass_one_after_the_other(
            which in prop::collection::vec(0..GOOD.len(), 1..5),
            mut cuts in prop::collection::vec(0..2000_usize, 0..8),
        ) {
            let text: String = which.iter().map(|it| GOOD[*it]).collect();
            cuts.sort_unstable_by_key(|cut| cut % (text.len() + 1));
            let (bytes, watch) = passed(&text, &cuts);
            prop_assert_eq!(bytes, text.as_bytes());
            let is_begin = matches!(&watch.state, State::Head(head) if head.length == 0);
            prop_assert!(is_begin, "the next request is awaited");
        }

        #[test]
        fn what_is_refused_is_so_wherever_it_is_cut(
            number in 0..BAD.len(),
            before in 0..GOOD.len(),
            mut cuts in prop::collection::vec(0..2000_usize, 0..8),
        ) {
            let text = format!("{}{}", GOOD[before], BAD[number]);
            cuts.sort_unstable_by_key(|cut| cut % (text.len() + 1));
            let (bytes, watch) = passed(&text, &cuts);
            prop_assert!(matches!(watch.state, State::Over));
            prop_assert!(bytes.contains(&REFUSED));
        }
    }

    const BAD: [&str; 13] = [
        "\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
    ];

    #[test]
    fn a_head_is_read_up_to_its_largest_size() {
        let (_, watch) = passed(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(500)), &[]);
        assert_eq!(watch.room(), 1000 - 519);
        let (_, watch) = passed("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na", &[]);
        assert_eq!(watch.room(), usize::MAX);
    }
}
