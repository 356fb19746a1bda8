//! Validates the topic files and generates a typed handle for each.

fn main() {
    let schemas = std::env::var("DEP_MILLSTREAM_SCHEMAS_FOLDER");
    millstream_codegen::Catalog::new()
        .schemas(schemas.unwrap_or_else(|_| "../schemas".into()))
        .topics(".")
        .types_in("::millstream_schemas")
        .events_crate("::millstream_events")
        .generate("millstream.rs");
}
