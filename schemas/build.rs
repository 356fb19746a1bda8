//! Generates the event types.

fn main() {
    millstream_codegen::Catalog::new()
        .schemas(".")
        .without_topics()
        .events_crate("::millstream_events")
        .generate("millstream.rs");
}
