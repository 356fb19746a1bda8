//! URLs that are made of input.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;

use crate::failure::Failure;

/// What stands in a path as it is: RFC 3986, 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why there is no such URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing can be added to the address.
    #[error("{0} is no address of a server; write one such as https://host/path")]
    Base(String),
    /// It cannot be told from another place.
    #[error(transparent)]
    Segment(Failure),
}

/// The URL below `base` with these segments, each of which stays one, whatever is in it.
pub fn address<'s>(
    base: &str,
    segments: impl IntoIterator<Item = &'s str>,
) -> Result<Url, AddressError> {
    let bad_base = || AddressError::Base(super::split_login(base).0);
    let mut url = Url::parse(base).map_err(|_| bad_base())?;
    if url.cannot_be_a_base() {
        return Err(bad_base());
    }
    let mut path = url.path().trim_end_matches('/').to_owned();
    for segment in segments {
        check_segment(segment).map_err(AddressError::Segment)?;
        path.push('/');
        path.extend(utf8_percent_encode(segment, ENCODED));
    }
    url.set_path(&path);
    Ok(url)
}

/// Refuses a text that cannot be a segment of a path: `.` and `..` mean other places, however they
/// are written, and nothing at all is no segment.
pub fn check_segment(text: &str) -> Result<(), Failure> {
    match text {
        "" | "." | ".." => Err(Failure::invalid_request(format!(
            "{text:?} cannot be part of a URL, where it means another place; use another id"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    const BASE: &str = "http://host:1/base/";

    #[test]
    fn a_segment_never_means_another_place() {
        let of = |key: &str| address(BASE, ["users", key, "profile"]).map(String::from);
        assert_eq!(of("bob").unwrap(), "http://host:1/base/users/bob/profile");
        for key in ["", ".", ".."] {
            assert!(matches!(of(key), Err(AddressError::Segment(_))), "{key:?}");
        }
        for (key, segment) in [
            ("a/../b", "a%2F..%2Fb"),
            ("%2e%2e", "%252e%252e"),
            (".\t.", ".%09."),
            ("..\n", "..%0A"),
            ("\\..\\", "%5C..%5C"),
            ("a?b#c", "a%3Fb%23c"),
            ("...", "..."),
            ("ä", "%C3%A4"),
        ] {
            let url = format!("http://host:1/base/users/{segment}/profile");
            assert_eq!(of(key).unwrap(), url, "{key:?}");
        }
    }

    #[test]
    fn an_address_is_one_of_a_server() {
        for base in ["", "nowhere", "mailto:a@b", "data:text/plain,x"] {
            let refused = address(base, ["a"]);
            assert!(matches!(refused, Err(AddressError::Base(_))), "{base}");
        }
        assert_eq!(address("http://host", ["a"]).unwrap().path(), "/a");
        let error = address("data:x", ["a"]).unwrap_err().to_string();
        assert!(error.contains("https://"), "{error}");
    }

    proptest! {
        /// Whoever reads the path finds the same segments, in the same number.
        #[test]
        fn segments_come_back(first in ".{1,8}", second in ".{1,8}") {
            let segments = [first.as_str(), second.as_str()];
            if segments.iter().all(|it| check_segment(it).is_ok()) {
                let url = address(BASE, segments).unwrap();
                let read: Vec<String> = url
                    .path_segments()
                    .unwrap()
                    .skip(1)
                    .map(|it| percent_decode_str(it).decode_utf8().unwrap().into_owned())
                    .collect();
                prop_assert_eq!(read, segments);
            }
        }
    }
}
