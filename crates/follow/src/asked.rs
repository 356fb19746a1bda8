//! What somebody asks for: an id, or the latest of a key; and what time an id tells.

/// 2020-01-01: there was no Millstream before.
const FIRST_MS: i64 = 1_577_836_800_000;
/// A day: so much the clocks of an installation may differ before an id is not believed.
const SKEW_MS: i64 = 24 * 60 * 60 * 1000;

/// What is to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A correlation id, the id of an event, a request id of the gateway, or where a record stands.
    Id(String),
    /// The request of the last record with this key.
    Latest {
        /// On this topic.
        topic: String,
        /// The key.
        key: String,
    },
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Latest { topic, key } => write!(f, "the latest of key {key} on {topic}"),
        }
    }
}

/// When an id was made, in milliseconds since 1970-01-01 UTC: that of a UUID of version 7.
pub fn made_ms(id: &str, now_ms: i64) -> Option<i64> {
    let uuid = uuid::Uuid::try_parse(id).ok()?;
    if uuid.get_version_num() != 7 {
        return None;
    }
    let [a, b, c, d, e, f, ..] = uuid.into_bytes();
    let made = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    (FIRST_MS..=now_ms.saturating_add(SKEW_MS))
        .contains(&made)
        .then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_7_tells_its_time() {
        let id = "01a22917-beb2-7788-b305-1b8bb3bb2fa3";
        let now = 1_795_985_800_000;
        let made = made_ms(id, now).unwrap();
        assert!((now - made).abs() < 3_600_000, "{made}");
        assert_eq!(made_ms(&id.replace('-', ""), now), Some(made));
        for no in [
            "",
            "trip-17",
            "3d9d423c1f4721e5c96425cab3467819",
            // Version 4, and times that cannot be right.
            "01a22917-beb2-4788-b305-1b8bb3bb2fa3",
            "00000000-0000-7788-b305-1b8bb3bb2fa3",
            "ffffffff-ffff-7788-b305-1b8bb3bb2fa3",
        ] {
            assert_eq!(made_ms(no, now), None, "{no}");
        }
    }
}
