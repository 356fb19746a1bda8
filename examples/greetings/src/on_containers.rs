//! From an event on a topic to its result on another, on real parts in containers.

use std::time::Duration;

use millstream_containers::Stack;
use millstream_pipeline::client::Client;
use millstream_pipeline::service::Pipeline;

use crate::greeter::Greeter;
use crate::greetings::{GreetPerson, PersonGreeted};
use crate::{Greetings, TOPICS};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_greeted() -> anyhow::Result<()> {
    let Some(stack) = Stack::start_or_skip("people_are_greeted").await? else {
        return Ok(()); // no Docker here; it said so
    };
    let pipeline = Pipeline::new(stack.endpoints(), TOPICS, "acme")?;
    let handlers = pipeline.endpoint().bind(Greeter::new(&pipeline));
    stack.serve(handlers, TOPICS, "acme").await?;

    let client = Client::new(stack.endpoints(), TOPICS, "test").await?;
    for count in 1..=2 {
        let meta = client.meta();
        let greeting = "Hello".to_owned();
        client
            .send::<Greetings>("ada", GreetPerson { greeting }, Some(&meta))
            .await?;
        let seen = client.result_of(&meta, Duration::from_secs(60)).await?;
        let greeted: PersonGreeted = seen.event()?;
        assert_eq!((greeted.text.as_str(), greeted.count), ("Hello!", count));
    }
    Ok(())
}
