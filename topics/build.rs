//! Validates the topic files and generates a typed handle for each.

fn main() {
    millstream_codegen::Catalog::new()
        .schemas("../schemas")
        .topics(".")
        .types_in("::millstream_schemas")
        .events_crate("::millstream_events")
        .generate("millstream.rs");
}
