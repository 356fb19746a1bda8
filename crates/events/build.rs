//! Generates the library's own records and topics.

fn main() {
    millstream_codegen::Catalog::of_library().generate("millstream.rs");
}
