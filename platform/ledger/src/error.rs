//! What can go wrong with a ledger.

use std::path::PathBuf;
use std::sync::Arc;

/// An error of a ledger.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite's own error.
    #[error("{}: {source}", .file.display())]
    Sqlite {
        /// The ledger.
        file: PathBuf,
        /// What SQLite says.
        source: Arc<sqlx::Error>,
    },
    /// The operating system refuses.
    #[error("{}: {source}", .file.display())]
    Io {
        /// The ledger.
        file: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// The file was written by a newer release.
    #[error(
        "{} has format {found}, this release knows up to {known}: start the newer release again, or restore a \
         backup of this one",
        .file.display()
    )]
    Newer {
        /// The ledger.
        file: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// The file is an SQLite database of another program.
    #[error("{} is a database of another program: choose another file", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The file is damaged. It is left as it is.
    #[error("{} is damaged ({reason}); nothing was changed in it: restore a backup", .file.display())]
    Damaged {
        /// The ledger.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A value is larger than any that makes sense.
    #[error("{field} has {size} bytes or items, {limit} are allowed: shorten it")]
    TooLarge {
        /// Which.
        field: &'static str,
        /// How large it is.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A value that must not be empty is.
    #[error("{field} is empty")]
    Empty {
        /// Which.
        field: &'static str,
    },
    /// There is no such sync, or it has ended before.
    #[error("sync {id} does not exist or has ended already: begin another one")]
    NoOpenSync {
        /// Its id.
        id: i64,
    },
    /// The ledger was closed.
    #[error("the ledger is closed: it is shutting down")]
    Closed,
}
