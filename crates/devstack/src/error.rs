//! What can go wrong with the dev stack, and what to do about it.

use std::path::PathBuf;

/// Why the dev stack did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum DevStackError {
    /// Programs that have to be installed first.
    #[error("{0}")]
    Missing(String),
    /// Another dev stack has the folder.
    #[error(
        "another dev stack{} is running on {}; stop it first, or choose another folder",
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default(), folder.display()
    )]
    Locked {
        /// The folder of both.
        folder: PathBuf,
        /// Process id of the one that has it, where it is known.
        holder: Option<u32>,
    },
    /// A file or folder cannot be read or written.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried, as the beginning of a sentence.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program cannot be run at all.
    #[error("cannot run {program}: {source}; check that it is installed and executable")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A download failed.
    #[error(
        "cannot get {what} with {tool}: {output}\nCheck the network and, behind a mirror or proxy, {tool}'s own settings ({settings}); then start again"
    )]
    Fetch {
        /// What was to be fetched.
        what: String,
        /// `mvn` or `npm`.
        tool: &'static str,
        /// Where that tool is configured.
        settings: &'static str,
        /// The beginning of its complaints.
        output: String,
    },
    /// There is no folder to keep downloads in.
    #[error(
        "neither MILLSTREAM_CACHE nor XDG_CACHE_HOME nor HOME is set; set MILLSTREAM_CACHE to a folder for downloads"
    )]
    NoCache,
    /// The npm package has no binary for this machine.
    #[error("Restate {version} has no server for this kind of machine in {}; supported are Linux and macOS on x86-64 and arm64", folder.display())]
    NoBinary {
        /// Restate's version.
        version: &'static str,
        /// Where the binary should be.
        folder: PathBuf,
    },
    /// There is no Postgres for this machine.
    #[error(
        "there is no Postgres to fetch for this kind of machine ({machine}); install Postgres so that `pg_config` is found, or set MILLSTREAM_POSTGRES_BIN to the folder of its `initdb`"
    )]
    NoPostgres {
        /// Its system and processor.
        machine: String,
    },
    /// Too many ports are taken.
    #[error("no free port found for {0} on 127.0.0.1; stop what listens there and start again")]
    NoPort(&'static str),
    /// A part's data directory cannot be made.
    #[error("{part}'s data directory could not be made: {said}")]
    Format {
        /// Kafka or Postgres.
        part: &'static str,
        /// What its program printed.
        said: String,
    },
    /// A part ended while it was awaited.
    #[error("{part} ended while it was starting ({status}). The end of {}:\n{tail}", log.display())]
    Ended {
        /// Its name.
        part: &'static str,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A part runs and does not answer.
    #[error("{part} does not answer after {seconds} s. The end of {}:\n{tail}", log.display())]
    NotReady {
        /// Its name.
        part: &'static str,
        /// How long it was awaited.
        seconds: u64,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// An own background task was cancelled.
    #[error("a background task of the dev stack was cancelled: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A key of the stack cannot be used.
    #[error(transparent)]
    Key(#[from] millstream_pipeline::identity::KeyError),
    /// A client could not be made.
    #[error("cannot make a client to ask {part} whether it is up: {reason}")]
    Client {
        /// The part.
        part: &'static str,
        /// What the client library said.
        reason: String,
    },
}

impl DevStackError {
    /// Turns an I/O error into one that names the file.
    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }
}
