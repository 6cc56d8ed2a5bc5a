//! A tree that lies in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Entry, EntryKind, Error, FileTree, ListEntry, TreePath};

/// A tree that lies in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<TreePath, Arc<[u8]>>,
    directories: BTreeSet<TreePath>,
}

impl Memory {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Put a file at `path` (see [`TreePath::new`]) and make the directories above it.
    pub fn insert(&mut self, path: &str, content: impl Into<Vec<u8>>) -> Result<(), Error> {
        let path = TreePath::new(path)?;
        let mut above = path.parent();
        while let Some(directory) = above {
            if self.files.contains_key(&directory) {
                return Err(Error::NotADirectory { path: directory });
            }
            above = directory.parent();
            self.directories.insert(directory);
        }
        if path.is_root() || self.directories.contains(&path) {
            return Err(Error::NotAFile { path });
        }
        self.files.insert(path, content.into().into());
        Ok(())
    }

    /// A tree of these files.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut tree = Self::new();
        for (path, content) in files {
            tree.insert(path, content)?;
        }
        Ok(tree)
    }

    fn kind(&self, path: &TreePath) -> Option<EntryKind> {
        if self.files.contains_key(path) {
            Some(EntryKind::File)
        } else if path.is_root() || self.directories.contains(path) {
            Some(EntryKind::Directory)
        } else {
            None
        }
    }
}

impl FileTree for Memory {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        Ok(self.kind(path).map(|kind| Entry { kind, path: path.clone() }))
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        match (self.files.get(path), self.kind(path)) {
            (Some(content), _) => Ok(Arc::clone(content)),
            (None, Some(_)) => Err(Error::NotAFile { path: path.clone() }),
            (None, None) => Err(Error::NotFound { path: path.clone() }),
        }
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        match self.kind(path) {
            None => return Err(Error::NotFound { path: path.clone() }),
            Some(EntryKind::File) => return Err(Error::NotADirectory { path: path.clone() }),
            Some(EntryKind::Directory) => {}
        }
        let files = self.files.keys().map(|file| (file, EntryKind::File));
        let directories = self.directories.iter().map(|directory| (directory, EntryKind::Directory));
        let mut list: Vec<ListEntry> = files
            .chain(directories)
            .filter(|(entry, _)| entry.parent().as_ref() == Some(path))
            .filter_map(|(entry, kind)| Some(ListEntry { name: entry.file_name()?.to_owned(), kind }))
            .collect();
        list.sort();
        Ok(list)
    }
}
