//! What somebody has shown, and how long it is good: what is answered bit by bit ends with it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::tokens::LEEWAY;
use super::{Access, Refusal, Verb, Watched};

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
    /// Why a pass does not allow this at a topic any more, if it does not.
    pub fn refusal(&self, pass: &Pass, verb: Verb, topic: &str, now: Timestamp) -> Option<Refusal> {
        match pass {
            Pass::Nothing => None,
            Pass::Key(id) => {
                let keys = self.keys.as_ref().map(Watched::get).unwrap_or_default();
                let Some(known) = keys.known(id) else {
                    return Some(Refusal::UnknownKey);
                };
                let allows = || known.scopes.iter().any(|scope| scope.allows(verb, topic));
                let refusal = known.key.refusal(now);
                refusal.or_else(|| (!allows()).then_some(Refusal::Scope))
            }
            Pass::Token(until) => {
                let end = until.saturating_add(LEEWAY.cast_signed());
                (now.as_second() >= end).then_some(Refusal::Token)
            }
        }
    }

    /// Comes when a pass does not allow this at a topic any more, and says why.
    pub async fn over(&self, pass: &Pass, verb: Verb, topic: &str) -> Refusal {
        if *pass == Pass::Nothing {
            // Thousands wait at a gateway that asks nobody; none of them has to look.
            return std::future::pending().await;
        }
        loop {
            if let Some(refusal) = self.refusal(pass, verb, topic, Timestamp::now()) {
                return refusal;
            }
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
        let refusal =
            |pass: &Pass, verb, topic: &str, second| access.refusal(pass, verb, topic, at(second));
        let reads = |pass: &Pass, second| refusal(pass, Verb::Read, "orders", second);
        assert_eq!(reads(&pass(&ids[0]), 99), None);
        assert_eq!(reads(&pass(&ids[1]), 99), None);
        assert_eq!(reads(&pass(&ids[1]), 100), Some(Refusal::ExpiredKey));
        assert_eq!(reads(&pass(&ids[2]), 99), Some(Refusal::RevokedKey));
        assert_eq!(reads(&pass("unknown"), 99), Some(Refusal::UnknownKey));
        for (verb, topic) in [(Verb::Read, "payments"), (Verb::Operate, "orders")] {
            let refused = refusal(&pass(&ids[0]), verb, topic, 99);
            assert_eq!(refused, Some(Refusal::Scope), "{topic}");
        }
        assert_eq!(reads(&Pass::Token(100), 100), None, "clocks may differ");
        let end = 100 + LEEWAY.cast_signed();
        assert_eq!(reads(&Pass::Token(100), end), Some(Refusal::Token));
        assert_eq!(reads(&Pass::Nothing, 99), None);
    }

    #[tokio::test]
    async fn a_wait_is_told_why_its_pass_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let now = Timestamp::now();
        let id = KeyFile::change(&path, |file| {
            file.create(
                NewKey {
                    principal: "a".into(),
                    scopes: vec!["read:orders".parse().unwrap()],
                    expires_at: None,
                    rate: None,
                    burst: None,
                },
                now,
            )?;
            Ok(file.keys[0].id.clone())
        });
        let id = id.unwrap();
        let settings = AccessSettings {
            keys: Some(path.clone()),
            ..AccessSettings::default()
        };
        let access = Access::new(&settings).unwrap();
        let key = Pass::Key(id.as_str().into());
        let revoking = async {
            // It is looked at before.
            tokio::time::sleep(Duration::from_millis(100)).await;
            KeyFile::change(&path, |file| file.revoke(&id, now)).unwrap();
            std::future::pending::<()>().await;
        };
        let refusal = tokio::select! {
            refusal = access.over(&key, Verb::Read, "orders") => refusal,
            () = access.follow() => unreachable!("it never ends"),
            () = revoking => unreachable!("it never ends"),
            () = tokio::time::sleep(Duration::from_secs(30)) => panic!("it goes on"),
        };
        assert_eq!(refusal, Refusal::RevokedKey);
        let nothing = access.over(&Pass::Nothing, Verb::Read, "orders");
        let nothing = tokio::time::timeout(Duration::from_millis(100), nothing).await;
        assert!(nothing.is_err(), "nothing could end");
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
