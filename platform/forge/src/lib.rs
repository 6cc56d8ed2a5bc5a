//! Merge requests on forges: GitHub first.
//!
//! What it does: opens a request to merge one branch into another ([`GitHub::propose`]), or brings the one that is open to
//! today's title and text. Every connection goes through the one [`seaway_git::Dialer`], with the policy of Git's.
//!
//! What it never does: follow a redirect (a token would go along), push, merge, or print a token.
//!
//! Start reading at [`GitHub`]; `exchange.rs` is one request over one connection.

mod exchange;
mod github;

pub use github::{GitHub, MergeRequest, Opened};

/// Why a forge did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL of its API is none.
    #[error("{url:?} is not the URL of a forge's API: give scheme and host, as in https://api.github.com")]
    Url {
        /// What was given.
        url: String,
    },
    /// The repository's URL does not name one on a forge.
    #[error("{url} does not end with OWNER/REPOSITORY")]
    Repository {
        /// The repository's URL.
        url: String,
    },
    /// It cannot be reached, or may not be.
    #[error("{host} cannot be asked: {reason}")]
    Unreachable {
        /// Its host.
        host: String,
        /// Why.
        reason: String,
    },
    /// It refused.
    #[error("{host} answered {status}: {message}{}", advice(*status))]
    Refused {
        /// Its host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It answered what its documentation does not say.
    #[error("{host} answered what is not understood: {reason}")]
    Unexpected {
        /// Its host.
        host: String,
        /// What.
        reason: String,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => "; the token is not accepted (any more): put a new one into the Secret",
        403 => "; the token may not do that, or has asked too often",
        404 => "; it does not show the repository to this token",
        301 | 302 | 307 | 308 => "; the repository has moved: change its URL in the Stack",
        _ => "",
    }
}
