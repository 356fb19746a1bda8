//! What somebody has shown, and how long it is good: what is answered bit by bit ends with it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::tokens::LEEWAY;
use super::{Access, Verb, Watched};

/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Begins the text of a token's end.
const TOKEN: &str = "until ";

/// What somebody has shown. As text it is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pass {
    /// Nothing that could end.
    Nothing,
    /// The API key with this id.
    Key(Arc<str>),
    /// A token that ends then, in seconds since 1970-01-01 UTC.
    Token(i64),
}

impl fmt::Display for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Key(id) => f.write_str(id),
            Self::Token(until) => write!(f, "{TOKEN}{until}"),
        }
    }
}

impl FromStr for Pass {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix(TOKEN) {
            Some(until) => Self::Token(until.parse()?),
            None if text.is_empty() => Self::Nothing,
            None => Self::Key(text.into()),
        })
    }
}

impl Access {
    /// Whether a pass still allows this at a topic.
    pub fn is_good(&self, pass: &Pass, verb: Verb, topic: &str, now: Timestamp) -> bool {
        match pass {
            Pass::Nothing => true,
            Pass::Key(id) => {
                let keys = self.keys.as_ref().map(Watched::get).unwrap_or_default();
                let known = keys.known(id).filter(|it| it.key.is_live(now));
                known.is_some_and(|it| it.scopes.iter().any(|scope| scope.allows(verb, topic)))
            }
            Pass::Token(until) => now.as_second() < until.saturating_add(LEEWAY.cast_signed()),
        }
    }

    /// Comes when a pass does not allow this at a topic any more.
    pub async fn over(&self, pass: &Pass, verb: Verb, topic: &str) {
        while self.is_good(pass, verb, topic, Timestamp::now()) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::AccessSettings;
    use super::super::keys::{KeyFile, NewKey};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_pass_is_good_as_long_as_what_was_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let key = |principal: &str, expires_at: Option<Timestamp>| NewKey {
            principal: principal.into(),
            scopes: vec!["read:orders*".parse().unwrap()],
            expires_at,
            rate: None,
            burst: None,
        };
        let ids = KeyFile::change(&path, |file| {
            for it in [key("a", None), key("b", Some(at(100))), key("c", None)] {
                file.create(it, at(0))?;
            }
            let ids: Vec<String> = file.keys.iter().map(|it| it.id.clone()).collect();
            file.revoke(&ids[2], at(1))?;
            Ok(ids)
        });
        let settings = AccessSettings {
            keys: Some(path),
            ..AccessSettings::default()
        };
        let access = Access::new(&settings).unwrap();
        let ids = ids.unwrap();
        let pass = |id: &str| Pass::Key(id.into());
        let reads = |pass: &Pass, second| access.is_good(pass, Verb::Read, "orders", at(second));
        assert!(reads(&pass(&ids[0]), 99) && reads(&pass(&ids[1]), 99));
        assert!(!reads(&pass(&ids[1]), 100), "it has expired");
        assert!(!reads(&pass(&ids[2]), 99), "it was revoked");
        assert!(!reads(&pass("unknown"), 99));
        assert!(!access.is_good(&pass(&ids[0]), Verb::Read, "payments", at(99)));
        assert!(!access.is_good(&pass(&ids[0]), Verb::Operate, "orders", at(99)));
        assert!(reads(&Pass::Token(100), 100), "clocks may differ");
        assert!(!reads(&Pass::Token(100), 100 + LEEWAY.cast_signed()));
        assert!(reads(&Pass::Nothing, 99));
    }

    #[test]
    fn a_pass_is_read_as_it_is_written() {
        for pass in [
            Pass::Nothing,
            Pass::Key("0a1b".into()),
            Pass::Token(1_800_000_000),
        ] {
            assert_eq!(pass.to_string().parse(), Ok(pass));
        }
        assert!("until x".parse::<Pass>().is_err());
    }
}
