//! Where a project is made, and what it is called.

use std::path::PathBuf;

/// Where a project is to be, and its name.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// The last part of that.
    pub name: String,
}

impl Place {
    /// A folder whose last part can be the name of packages, programs, namespaces and consumer groups.
    pub fn parse(text: &str) -> Result<Self, String> {
        let folder = PathBuf::from(text);
        let name = folder.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        match check(&name) {
            Ok(()) => Ok(Self { folder, name }),
            Err(reason) => Err(reason.to_owned()),
        }
    }
}

fn check(name: &str) -> Result<(), &'static str> {
    /// Crates that the project uses, and words of Rust and Cargo.
    const TAKEN: &[&str] = &[
        "abstract",
        "alloc",
        "anyhow",
        "as",
        "async",
        "await",
        "become",
        "box",
        "break",
        "build",
        "const",
        "continue",
        "core",
        "crate",
        "deps",
        "do",
        "dyn",
        "else",
        "enum",
        "examples",
        "extern",
        "false",
        "final",
        "fn",
        "for",
        "gen",
        "if",
        "impl",
        "in",
        "incremental",
        "let",
        "loop",
        "macro",
        "match",
        "millstream",
        "mod",
        "move",
        "mut",
        "override",
        "priv",
        "pub",
        "ref",
        "return",
        "self",
        "serde",
        "static",
        "std",
        "struct",
        "super",
        "test",
        "tokio",
        "trait",
        "true",
        "try",
        "type",
        "typeof",
        "unsafe",
        "unsized",
        "use",
        "virtual",
        "where",
        "while",
        "yield",
    ];
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) {
        return Err("a name begins with a lower-case letter and has only those, digits, - and _");
    }
    if name.ends_with(['-', '_']) {
        return Err("a name ends with a letter or a digit, since an image is called so, too");
    }
    if name.len() > 64 {
        return Err("a name has 64 characters at most");
    }
    if TAKEN.contains(&name) || name.starts_with("millstream-") || name.starts_with("restate-") {
        return Err("it is a word of Rust or Cargo, or a crate that the project uses");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for (good, name) in [
            ("shop", "shop"),
            ("../my-shop", "my-shop"),
            ("a/shop_2/", "shop_2"),
        ] {
            assert_eq!(Place::parse(good).unwrap().name, name);
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "Shop",
            "2shop",
            "-shop",
            "shop-",
            "sh op",
            "..",
            "/",
            "café",
            "fn",
            "test",
            "serde",
            "millstream",
            "restate-sdk",
            &long,
        ] {
            Place::parse(bad).unwrap_err();
        }
    }
}
