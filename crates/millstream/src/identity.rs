//! Keys that flags and variables name.

use std::path::Path;

use anyhow::Context;
use millstream_pipeline::identity::{KeyError, Signer, SigningKey};

/// What the text of a public key begins with; anything else names a file.
const PUBLIC_KEY: &str = "publickey";

/// A signer with the private key in this file; an empty name says that there is none.
pub fn signer(path: Option<&Path>) -> Result<Option<Signer>, KeyError> {
    let path = path.filter(|path| !path.as_os_str().is_empty());
    path.map(|path| SigningKey::read(path).map(Signer::new))
        .transpose()
}

/// Public keys as text: each of `given` is one, or a file of some, one a line.
pub fn public_keys(given: &[String]) -> anyhow::Result<Vec<String>> {
    let mut keys = Vec::new();
    for given in given.iter().filter(|given| !given.is_empty()) {
        if given.starts_with(PUBLIC_KEY) {
            keys.push(given.clone());
            continue;
        }
        let text = std::fs::read_to_string(given).with_context(|| {
            format!("{given:?} is neither a public key (publickeyv1_...) nor a file of them")
        })?;
        let lines = text.lines().map(str::trim);
        keys.extend(lines.filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_may_be_in_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.pub");
        std::fs::write(&file, "publickeyv1_b\n\n publickeyv1_c\n").unwrap();
        let file = file.display().to_string();
        let given = ["publickeyv1_a".to_owned(), String::new(), file];
        let keys = public_keys(&given).unwrap();
        assert_eq!(keys, ["publickeyv1_a", "publickeyv1_b", "publickeyv1_c"]);
        let missing = public_keys(&["nowhere.pub".to_owned()]).unwrap_err();
        assert!(missing.to_string().contains("nowhere.pub"), "{missing}");
    }
}
