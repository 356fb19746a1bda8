//! Greets people who are named by events, and counts how often.

pub mod greeter;
mod scenarios;

/// The topics, and the events on each of them: made from topics/ and schemas/ by build.rs.
pub mod topics {
    include!(concat!(env!("OUT_DIR"), "/millstream.rs"));
}

use greeter::Greeter;
use millstream::Application;

/// Every verb of Millstream, over these topics and handlers.
pub fn application() -> Application {
    Application::new("your-project", topics::TOPICS)
        .version(env!("CARGO_PKG_VERSION"))
        .handlers(|pipeline, ()| Ok(pipeline.endpoint().bind(Greeter::new(pipeline))))
        .scenarios(scenarios::SCENARIOS)
}
