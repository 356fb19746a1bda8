//! Validates the topic files and generates a typed handle for each.

fn main() {
    millstream_codegen::generate_topics("millstream.rs", "../schemas", "::millstream_schemas");
}
