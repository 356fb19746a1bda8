//! From a command on a topic to its result on another, on a real Kafka and Restate.

use std::time::Duration;

use millstream::testing::{RequestFailed, Stack, unique};
use your_project::topics::greetings::{GreetPerson, PersonGreeted};
use your_project::topics::{Greetings, TOPICS};

/// How long a result may take. Machines under load are slow.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn people_are_greeted() -> anyhow::Result<()> {
    // One stack for all tests of this file, so each test has keys of its own.
    let stack = Stack::shared(env!("CARGO_BIN_EXE_your-project"))?;
    let client = stack.client(TOPICS).await?;
    let person = unique("ada");
    for count in 1..=2 {
        let command = GreetPerson {
            greeting: "Hello".into(),
        };
        let seen = client.request::<Greetings>(&person, command, LIMIT).await?;
        let greeted: PersonGreeted = seen.event()?;
        assert_eq!((greeted.text.as_str(), greeted.count), ("Hello!", count));
    }
    let nothing = GreetPerson::default();
    let seen = client.request::<Greetings>(&person, nothing, LIMIT).await?;
    let refused: RequestFailed = seen.event()?;
    assert_eq!(refused.code, "invalid-request");
    Ok(())
}
