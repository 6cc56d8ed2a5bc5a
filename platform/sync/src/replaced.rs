//! A tree in which some files hold something else: what they hold themselves is never read.

use std::sync::Arc;

use seaway_api::stack::matches_pattern;
use seaway_source::{Entry, EntryKind, Error, FileTree, ListEntry, TreePath};

/// A tree with files that are replaced: pattern of the path, in which `*` is any text, and content.
#[derive(Debug)]
pub(crate) struct Replaced<'a> {
    pub(crate) tree: &'a dyn FileTree,
    pub(crate) files: &'a [(String, String)],
}

impl Replaced<'_> {
    /// The content of a file that is replaced, by the name that is asked for or where that leads.
    fn content(&self, path: &TreePath) -> Result<Option<&str>, Error> {
        let of = |path: &TreePath| {
            let found = self.files.iter().find(|(pattern, _)| matches_pattern(pattern, path.as_str()));
            found.map(|(_, content)| content.as_str())
        };
        if let Some(content) = of(path) {
            return Ok(Some(content));
        }
        Ok(self.tree.find(path)?.and_then(|entry| of(&entry.path)))
    }
}

impl FileTree for Replaced<'_> {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        match self.tree.find(path)? {
            Some(entry) => Ok(Some(entry)),
            // One that is not committed, as secrets often are not, is there in the copy.
            None if self.files.iter().any(|(pattern, _)| pattern == path.as_str()) => {
                Ok(Some(Entry { kind: EntryKind::File, path: path.clone() }))
            }
            None => Ok(None),
        }
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        match self.content(path)? {
            Some(content) => Ok(Arc::from(content.as_bytes())),
            None => self.tree.read(path),
        }
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        self.tree.list(path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Nobody may read `secret`.
    #[derive(Debug)]
    struct Guarded;

    impl FileTree for Guarded {
        fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
            let to = match path.as_str() {
                "link" => "a/secret",
                "a/secret" | "b" => path.as_str(),
                _ => return Ok(None),
            };
            Ok(Some(Entry { kind: EntryKind::File, path: TreePath::new(to)? }))
        }

        fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
            assert_eq!(path.as_str(), "b", "what is replaced is not read");
            Ok(Arc::from(&b"b"[..]))
        }

        fn list(&self, _: &TreePath) -> Result<Vec<ListEntry>, Error> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn what_is_replaced_is_never_read() {
        let files = [("a/*".to_owned(), "mock".to_owned()), ("absent".to_owned(), "new".to_owned())];
        let tree = Replaced { tree: &Guarded, files: &files };
        let read = |path: &str| tree.read(&TreePath::new(path).unwrap()).unwrap().to_vec();
        assert_eq!(
            (read("a/secret"), read("link"), read("b")),
            (b"mock".to_vec(), b"mock".to_vec(), b"b".to_vec())
        );
        let path = TreePath::new("absent").unwrap();
        assert!(tree.find(&path).unwrap().is_some());
        assert_eq!(read("absent"), b"new");
        assert_eq!(tree.digest(&path).unwrap(), seaway_source::Digest::of(b"new"));
    }
}
