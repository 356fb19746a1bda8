//! The library's own records and topics.

#![allow(clippy::unwrap_used, clippy::panic)]

use millstream_codegen::Catalog;
use millstream_events::{
    Decode, EVENTS, Event, SYSTEM_TOPICS, Visit, decode_and_visit, is_system_service,
};

#[test]
fn every_example_decodes() {
    struct Json(&'static str);
    impl Decode for Json {
        type Error = serde_json::Error;
        fn decode<E: Event>(self) -> Result<E, Self::Error> {
            serde_json::from_str(self.0)
        }
    }
    struct Name;
    impl Visit for Name {
        type Output = &'static str;
        fn event<E: Event>(self, _: &E) -> &'static str {
            E::FULL_NAME
        }
    }
    assert_eq!(EVENTS.len(), 5);
    for schema in EVENTS.iter().map(|schema| schema()) {
        let name = schema.full_name;
        let decoded = decode_and_visit(name, Json(schema.example), Name);
        assert_eq!(decoded.unwrap().unwrap(), name);
    }
}

#[test]
fn the_history_is_kept() {
    if let Err(problems) = Catalog::of_library().check_history() {
        panic!("\n{problems}");
    }
}

/// The code generator knows them by these names: it puts them into every catalogue.
#[test]
fn the_topics_are_those_that_every_catalogue_has() {
    let names: Vec<_> = SYSTEM_TOPICS.iter().map(|topic| topic.name).collect();
    assert_eq!(names, ["dlq-status", "replies", "timers"]);
    let services = ["Replies", "Timers", "Reservations"];
    assert_eq!(services.map(is_system_service), [true, true, false]);
}
