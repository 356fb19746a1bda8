//! The same with Kafka and Restate in containers, and the handlers in this process: for machines
//! with Docker and without Java. `cargo test --features docker`

use std::time::Duration;

use millstream::prelude::Pipeline;
use millstream::testing::containers::Stack;
use millstream::testing::{Client, unique};
use your_project::greeter::Greeter;
use your_project::topics::greetings::{GreetPerson, PersonGreeted};
use your_project::topics::{Greetings, TOPICS};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_greeted() -> anyhow::Result<()> {
    let Some(stack) = Stack::start_or_skip("people_are_greeted").await? else {
        return Ok(()); // no Docker here; it said so
    };
    let pipeline = Pipeline::new(stack.endpoints(), TOPICS, "your-project")?;
    let handlers = pipeline.endpoint().bind(Greeter::new(&pipeline));
    stack.serve(&pipeline, handlers).await?;

    let client = Client::new(stack.endpoints(), TOPICS, "test").await?;
    let command = GreetPerson {
        greeting: "Hello".into(),
    };
    let limit = Duration::from_secs(60);
    let seen = client
        .request::<Greetings>(&unique("ada"), command, limit)
        .await?;
    let greeted: PersonGreeted = seen.event()?;
    assert_eq!(greeted.text, "Hello!");
    Ok(())
}
