//! Generates the event types.

fn main() {
    millstream_codegen::generate_schemas("millstream.rs");
}
