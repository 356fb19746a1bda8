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

#[derive(Debug, Clone)]
enum Role {
    /// Its own events.
    Events(&'static Declaration),
    Results,
}

impl Roles {
    /// As these declarations say.
    pub fn of(declarations: &[&'static Declaration]) -> Self {
        let mut topics = HashMap::new();
        for declaration in declarations {
            topics.insert(declaration.name.to_owned(), Role::Events(declaration));
            topics.insert(declaration.subscribed_topic(), Role::Events(declaration));
        }
        for declaration in declarations {
            if let Some(results) = &declaration.results {
                topics.insert(results.name.to_owned(), Role::Results);
            }
            if declaration.is_of_results() {
                topics.insert(declaration.name.to_owned(), Role::Results);
            }
        }
        Self { topics }
    }

    /// The declaration of the events that stand on a topic.
    pub fn declaration(&self, topic: &str) -> Option<&'static Declaration> {
        match self.topics.get(topic)? {
            Role::Events(declaration) => Some(declaration),
            Role::Results => None,
        }
    }

    /// What a record is.
    pub fn kind(&self, found: &Found) -> Kind {
        if found.letter.is_some() {
            return Kind::DeadLetter;
        }
        let topic = found.place.topic.as_str();
        match self.topics.get(topic) {
            Some(Role::Results) => Kind::Result,
            Some(Role::Events(declaration)) if declaration.name == Timers::DECLARATION.name => {
                Kind::Timer
            }
            Some(Role::Events(declaration)) if declaration.replies => Kind::Reply,
            Some(Role::Events(declaration)) => {
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
            None if topic.ends_with("-results") => Kind::Result,
            None => Kind::Event,
        }
    }
}
