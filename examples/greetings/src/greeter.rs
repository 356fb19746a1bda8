//! The business logic: state, decision, handler.

use bytes::Bytes;
use millstream_pipeline::code::Failure;
use millstream_pipeline::service::{Pipeline, Service};
use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Greetings;
use crate::greetings::{GreetPerson, PersonGreeted};

/// The service. Its key is the person.
pub struct Greeter(Service);

impl Greeter {
    pub fn new(pipeline: &Pipeline) -> Self {
        Self(pipeline.service("Greeter"))
    }
}

/// What is known of a person.
#[derive(Default, Serialize, Deserialize)]
pub struct Person {
    #[serde(default)]
    greeted: i64,
}

/// The decision: a plain function, which a unit test calls.
pub fn greet(person: &mut Person, request: GreetPerson) -> Result<PersonGreeted, Failure> {
    if request.greeting.is_empty() {
        return Err(Failure::invalid_request("greeting is empty; say something"));
    }
    person.greeted += 1;
    Ok(PersonGreeted {
        text: format!("{}!", request.greeting),
        count: person.greeted,
    })
}

#[restate_sdk::object(inactivity_timeout = "0s")]
impl Greeter {
    #[handler(name = "onEvent")]
    async fn on_event(&self, ctx: ObjectContext<'_>, record: Bytes) -> HandlerResult<()> {
        self.0.handle::<Greetings, _>(&ctx, record, greet).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_are_counted() {
        let mut person = Person::default();
        for count in 1..=2 {
            let request = GreetPerson {
                greeting: "Hello".into(),
            };
            assert_eq!(greet(&mut person, request).unwrap().count, count);
        }
        let nothing = greet(&mut person, GreetPerson::default()).unwrap_err();
        assert_eq!(nothing.code, "invalid-request");
    }
}
