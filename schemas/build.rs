//! Generates the event types.

fn main() {
    if let Ok(folder) = std::env::var("CARGO_MANIFEST_DIR") {
        println!("cargo::metadata=folder={folder}");
    }
    millstream_codegen::Catalog::new()
        .schemas(".")
        .without_topics()
        .events_crate("::millstream_events")
        .generate("millstream.rs");
}
