//! Generates the ledger's event types and topic handles, as a crate outside the workspace would.

fn main() {
    millstream_codegen::Catalog::new()
        .library("::millstream_pipeline")
        .generate("millstream.rs");
}
