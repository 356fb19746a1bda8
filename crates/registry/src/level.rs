//! Compatibility levels and modes.

use serde::{Deserialize, Serialize};

/// What a new version of a subject must be compatible with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Nothing.
    None,
    /// The new version reads what the last one wrote.
    #[default]
    Backward,
    /// The new version reads what any earlier one wrote.
    BackwardTransitive,
    /// The last version reads what the new one writes.
    Forward,
    /// Every earlier version reads what the new one writes.
    ForwardTransitive,
    /// Backward and forward.
    Full,
    /// Backward and forward with every earlier version.
    FullTransitive,
}

impl Level {
    const ALL: [(Level, &str); 7] = [
        (Level::None, "NONE"),
        (Level::Backward, "BACKWARD"),
        (Level::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (Level::Forward, "FORWARD"),
        (Level::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (Level::Full, "FULL"),
        (Level::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// The level of this name; the case makes no difference.
    pub fn of(name: &str) -> Option<Level> {
        Self::ALL
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(level, _)| *level)
    }

    /// The name in the API and in the log.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(level, _)| *level == self)
            .map_or("NONE", |(_, name)| name)
    }

    /// Whether the new version must read the old one.
    pub fn backward(self) -> bool {
        !matches!(
            self,
            Level::None | Level::Forward | Level::ForwardTransitive
        )
    }

    /// Whether the old version must read the new one.
    pub fn forward(self) -> bool {
        !matches!(
            self,
            Level::None | Level::Backward | Level::BackwardTransitive
        )
    }

    /// Whether all earlier versions count, and not the last one alone.
    pub fn transitive(self) -> bool {
        matches!(
            self,
            Level::BackwardTransitive | Level::ForwardTransitive | Level::FullTransitive
        )
    }
}

/// What may be written under a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Mode {
    /// Everything.
    #[default]
    Readwrite,
    /// Nothing.
    Readonly,
    /// Nothing, whatever the subjects' own modes say; meaningful as the global mode.
    ReadonlyOverride,
    /// Schemas with the ids that they have elsewhere; compatibility is not checked.
    Import,
}

impl Mode {
    const ALL: [(Mode, &str); 4] = [
        (Mode::Readwrite, "READWRITE"),
        (Mode::Readonly, "READONLY"),
        (Mode::ReadonlyOverride, "READONLY_OVERRIDE"),
        (Mode::Import, "IMPORT"),
    ];

    /// The mode of this name; the case makes no difference.
    pub fn of(name: &str) -> Option<Mode> {
        Self::ALL
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name))
            .map(|(mode, _)| *mode)
    }

    /// The name in the API and in the log.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(mode, _)| *mode == self)
            .map_or("READWRITE", |(_, name)| name)
    }

    /// Whether nothing may be written.
    pub fn read_only(self) -> bool {
        matches!(self, Mode::Readonly | Mode::ReadonlyOverride)
    }
}
