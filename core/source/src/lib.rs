//! Read-only file trees.
//!
//! What it does: gives whoever renders one way to look at files, wherever they lie: a Git commit ([`CommitTree`]), a
//! directory ([`Directory`]) or memory ([`Memory`]). [`Recording`] notes everything that was asked, so that a result
//! can be kept as long as the same questions have the same answers ([`Inputs`]).
//!
//! What it never does: write, use the network, start a process, or leave its root. Symbolic links are followed only
//! inside the tree; a path that climbs out of the root is refused before it is looked at.
//!
//! Start reading at [`FileTree`].

mod changes;
mod commit;
mod directory;
mod error;
mod memory;
mod path;
mod recording;

pub use changes::Changes;
pub use commit::{CommitTree, ObjectDatabase};
pub use directory::Directory;
pub use error::Error;
pub use memory::Memory;
pub use path::TreePath;
pub use recording::{Answer, Inputs, Recording};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// Something that exists in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is, links followed.
    pub kind: EntryKind,
    /// Where it really lies: the path with every symbolic link resolved.
    pub path: TreePath,
}

/// One line of a directory listing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListEntry {
    /// The name within the directory.
    pub name: String,
    /// What it is, links followed. Links that lead nowhere or out of the tree are not listed.
    pub kind: EntryKind,
}

/// SHA-256 of a file's content; `sha256:` and hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        match text.strip_prefix("sha256:").map(|digits| hex::decode_to_slice(digits, &mut bytes)) {
            Some(Ok(())) => Ok(Self(bytes)),
            _ => Err(Error::BadPath { path: text, reason: "is no SHA-256 digest" }),
        }
    }
}

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A read-only tree of files. Equal questions to one value have equal answers unless somebody changes the tree
/// underneath (a directory on disk).
pub trait FileTree: fmt::Debug + Send + Sync {
    /// What lies at `path`, links followed; `None` when nothing does.
    ///
    /// A link out of the tree is [`Error::Escape`], a circle of links [`Error::LinkLoop`].
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error>;

    /// The content of the file at `path`, links followed.
    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error>;

    /// What the directory at `path` contains, sorted by name.
    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error>;

    /// The digest of the content of the file at `path`.
    fn digest(&self, path: &TreePath) -> Result<Digest, Error> {
        Ok(Digest::of(&self.read(path)?))
    }

    /// The same tree, for a while during which nobody changes it: it may remember what it has seen. `None` when there
    /// is nothing to gain.
    fn view(&self) -> Option<Box<dyn FileTree + '_>> {
        None
    }

    /// A name of the whole content, when the tree has one without reading everything: trees with equal names answer
    /// alike, always. `None` for a tree that may change.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Whether a link may be at `path`: what is found there may then change elsewhere.
    fn may_be_link(&self, _path: &TreePath) -> bool {
        true
    }

    /// Where this tree differs from the one with an [identity](FileTree::identity); `None` when that cannot be told
    /// faster than by asking both.
    fn changes_since(&self, _identity: &str) -> Option<Changes> {
        None
    }
}
