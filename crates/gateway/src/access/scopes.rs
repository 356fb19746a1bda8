//! What a key or token allows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What may be done to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Send events to it.
    Send,
    /// Be told the results of one's own commands on it; in the console, see what is on it.
    Read,
    /// Replay and discard dead letters, in the console.
    Operate,
}

/// A verb, or `*` for sending and reading, on the topics of a pattern: `send:orders`, `*:user-*`.
/// Who may operate is told so by name: a key of before must not come to more than it was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope {
    verb: Option<Verb>,
    topics: String,
}

/// A text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no scope; write a verb (send, read, operate or * for the first two), a colon and a topic, in which * stands for \
     any text: send:orders, *:user-*"
)]
pub struct ScopeError(String);

impl Scope {
    /// Sending to all topics.
    pub fn sending() -> Self {
        Self {
            verb: Some(Verb::Send),
            topics: "*".to_owned(),
        }
    }

    /// Whether it allows this.
    pub fn allows(&self, verb: Verb, topic: &str) -> bool {
        let is_meant = match self.verb {
            Some(allowed) => allowed == verb,
            None => verb != Verb::Operate,
        };
        is_meant && matches(&self.topics, topic)
    }
}

/// Whether a text fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let Some((middle, last)) = rest.rsplit_once('*') else {
        return text.ends_with(rest);
    };
    for part in middle.split('*') {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let error = || ScopeError(text.to_owned());
        let (verb, topics) = text.split_once(':').ok_or_else(error)?;
        let verb = match verb {
            "send" => Some(Verb::Send),
            "read" => Some(Verb::Read),
            "operate" => Some(Verb::Operate),
            "*" => None,
            _ => return Err(error()),
        };
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-._*".contains(letter);
        if topics.is_empty() || !topics.chars().all(fits) {
            return Err(error());
        }
        Ok(Self {
            verb,
            topics: topics.to_owned(),
        })
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            None => "*",
            Some(Verb::Send) => "send",
            Some(Verb::Read) => "read",
            Some(Verb::Operate) => "operate",
        };
        write!(f, "{verb}:{}", self.topics)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(scope: &str, verb: Verb, topic: &str) -> bool {
        let scope: Scope = scope.parse().unwrap();
        assert_eq!(scope.to_string().parse::<Scope>().unwrap(), scope);
        scope.allows(verb, topic)
    }

    #[test]
    fn scopes_allow_what_they_say_and_no_more() {
        use Verb::{Operate, Read, Send};
        assert!(allows("send:orders", Send, "orders"));
        assert!(!allows("send:orders", Read, "orders"));
        for other in ["orders-2", "order", "", "my-orders"] {
            assert!(!allows("send:orders", Send, other), "{other}");
        }
        assert!(allows("*:user-*", Read, "user-updates"));
        assert!(allows("*:user-*", Send, "user-"));
        assert!(!allows("*:user-*", Send, "users"));
        assert!(allows("read:*", Read, "anything"));
        assert!(allows("operate:*", Operate, "anything"));
        assert!(!allows("operate:*", Read, "anything"));
        assert!(!allows("*:*", Operate, "anything"), "it is said by name");
        assert!(allows("read:a*b*c", Read, "a-b-b-c"));
        assert!(allows("read:a*b*c", Read, "abc"));
        assert!(!allows("read:a*b*c", Read, "ac"));
        assert!(!allows("read:a*a", Read, "a"), "no letter counts twice");
        for bad in ["", "orders", "write:orders", "send:", "send:a b", "Send:a"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
    }
}
