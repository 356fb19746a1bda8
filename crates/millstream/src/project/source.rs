//! Where a project takes the library from.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// Where the library is in a checkout, and what makes types.
pub(super) const FOLDERS: [&str; 2] = ["crates/millstream", "crates/codegen"];

/// Where a project takes the library from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// Absolute path of a checkout.
    Checkout(PathBuf),
    /// A Git repository.
    Git(String),
    /// The registry of crates.
    Version(String),
}

impl Source {
    /// The checkout in this folder.
    pub fn checkout(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        let found = folder
            .canonicalize()
            .with_context(|| format!("cannot find {shown}; --path is a checkout of Millstream"))?;
        ensure!(
            is_checkout(&found),
            "{shown} is no checkout of Millstream: it has no {}",
            FOLDERS.join(" and no ")
        );
        let text = found.to_str();
        ensure!(
            text.is_some_and(|text| !text.contains(['"', '\\', '\n'])),
            "{shown} cannot be written in a Cargo.toml; give the checkout a plainer path"
        );
        Ok(Self::Checkout(found))
    }

    /// What this program was built of, if it is a checkout that is still there.
    pub fn of_this_program() -> anyhow::Result<Self> {
        let built_of = Path::new(env!("CARGO_MANIFEST_DIR"));
        let checkout = built_of.ancestors().nth(2);
        match checkout.filter(|folder| is_checkout(folder)) {
            Some(folder) => Self::checkout(folder),
            None => bail!(
                "it is not known where the project shall take Millstream from: name a checkout of \
                 its sources (--path DIR), a repository (--git URL) or a version (--version {})",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }

    /// The dependency on the crate in this folder of a checkout, as in a manifest.
    pub(super) fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Checkout(checkout) => {
                format!(r#"{{ path = "{}" }}"#, checkout.join(folder).display())
            }
            Self::Git(url) => format!("{{ git = {url:?} }}"),
            Self::Version(version) => format!("{version:?}"),
        }
    }
}

fn is_checkout(folder: &Path) -> bool {
    let mut crates = FOLDERS.iter();
    crates.all(|name| folder.join(name).join("Cargo.toml").is_file())
}
