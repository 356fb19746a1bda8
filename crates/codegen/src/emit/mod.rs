//! Writes Rust.

mod events;
mod modules;
mod topics;

pub use events::events;
pub use modules::Modules;
pub use topics::topics;

use crate::{names, schema::Schemas};

/// Where generated code finds what it refers to.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The crate `millstream-events`: traits, declarations, the library's own records and topics.
    pub library: String,
    /// The event types of the catalogue, if they are not generated in the same file.
    pub events: Option<String>,
}

impl Paths {
    /// The path of a definition's type, for code that is `depth` modules below the root.
    pub fn of(&self, full_name: &str, schemas: &Schemas, depth: usize) -> String {
        let local = local_path(full_name);
        if schemas
            .get(full_name)
            .is_some_and(|definition| definition.of_library)
        {
            return format!("{}::{local}", self.library);
        }
        match &self.events {
            Some(root) => format!("{root}::{local}"),
            None if depth == 0 => format!("self::{local}"),
            None => format!("{}{local}", "super::".repeat(depth)),
        }
    }
}

/// The modules of a namespace: its segments without the first.
pub fn modules(namespace: &str) -> impl Iterator<Item = String> {
    namespace.split('.').skip(1).map(names::identifier)
}

/// The path of a definition's type below the root.
pub fn local_path(full_name: &str) -> String {
    let (namespace, name) = names::split(full_name);
    let mut path: Vec<String> = modules(namespace).collect();
    path.push(names::identifier(name));
    path.join("::")
}

/// A doc attribute for text that is not written in Markdown.
pub fn doc(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if "<>[]_*`".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    format!("#[doc = {escaped:?}]\n")
}
