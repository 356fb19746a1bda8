//! A tree of Rust modules being filled.

use std::{collections::BTreeMap, fmt::Write};

/// Items, and the modules below.
#[derive(Default)]
pub struct Modules {
    items: String,
    below: BTreeMap<String, Modules>,
}

impl Modules {
    /// The text of the module at `path`, to add items to.
    pub fn at(&mut self, path: impl Iterator<Item = String>) -> &mut String {
        let mut module = self;
        for name in path {
            module = module.below.entry(name).or_default();
        }
        &mut module.items
    }

    pub fn write(&self, out: &mut String) {
        out.push_str(&self.items);
        for (name, module) in &self.below {
            let about = format!(
                "The events of `{}`.",
                name.trim_start_matches("r#").replace('_', "-")
            );
            let _ = writeln!(out, "#[doc = {about:?}]\npub mod {name} {{");
            module.write(out);
            out.push_str("}\n");
        }
    }
}
