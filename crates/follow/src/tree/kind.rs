//! What an event is, by the topic that it stands on.

use std::collections::HashMap;

use millstream_pipeline::events::{Declaration, Timers, Topic};

use crate::found::Found;
use crate::journey::Kind;

/// What is declared of topics.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    topics: HashMap<String, Role>,
}

#[derive(Debug, Clone, Copy)]
struct Role {
    /// Who handles its events; `None`: nobody.
    declaration: Option<&'static Declaration>,
    is_of_results: bool,
}

impl Roles {
    /// As these declarations say.
    pub fn of(declarations: &[&'static Declaration]) -> Self {
        let mut topics: HashMap<String, Role> = HashMap::new();
        for declaration in declarations {
            if let Some(results) = &declaration.results {
                let role = Role {
                    declaration: None,
                    is_of_results: true,
                };
                topics.entry(results.name.to_owned()).or_insert(role);
            }
            let role = Role {
                declaration: Some(declaration),
                is_of_results: declaration.is_of_results(),
            };
            topics.insert(declaration.name.to_owned(), role);
            topics.insert(declaration.subscribed_topic(), role);
        }
        Self { topics }
    }

    /// The declaration of the events that stand on a topic, of results only where somebody handles them.
    pub fn declaration(&self, topic: &str) -> Option<&'static Declaration> {
        self.topics.get(topic)?.declaration
    }

    /// Whether the keys on a topic, or among its dead letters, are nobody else's to know: who knows the key
    /// of a reply can answer in another's place.
    pub fn hides_keys(&self, topic: &str) -> bool {
        let of = topic.strip_suffix("-dlq").unwrap_or(topic);
        let is_of_replies = |topic: &str| self.declaration(topic).is_some_and(|it| it.replies);
        is_of_replies(topic) || is_of_replies(of)
    }

    /// What a record is.
    pub fn kind(&self, found: &Found) -> Kind {
        if found.letter.is_some() {
            return Kind::DeadLetter;
        }
        let topic = found.place.topic.as_str();
        let role = self.topics.get(topic);
        let is_of_results = role.map_or(topic.ends_with("-results"), |role| role.is_of_results);
        match role.and_then(|role| role.declaration) {
            _ if is_of_results => Kind::Result,
            None => Kind::Event,
            Some(declaration) if declaration.name == Timers::DECLARATION.name => Kind::Timer,
            Some(declaration) if declaration.replies => Kind::Reply,
            Some(declaration) => {
                let known = found
                    .full_name
                    .as_deref()
                    .map(|name| declaration.event(name));
                // An event that nobody has declared is refused, as a command of the topic is.
                let is_command = match known.flatten() {
                    Some(event) => event.is_command(),
                    None => declaration.events.iter().any(|event| event.is_command()),
                };
                match is_command {
                    true => Kind::Command,
                    false => Kind::Event,
                }
            }
        }
    }
}
