//! Keys that flags and variables name.

use std::path::Path;

use millstream_pipeline::identity::{KeyError, Signer, SigningKey};

/// A signer with the private key in this file; an empty name says that there is none.
pub fn signer(path: Option<&Path>) -> Result<Option<Signer>, KeyError> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    path.map(|path| SigningKey::read(path).map(Signer::new))
        .transpose()
}
