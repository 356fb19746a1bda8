//! Greets people: state, decision, handler.

use millstream::prelude::*;
use serde::{Deserialize, Serialize};

use crate::topics;
use crate::topics::greetings::{GreetPerson, PersonGreeted};

/// The service. Its key is the person.
pub struct Greeter(Service);

impl Greeter {
    /// The service on `pipeline`.
    pub fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service(service_name!(Greeter in topics::TOPICS)))
    }
}

/// What is known of a person.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Person {
    #[serde(default)]
    greeted: i64,
}

/// The decision: a plain function of state and command, so that a test needs neither Kafka nor
/// Restate. A failure is the answer `RequestFailed`, and the state stays as it was.
pub fn greet(person: &mut Person, command: GreetPerson) -> Result<PersonGreeted, Failure> {
    if command.greeting.is_empty() {
        return Err(Failure::invalid_request("greeting is empty; say something"));
    }
    person.greeted += 1;
    Ok(PersonGreeted {
        text: format!("{}!", command.greeting),
        count: person.greeted,
    })
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl Greeter {
    /// Handles the topic `greetings`, which names this handler in topics/greetings.toml.
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.0
            .handle::<topics::Greetings, _>(&ctx, record, greet)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_counted() {
        let mut person = Person::default();
        for count in 1..=2 {
            let command = GreetPerson {
                greeting: "Hello".into(),
            };
            assert_eq!(greet(&mut person, command).unwrap().count, count);
        }
        let refused = greet(&mut person, GreetPerson::default()).unwrap_err();
        assert_eq!(refused.code, "invalid-request");
        assert_eq!(person.greeted, 2);
    }
}
