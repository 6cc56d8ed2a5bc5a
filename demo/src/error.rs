//! What can go wrong.

use std::path::{Path, PathBuf};

/// Why the demo could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be written or read.
    #[error("could not {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no `git`.
    #[error("the program git is needed and was not found; install it (Debian: apt-get install git)")]
    NoGit,
    /// `git` failed.
    #[error("`git {command}` failed: {message}")]
    Git {
        /// Its arguments.
        command: String,
        /// What it said.
        message: String,
    },
    /// A path that Git cannot be told.
    #[error("the path {} is not UTF-8; choose another data folder with --data-dir", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
}

/// A result of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}
