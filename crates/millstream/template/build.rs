//! Checks schemas/ and topics/, and makes Rust types of them.

fn main() {
    millstream_codegen::Catalog::new().generate("millstream.rs");
}
