//! What can go wrong with a repository.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::{Branch, CommitId, RepositoryUrl, Revision};

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
    /// A part of a push that no repository should get.
    #[error("{what} cannot be pushed: it {reason}")]
    BadPush {
        /// The part, with its text.
        what: String,
        /// Why.
        reason: &'static str,
    },
    /// Both sides of a merge changed the same.
    #[error(
        "{url}: commit {commit} does not merge with branch {base}: both changed {}; merge {base} into the branch, \
         solve the conflicts, push it and try again", listed(.files)
    )]
    Conflict {
        /// The repository.
        url: RepositoryUrl,
        /// What was merged into.
        base: Branch,
        /// What was to be merged.
        commit: CommitId,
        /// The files to look at; at most 100.
        files: Vec<String>,
    },
    /// A file is not as the caller saw it.
    #[error("{url}: {path} has changed on branch {base} since it was read: read it again and try again")]
    Outdated {
        /// The repository.
        url: RepositoryUrl,
        /// The branch.
        base: Branch,
        /// The file.
        path: String,
    },
    /// A file of the repository is not one that can be written.
    #[error("{url}: {path} cannot be written on branch {base}: it {reason}")]
    NotAFile {
        /// The repository.
        url: RepositoryUrl,
        /// The branch.
        base: Branch,
        /// The file.
        path: String,
        /// What it is.
        reason: &'static str,
    },
    /// The branch exists and was made by somebody else.
    #[error(
        "{url}: branch {branch} exists and is not this proposal's, or somebody has changed it: choose another name, or \
         delete the branch"
    )]
    ForeignBranch {
        /// The repository.
        url: RepositoryUrl,
        /// The branch.
        branch: Branch,
    },
    /// Something else is being pushed to the branch by this program.
    #[error("{url}: another push to branch {branch} is going on: wait for its end, and try again")]
    Busy {
        /// The repository.
        url: RepositoryUrl,
        /// The branch.
        branch: Branch,
    },
    /// Others pushed first, each time.
    #[error("{url}: others pushed to branch {branch} first, {attempts} times ({reason}): try again")]
    Contended {
        /// The repository.
        url: RepositoryUrl,
        /// The branch.
        branch: Branch,
        /// How often it was tried.
        attempts: u32,
        /// What the server says.
        reason: String,
    },
    /// The server does not take what was pushed.
    #[error(
        "{url} does not take the push to branch {branch} ({reason}): follow the rules of the repository, or let its \
         owner allow this account to push there"
    )]
    Rejected {
        /// The repository.
        url: RepositoryUrl,
        /// The branch.
        branch: Branch,
        /// What the server says.
        reason: String,
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
    /// The `git` program does not start, or is too old.
    #[error("{} cannot be used ({reason}): install git 2.41 or newer", .program.display())]
    NoProgram {
        /// What was started.
        program: PathBuf,
        /// What the operating system says, or what is missing.
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

    /// A repository was not asked, as its server did not answer others.
    pub fn silent(url: &RepositoryUrl) -> Self {
        Self::Unreachable {
            url: url.clone(),
            reason: "its server did not answer others who asked it".to_owned(),
        }
    }

    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Io { .. }
                | Self::Contended { .. }
                | Self::Busy { .. }
        )
    }

    pub(crate) fn bad_push(what: impl Into<String>, reason: &'static str) -> Self {
        Self::BadPush { what: what.into(), reason }
    }
}

/// How many files an error message names.
const MAX_LISTED: usize = 10;

fn listed(files: &[String]) -> String {
    let named = files[..files.len().min(MAX_LISTED)].join(", ");
    match files.len().saturating_sub(MAX_LISTED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn known_branches(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; branches are {}", known.join(", ")) }
}
