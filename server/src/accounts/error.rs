//! What can go wrong with the accounts' file.

use std::path::PathBuf;

/// An error of the accounts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite's own error.
    #[error("{}: {source}", .file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// The operating system refuses.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file was written by a newer release.
    #[error(
        "{} has format {found}, this release knows up to {known}: start the newer release again, or restore a backup \
         of this one",
        .file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is a database of another program: move it away, or choose another data folder", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file is damaged. It is left as it is.
    #[error(
        "{} is damaged ({reason}); nothing was changed in it: restore a backup, or move it away to make accounts anew",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The server has ended.
    #[error("the accounts are closed: the server is stopping")]
    Closed,
}
