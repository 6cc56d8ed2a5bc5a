//! What can go wrong with a tree.

use std::sync::Arc;

use crate::TreePath;

/// An error of a tree; every one names the path that was asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing lies there.
    #[error("{path}: no such file or directory")]
    NotFound {
        /// The path asked for.
        path: TreePath,
    },
    /// A directory, a pipe or a device where a file is needed.
    #[error("{path}: is a directory, a pipe or a device, not a file")]
    NotAFile {
        /// The path asked for.
        path: TreePath,
    },
    /// A file where a directory is needed.
    #[error("{path}: is not a directory")]
    NotADirectory {
        /// The path asked for.
        path: TreePath,
    },
    /// A path or a symbolic link that leads out of the tree.
    #[error("{path}: leads out of the tree: {target}")]
    Escape {
        /// The path asked for.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A path that no tree can have.
    #[error("{path:?}: {reason}")]
    BadPath {
        /// The path asked for.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// Symbolic links in a circle, or too many of them.
    #[error("{path}: too many symbolic links, or a circle of them")]
    LinkLoop {
        /// The path asked for.
        path: TreePath,
    },
    /// A file larger than the limit.
    #[error("{path}: {size} bytes are more than the limit of {limit}: split the file")]
    TooLarge {
        /// The path asked for.
        path: TreePath,
        /// The file's size in bytes.
        size: u64,
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// The path leads into a submodule of a Git commit.
    #[error(
        "{path}: leads into a submodule, which is not followed: name its repository as a remote base instead"
    )]
    Submodule {
        /// The path asked for.
        path: TreePath,
    },
    /// The file of a Git commit is a Git LFS pointer, not the content.
    #[error("{path}: is a Git LFS pointer, which is not followed: keep the file itself in Git")]
    LfsPointer {
        /// The path asked for.
        path: TreePath,
    },
    /// An object of a Git repository is missing, damaged or of another kind than is needed.
    #[error("{path}: Git object {id} {reason}")]
    Git {
        /// The path asked for.
        path: TreePath,
        /// The object's id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refuses.
    #[error("{path}: {source}")]
    Io {
        /// The path asked for.
        path: TreePath,
        /// Why.
        source: Arc<std::io::Error>,
    },
}

impl Error {
    pub(crate) fn io(path: &TreePath, source: std::io::Error) -> Self {
        Self::Io { path: path.clone(), source: Arc::new(source) }
    }
}
