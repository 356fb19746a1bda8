//! What `new` writes: the files of `template/`, a project called `your-project`, under another name.

mod place;
mod source;

use std::path::Path;

use anyhow::{Context, ensure};
use millstream_devstack::RESTATE_SETTINGS;

pub use place::Place;
use source::FOLDERS;
pub use source::Source;

/// The files, and where they go. Some have another name here: a nested Cargo.toml would be a package
/// of its own, and a .gitignore would have a say.
const FILES: [(&str, &str); 17] = [
    ("Cargo.toml", include_str!("../../template/manifest.toml")),
    ("README.md", include_str!("../../template/README.md")),
    (".gitignore", include_str!("../../template/gitignore")),
    (".dockerignore", include_str!("../../template/dockerignore")),
    ("Dockerfile", include_str!("../../template/Dockerfile")),
    (
        "docker-compose.yml",
        include_str!("../../template/docker-compose.yml"),
    ),
    ("restate.toml", RESTATE_SETTINGS),
    ("build.rs", include_str!("../../template/build.rs")),
    ("src/main.rs", include_str!("../../template/src/main.rs")),
    ("src/lib.rs", include_str!("../../template/src/lib.rs")),
    (
        "src/greeter.rs",
        include_str!("../../template/src/greeter.rs"),
    ),
    (
        "src/scenarios.rs",
        include_str!("../../template/src/scenarios.rs"),
    ),
    ("tests/it.rs", include_str!("../../template/tests/it.rs")),
    (
        "tests/on_containers.rs",
        include_str!("../../template/tests/on_containers.rs"),
    ),
    (
        "topics/greetings.toml",
        include_str!("../../template/topics/greetings.toml"),
    ),
    (
        "schemas/your_project.greetings.GreetPerson.avsc",
        include_str!("../../template/schemas/your_project.greetings.GreetPerson.avsc"),
    ),
    (
        "schemas/your_project.greetings.PersonGreeted.avsc",
        include_str!("../../template/schemas/your_project.greetings.PersonGreeted.avsc"),
    ),
];
/// Examples of events, which are called as their schemas are.
const EXAMPLES: [(&str, &str); 2] = [
    (
        "schemas/examples/your_project.greetings.GreetPerson.json",
        include_str!("../../template/schemas/examples/your_project.greetings.GreetPerson.json"),
    ),
    (
        "schemas/examples/your_project.greetings.PersonGreeted.json",
        include_str!("../../template/schemas/examples/your_project.greetings.PersonGreeted.json"),
    ),
];

/// The library's place in the template's manifest, where it lies.
const LIBRARY: &str = r#"{ path = ".." }"#;
/// That of what makes types of schemas and topics.
const CODEGEN: &str = r#"{ path = "../../codegen" }"#;
/// Stands for a checkout. Lines that name it are left out where the library comes from elsewhere.
const CHECKOUT: &str = "/path/to/millstream";
/// How an image's build is told of it.
const BUILD_CONTEXT: &str = " --build-context millstream=/path/to/millstream";
/// Writes the project into `folder`, which must not be there: all of it or nothing.
pub fn write(name: &str, folder: &Path, source: &Source) -> anyhow::Result<()> {
    ensure!(
        std::fs::symlink_metadata(folder).is_err(),
        "{} is there already: choose another name, or move it away",
        folder.display()
    );
    let parent = folder.parent().unwrap_or(Path::new(""));
    ensure!(
        parent.as_os_str().is_empty() || parent.is_dir(),
        "{} is no folder: make it first",
        parent.display()
    );
    let unfinished = folder.with_file_name(format!(".{name}.unfinished-{}", std::process::id()));
    let written = fill(name, &unfinished, source).and_then(|()| {
        std::fs::rename(&unfinished, folder)
            .with_context(|| format!("cannot make {}", folder.display()))
    });
    if written.is_err() {
        // What made it fail is told; that this fails as well tells nothing more.
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    written
}

fn fill(name: &str, folder: &Path, source: &Source) -> anyhow::Result<()> {
    let put = |path: &str, text: &[u8]| {
        let path = folder.join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("cannot write {}", path.display()))
    };
    for (path, text) in FILES.into_iter().chain(EXAMPLES) {
        put(&renamed(path, name), made(text, name, source).as_bytes())?;
    }
    if let Source::Checkout(checkout) = source
        && let Ok(lock) = std::fs::read(checkout.join("Cargo.lock"))
    {
        // The versions that Millstream is tested with. What is too much in it Cargo takes out.
        put("Cargo.lock", &lock)?;
    }
    Ok(())
}

/// A file of the template as that of the project.
fn made(text: &str, name: &str, source: &Source) -> String {
    let text = match source {
        Source::Checkout(checkout) => text.replace(CHECKOUT, &checkout.display().to_string()),
        _ => {
            let text = text.replace(BUILD_CONTEXT, "");
            let lines = text.split_inclusive('\n');
            lines.filter(|line| !line.contains(CHECKOUT)).collect()
        }
    };
    let text = text
        .replace(LIBRARY, &source.dependency(FOLDERS[0]))
        .replace(CODEGEN, &source.dependency(FOLDERS[1]));
    renamed(&text, name)
}

fn renamed(text: &str, name: &str) -> String {
    text.replace("your-project", name)
        .replace("your_project", &name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_devstack::versions;

    use super::*;

    /// All files of a project, by path.
    fn project(name: &str, source: &Source) -> BTreeMap<String, String> {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(name);
        write(name, &folder, source).unwrap();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.clone()];
        while let Some(each) = folders.pop() {
            for entry in std::fs::read_dir(each).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&folder).unwrap();
                    let text = std::fs::read_to_string(&path).unwrap();
                    files.insert(name.display().to_string(), text);
                }
            }
        }
        files
    }

    #[test]
    fn it_bears_its_name_everywhere() {
        let files = project("my-shop", &Source::Version("1.2.3".into()));
        assert!(files.contains_key("schemas/my_shop.greetings.GreetPerson.avsc"));
        assert!(files["src/main.rs"].contains("my_shop::application()"));
        assert!(files["tests/it.rs"].contains("CARGO_BIN_EXE_my-shop"));
        for (path, text) in &files {
            for left in ["your", CHECKOUT, LIBRARY, CODEGEN] {
                assert!(!text.contains(left), "{left} in {path}");
            }
        }
    }

    #[test]
    fn the_library_comes_from_where_it_was_said() {
        let manifest = |source: &Source| -> String {
            let files = project("shop", source);
            let lines = files["Cargo.toml"].lines();
            let lines = lines.filter(|line| line.starts_with("millstream"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let version = manifest(&Source::Version("1.2.3".into()));
        assert_eq!(
            version,
            "millstream = \"1.2.3\"\nmillstream-codegen = \"1.2.3\""
        );
        let git = manifest(&Source::Git("https://example.com/millstream".into()));
        assert!(git.starts_with("millstream = { git = \"https://example.com/millstream\" }\n"));
        let checkout = Source::of_this_program().unwrap();
        let Source::Checkout(folder) = &checkout else {
            panic!("{checkout:?}");
        };
        let path = manifest(&checkout);
        let library = folder.join("crates/millstream");
        assert!(path.contains(&library.display().to_string()), "{path}");
        let files = project("shop", &checkout);
        assert!(files.contains_key("Cargo.lock"));
        let copied = format!("COPY --from=millstream [\".\", \"{}\"]\n", folder.display());
        assert!(files["Dockerfile"].contains(&copied));
        let nowhere = Source::checkout(Path::new("src")).unwrap_err();
        assert!(nowhere.to_string().contains("codegen"), "{nowhere}");
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, source) = (parent.path().join("shop"), Source::Version("1".into()));
        std::fs::create_dir(&folder).unwrap();
        let error = write("shop", &folder, &source).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        // Nor is anything left behind where it cannot be made.
        let nowhere = parent.path().join("nowhere");
        write("shop", &nowhere.join("shop"), &source).unwrap_err();
        let long = "a".repeat(255);
        write(&long, &parent.path().join(&long), &source).unwrap_err();
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    /// What was tried in this checkout's file is what a project gets.
    #[test]
    fn gateway_and_console_are_composed_as_in_this_checkout() {
        let files = project("millstream", &Source::Version("1".into()));
        let here = include_str!("../../../../docker-compose.yml");
        let part = |text: &str, name: &str| {
            let lines = text.lines();
            let lines = lines.skip_while(|line| *line != format!("  {name}:"));
            let lines = lines.take_while(|line| !line.is_empty());
            // A project has no webhooks.
            let lines = lines.filter(|line| !line.contains("WEBHOOK"));
            let lines = lines.map(|line| line.replace("<<: *own", "<<: *millstream"));
            lines.collect::<Vec<_>>().join("\n")
        };
        for name in ["gateway", "console"] {
            let expected = part(here, name);
            assert!(expected.contains("ports:"), "{expected}");
            assert_eq!(part(&files["docker-compose.yml"], name), expected);
        }
    }

    /// Each version is named once; these files cannot read Rust.
    #[test]
    fn versions_are_those_of_the_dev_stack() {
        let files = project("shop", &Source::Version("1".into()));
        let rust = env!("CARGO_PKG_RUST_VERSION");
        for (path, expected) in [
            (
                "docker-compose.yml",
                format!("apache/kafka:{}}}", versions::KAFKA),
            ),
            (
                "docker-compose.yml",
                format!("/restate:{}}}", versions::RESTATE),
            ),
            ("Dockerfile", format!("FROM rust:{rust}-slim-bookworm")),
            ("Cargo.toml", format!("rust-version = \"{rust}\"")),
            ("README.md", format!("Rust {rust},")),
            ("README.md", format!("Java {}", versions::JAVA)),
        ] {
            assert!(files[path].contains(&expected), "{path} has no {expected}");
        }
    }
}
