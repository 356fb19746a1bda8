//! The rules that make the lane exactly once, each named where it holds. A program keeps all of them;
//! the tests leave one out at a time, and the model has to find what comes of it.

/// A rule of the driver. The last four find an event that ends its process, and blame no other. That all
/// of a batch and the position behind it are one transaction, that producers share an id, and that only
/// what is committed is read, are rules of [`super::log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// After a transaction that did not end in a known commit a new producer is made, which shuts out
    /// the old one and settles what it left open.
    Fence,
    /// States and position are read after that, and not before.
    Settled,
    /// Producer and memory are used again only after a known commit.
    KnownCommit,
    /// Memory takes what was decided over after the commit.
    Overlay,
    /// What is decided while a batch is kept is decided on that one's states.
    OnTop,
    /// One attempt at a time uses what a process has of a shard, so that the next one need not load it
    /// beside the last. It is [`Self::Newest`] that makes this safe, or the lock where that is left out.
    Lock,
    /// An attempt that another one of its process has taken the place of begins nothing more, and
    /// commits nothing.
    Newest,
    /// After attempts that did not end it is noted who is about to decide what, before it is decided.
    Noted,
    /// Where a process that is gone has left a note, each event has one of its own.
    Singly,
    /// A process that finds its own note, or that fails and lives, strikes it out.
    Alive,
    /// One shard of a process at a time has noted something that is not decided.
    Turn,
}

/// Which rules are kept.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    #[cfg(test)]
    left_out: &'static [Rule],
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        #[cfg(test)]
        left_out: &[],
    };

    /// All but these.
    #[cfg(test)]
    pub fn without(left_out: &'static [Rule]) -> Self {
        Self { left_out }
    }

    /// Whether this one is kept.
    #[cfg(test)]
    pub fn keep(self, rule: Rule) -> bool {
        !self.left_out.contains(&rule)
    }

    /// Whether this one is kept: all are.
    #[cfg(not(test))]
    pub fn keep(self, _: Rule) -> bool {
        true
    }
}
