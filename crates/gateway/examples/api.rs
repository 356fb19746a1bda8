//! Writes docs/api: OpenAPI of the gateway's routes and AsyncAPI of all topics.

use std::path::Path;

use millstream_gateway::documents::{asyncapi, openapi};
use millstream_topics::TOPICS;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api");
    std::fs::create_dir_all(&folder)?;
    for (name, document) in [("openapi", openapi(TOPICS)), ("asyncapi", asyncapi(TOPICS))] {
        std::fs::write(
            folder.join(format!("{name}.json")),
            format!("{document:#}\n"),
        )?;
    }
    Ok(())
}
