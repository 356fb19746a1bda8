//! Collects what is wrong, so that all of it is reported at once.

use std::{cell::RefCell, fmt};

/// One thing that is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, relative to the folder it was found in.
    pub file: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.message)
    }
}

/// All that is wrong; sorted by file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

impl std::error::Error for Problems {}

/// Problems found so far.
#[derive(Default)]
pub(crate) struct Collector(RefCell<Vec<Problem>>);

impl Collector {
    pub fn add(&self, file: &str, message: impl Into<String>) {
        let problem = Problem {
            file: file.to_owned(),
            message: message.into(),
        };
        self.0.borrow_mut().push(problem);
    }

    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// All of them, or nothing.
    pub fn finish(self) -> Result<(), Problems> {
        let mut problems = self.0.into_inner();
        // Stable: within a file they stay in the order in which a reader meets them.
        problems.sort_by(|a, b| a.file.cmp(&b.file));
        problems.dedup();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Problems(problems))
        }
    }
}
