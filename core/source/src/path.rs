//! Paths within a tree.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A path within a tree: `/`-separated, relative to the tree's root, without `.`, `..` and empty parts. The root
/// itself is the empty path. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TreePath(Arc<str>);

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.as_str().to_owned()
    }
}

impl TryFrom<String> for TreePath {
    type Error = Error;

    fn try_from(path: String) -> Result<Self, Error> {
        Self::new(&path)
    }
}

/// Longer paths are refused: no file system has them.
const MAX_LENGTH: usize = 4096;

impl TreePath {
    /// The tree's root.
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// A path below the root. `.` and `..` are resolved by their text; climbing out of the root is
    /// [`Error::Escape`]. A leading `/` means the root.
    pub fn new(path: &str) -> Result<Self, Error> {
        Self::root().join(path.trim_start_matches('/'))
    }

    /// `relative`, as seen from this directory. An absolute path is [`Error::BadPath`].
    pub fn join(&self, relative: &str) -> Result<Self, Error> {
        if relative.len() + self.0.len() > MAX_LENGTH {
            let path: String = relative.chars().take(64).chain("…".chars()).collect();
            return Err(Error::BadPath { path, reason: "is too long" });
        }
        if relative.contains('\0') {
            return Err(Error::BadPath { path: relative.to_owned(), reason: "contains a NUL character" });
        }
        if relative.starts_with('/') {
            return Err(Error::BadPath {
                path: relative.to_owned(),
                reason: "is absolute: write it relative to the file that names it",
            });
        }
        if relative.split('/').all(|part| !matches!(part, "" | "." | "..")) {
            return Ok(Self(if self.is_root() {
                relative.into()
            } else {
                format!("{self}/{relative}").into()
            }));
        }
        let mut parts: Vec<&str> = self.parts().collect();
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    if parts.pop().is_none() {
                        return Err(Error::Escape {
                            path: if self.is_root() {
                                relative.to_owned()
                            } else {
                                format!("{self}/{relative}")
                            },
                            target: "above the root of the tree".to_owned(),
                        });
                    }
                }
                part => parts.push(part),
            }
        }
        Ok(Self(parts.join("/").into()))
    }

    /// The directory on the way to this path whose text ends at `end`, before a `/`.
    pub(crate) fn start(&self, end: usize) -> Self {
        if end == self.0.len() { self.clone() } else { Self(self.0[..end].into()) }
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts from the root on.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The last part; `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.parts().next_back()
    }

    /// The directory that contains this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            Some((parent, _)) => Some(Self(parent.into())),
            None if self.is_root() => None,
            None => Some(Self::root()),
        }
    }

    /// Whether this path is `directory` or lies below it.
    pub fn is_in(&self, directory: &TreePath) -> bool {
        directory.is_root()
            || self.0.strip_prefix(&*directory.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The way from `directory` to this path, with `..` where needed; `.` when they are the same.
    pub fn relative_to(&self, directory: &TreePath) -> String {
        let (mine, theirs): (Vec<&str>, Vec<&str>) = (self.parts().collect(), directory.parts().collect());
        let common = mine.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
        let mut way = vec![".."; theirs.len() - common];
        way.extend(&mine[common..]);
        if way.is_empty() { ".".to_owned() } else { way.join("/") }
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}
