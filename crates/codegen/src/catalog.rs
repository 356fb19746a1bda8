//! The entry point for build scripts.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    emit::{self, Modules, Paths},
    history,
    problem::{Collector, Problems},
    schema::{self, Schemas},
    topic,
};

/// Where a crate that uses `millstream` finds the crate `millstream-events`.
const LIBRARY: &str = "::millstream::pipeline::events";

/// A folder of schemas and a folder of topics, to be made into Rust.
#[derive(Clone, Debug)]
pub struct Catalog {
    schemas: PathBuf,
    topics: Option<PathBuf>,
    paths: Paths,
    /// Whether the library's own records and topics are being made.
    is_library: bool,
    /// What is run to release schemas.
    release: Option<String>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    /// The catalogue of a crate that uses `millstream`: folders `schemas` and `topics`.
    pub fn new() -> Self {
        Self {
            schemas: "schemas".into(),
            topics: Some("topics".into()),
            paths: Paths {
                library: LIBRARY.into(),
                events: None,
            },
            is_library: false,
            release: None,
        }
    }

    /// Takes the schemas from another folder.
    pub fn schemas(mut self, folder: impl Into<PathBuf>) -> Self {
        self.schemas = folder.into();
        self
    }

    /// Takes the topics from another folder.
    pub fn topics(mut self, folder: impl Into<PathBuf>) -> Self {
        self.topics = Some(folder.into());
        self
    }

    /// Makes the types of the events alone. The crate that makes those of the topics says where it
    /// finds these: [`Self::types_in`].
    pub fn without_topics(mut self) -> Self {
        self.topics = None;
        self
    }

    /// Takes the types of the events from a crate at this path, which made them of the same schemas
    /// and [without topics](Self::without_topics).
    pub fn types_in(mut self, path: &str) -> Self {
        self.paths.events = Some(path.to_owned());
        self
    }

    /// Says what is run to release schemas, if not the example `release` of the package.
    pub fn released_by(mut self, command: impl Into<String>) -> Self {
        self.release = Some(command.into());
        self
    }

    /// Says under which path the library is found, if not `::millstream::pipeline`.
    pub fn library(self, path: &str) -> Self {
        self.events_crate(&format!("{path}::events"))
    }

    /// Says under which path the crate `millstream-events` is found, in a crate that uses that and
    /// not the library.
    pub fn events_crate(mut self, path: &str) -> Self {
        self.paths.library = path.to_owned();
        self
    }

    /// The records and topics of the crate `millstream-events` itself.
    #[doc(hidden)]
    pub fn of_library() -> Self {
        Self {
            is_library: true,
            ..Self::new().events_crate("crate")
        }
    }

    /// Writes `out_file` in `OUT_DIR`, or reports what is wrong and fails the build.
    pub fn generate(&self, out_file: &str) {
        for folder in std::iter::once(&self.schemas).chain(&self.topics) {
            println!("cargo::rerun-if-changed={}", folder.display());
        }
        let written = self.render().map_err(|problems| {
            problems
                .0
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        });
        let written = written.and_then(|rust| {
            write(out_file, &rust)
                .map_err(|error| vec![format!("cannot write {out_file}: {error}")])
        });
        if let Err(problems) = written {
            for problem in problems {
                // Cargo prints these and fails the build; an exit status would print them twice.
                println!("cargo::error={problem}");
            }
        }
    }

    /// The generated Rust, or all that is wrong.
    pub fn render(&self) -> Result<String, Problems> {
        let problems = Collector::default();
        let schemas = self.load(&problems);
        let topics = match &self.topics {
            Some(folder) => {
                existing(folder, &problems);
                let (topics, all_read) = topic::load(folder, &problems);
                topic::check(&topics, all_read, &schemas, &problems);
                if !self.is_library {
                    topic::check_names(&topics, &problems);
                }
                topics
            }
            None => Vec::new(),
        };
        problems.finish()?;
        let mut out = Modules::default();
        if self.paths.events.is_none() {
            emit::events(&schemas, &self.paths, &mut out);
        }
        if self.topics.is_some() {
            let of_library = match self.is_library {
                true => &[][..],
                false => &topic::OF_LIBRARY,
            };
            emit::topics(&topics, of_library, &schemas, &self.paths, &mut out);
        }
        let mut rust = String::from("// Generated from .avsc and topic files; edit those.\n");
        out.write(&mut rust);
        Ok(rust)
    }

    /// For a test: every current schema is the newest version in the history, and it and every
    /// older version can read each other.
    pub fn check_history(&self) -> Result<(), Problems> {
        let problems = Collector::default();
        let schemas = self.load(&problems);
        history::check(&self.schemas, &schemas, self.release.as_deref(), &problems);
        problems.finish()
    }

    /// All that is wrong with schemas, topics and the history.
    pub fn check(&self) -> Result<(), Problems> {
        let problems = match (self.render(), self.check_history()) {
            (Ok(_), history) => return history,
            (Err(problems), Ok(())) => problems,
            (Err(Problems(mut problems)), Err(Problems(history))) => {
                problems.extend(history);
                problems.sort_by(|a, b| a.file.cmp(&b.file));
                problems.dedup();
                Problems(problems)
            }
        };
        Err(problems)
    }

    /// Adds what is new to the history; returns the files.
    pub fn release(&self) -> Result<Vec<String>, Problems> {
        let problems = Collector::default();
        let schemas = self.load(&problems);
        let written = history::release(&self.schemas, &schemas, &problems);
        problems.finish()?;
        Ok(written)
    }

    fn load(&self, problems: &Collector) -> Schemas {
        existing(&self.schemas, problems);
        schema::load(&self.schemas, !self.is_library, problems)
    }
}

fn existing(folder: &Path, problems: &Collector) {
    if !folder.is_dir() {
        let message = "is not a folder: create it, or name another one in build.rs.";
        problems.add(&folder.display().to_string(), message);
    }
}

fn write(out_file: &str, rust: &str) -> io::Result<()> {
    let folder = env::var_os("OUT_DIR")
        .ok_or_else(|| io::Error::other("OUT_DIR is not set: call this from build.rs"))?;
    fs::write(Path::new(&folder).join(out_file), rust)
}
