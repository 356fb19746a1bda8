//! What `demo` plays.

use millstream::scenario::{Run, Scenario};

use crate::topics::Greetings;
use crate::topics::greetings::{GreetPerson, PersonGreeted};

pub static SCENARIOS: &[Scenario] = &[Scenario {
    name: "greetings",
    summary: "a person is greeted twice",
    play: |run| Box::pin(greet_twice(run)),
}];

async fn greet_twice(run: &mut Run) -> anyhow::Result<()> {
    let person = run.key("ada");
    for count in 1..=2 {
        let greeting = "Hello".to_owned();
        let greeted: PersonGreeted = run
            .request::<Greetings, _>(&person, GreetPerson { greeting })
            .await?;
        run.expect("times greeted", greeted.count, count);
    }
    Ok(())
}
