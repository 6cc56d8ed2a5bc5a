//! Mirrors of Git repositories, and pushes from them.
//!
//! What it does: keeps one bare mirror per repository URL ([`Mirrors`]), brings a branch, tag or commit into it with
//! the `git` program ([`Mirrors::fetch`]), asks cheaply whether something changed ([`Mirrors::ls_remote`]), hands out
//! the files of a commit ([`Mirrors::tree`]) and what lies between two commits ([`Mirrors::commits_between`]).
//! [`Mirrors::push`] makes one commit on top of a branch, a merge or changed files, and pushes it. [`Webhook`] is what a
//! forge tells of a push, believed when it is signed.
//! Every connection goes through one [`Dialer`], which resolves a name, checks the addresses against the
//! [`OutgoingPolicy`] and connects to a checked one; redirects are connections like any other.
//!
//! What it never does: ask a person, read the configuration of a user or of the machine, run hooks of its own, follow
//! submodules, check files out, sign commits, force a push over what it has not seen, or put a secret on a command
//! line. A push to a repository on the local disk does run that repository's hooks on this machine, as its owner set
//! them up: another reason why the policy forbids such repositories unless told otherwise.
//!
//! Start reading at [`Mirrors::fetch`], then [`Mirrors::push`].

mod branch;
mod composing;
mod credentials;
mod dialer;
mod error;
mod files;
mod folder;
mod history;
mod inflight;
mod merging;
mod message;
mod mirrors;
mod policy;
mod prefix;
mod program;
mod proxy;
mod push;
mod pushing;
mod remote;
mod revision;
mod session;
mod slots;
mod url;
mod webhook;

pub use branch::Branch;
pub use credentials::{Authentication, CredentialSet, Credentials, Secret};
pub use dialer::{DialError, Dialer};
pub use error::Error;
pub use history::{Commit, CommitRange, Person};
pub use message::{Message, Trailer};
pub use mirrors::{Mirrors, Options};
pub use policy::{OutgoingPolicy, Refusal};
pub use push::{Authorship, Merge, Push, Pushed};
pub use remote::RemoteRef;
pub use revision::{CommitId, Revision};
pub use url::{RepositoryUrl, Transport};
pub use webhook::{MAX_WEBHOOK, UnsignedWebhook, VerifiedUrls, Webhook, WebhookError, WebhookSecrets};
