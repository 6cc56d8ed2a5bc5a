//! What can go wrong with a repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{RepositoryUrl, Revision};

/// An error of a repository; every one says which, and what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a URL of a Git repository, or one that is never used.
    #[error("{url:?} is not a usable repository URL: it {reason}")]
    BadUrl {
        /// What was given, without a password.
        url: String,
        /// Why.
        reason: &'static str,
    },
    /// Not a revision.
    #[error("{revision:?} is not a revision: it {reason}; give a branch, a tag, a full commit id or HEAD")]
    BadRevision {
        /// What was given, shortened.
        revision: String,
        /// Why.
        reason: &'static str,
    },
    /// Credentials that cannot be used.
    #[error("the credentials for {prefix} cannot be used: {reason}")]
    BadCredentials {
        /// The URL prefix that they are for.
        prefix: String,
        /// Why.
        reason: &'static str,
    },
    /// The outgoing policy forbids the connection.
    #[error("{url}: {refusal}")]
    Refused {
        /// The repository.
        url: RepositoryUrl,
        /// What is forbidden and how to allow it.
        refusal: String,
    },
    /// No answer, or none that makes sense now: worth trying again later.
    #[error("{url} cannot be reached: {reason}; it is tried again")]
    Unreachable {
        /// The repository.
        url: RepositoryUrl,
        /// What the network or the server says.
        reason: String,
    },
    /// Credentials are missing, wrong or not enough.
    #[error(
        "{url} refuses access ({reason}): check the URL, and the Secret with the credentials for it and what they \
         are allowed to do"
    )]
    Unauthorized {
        /// The repository.
        url: RepositoryUrl,
        /// What the server says.
        reason: String,
    },
    /// The ssh server's host key is not among the known ones.
    #[error(
        "{url}: the server's host key is unknown or has changed: compare it with what the server's operator \
         publishes and put the line into known_hosts of the Secret"
    )]
    UnknownHostKey {
        /// The repository.
        url: RepositoryUrl,
    },
    /// The server's TLS certificate cannot be trusted.
    #[error("{url}: the certificate is not trusted ({reason}): add its CA to the Secret of this URL")]
    Certificate {
        /// The repository.
        url: RepositoryUrl,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no repository.
    #[error(
        "{url}: no such repository, or the credentials do not show it: check the URL and the Secret for it"
    )]
    RepositoryNotFound {
        /// The repository.
        url: RepositoryUrl,
    },
    /// The repository has no commit.
    #[error("{url} is empty: push a commit")]
    Empty {
        /// The repository.
        url: RepositoryUrl,
    },
    /// The repository has other revisions, not this one.
    #[error("{url} has no branch, tag or commit {revision}{}", known_branches(.known))]
    RevisionNotFound {
        /// The repository.
        url: RepositoryUrl,
        /// What was asked for.
        revision: Revision,
        /// Some branches that exist.
        known: Vec<String>,
    },
    /// The revision exists and is not a commit.
    #[error("{url}: {revision} is not a commit: name a branch, or a tag of a commit")]
    NotACommit {
        /// The repository.
        url: RepositoryUrl,
        /// What was asked for.
        revision: Revision,
    },
    /// Several commits begin like this.
    #[error("{url}: several commits begin with {revision}: give all 40 digits")]
    Ambiguous {
        /// The repository.
        url: RepositoryUrl,
        /// What was asked for.
        revision: Revision,
    },
    /// The commit was not fetched.
    #[error("{url}: commit {id} is not in the mirror: fetch it first")]
    CommitNotFetched {
        /// The repository.
        url: RepositoryUrl,
        /// The commit.
        id: String,
    },
    /// It took longer than allowed.
    #[error("{url}: no end after {} seconds: see whether the server answers, or raise the time limit", .limit.as_secs())]
    TimedOut {
        /// The repository.
        url: RepositoryUrl,
        /// What was allowed.
        limit: Duration,
    },
    /// The repository is larger than allowed.
    #[error(
        "{url} has more than {limit} bytes: remove large files from its history, or raise the size limit"
    )]
    TooLarge {
        /// The repository.
        url: RepositoryUrl,
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// The repository uses SHA-256 object ids.
    #[error("{url} uses SHA-256 object ids, which are not supported: use a repository with SHA-1 object ids")]
    ObjectFormat {
        /// The repository.
        url: RepositoryUrl,
    },
    /// The `git` program does not start.
    #[error("{} does not start ({reason}): install git 2.31 or newer", .program.display())]
    NoProgram {
        /// What was started.
        program: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// The mirror's files cannot be read.
    #[error("{url}: {source}")]
    Tree {
        /// The repository.
        url: RepositoryUrl,
        /// Why.
        source: seaway_source::Error,
    },
    /// The operating system refuses.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// `git` failed with a message of its own.
    #[error("{url}: {reason}")]
    Failed {
        /// The repository.
        url: RepositoryUrl,
        /// The last lines of what it says.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Io { .. })
    }
}

fn known_branches(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; branches are {}", known.join(", ")) }
}
