//! A directory on disk as a tree.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Entry, EntryKind, Error, FileTree, ListEntry, TreePath};

/// As many symbolic links as Linux follows in one path.
const MAX_LINKS: usize = 40;

/// A directory on disk. Everything is read when it is asked for; nothing is kept.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
    max_file: u64,
}

impl Directory {
    /// The largest file that is read unless [`Directory::with_max_file`] says otherwise.
    pub const MAX_FILE: u64 = 32 << 20;

    /// The tree below `root`, which must be a directory.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let at = TreePath::root();
        let root = root.canonicalize().map_err(|error| Error::io(&at, error))?;
        if !root.is_dir() {
            return Err(Error::NotADirectory { path: at });
        }
        Ok(Self { root, max_file: Self::MAX_FILE })
    }

    /// Read files up to this many bytes.
    pub fn with_max_file(mut self, bytes: u64) -> Self {
        self.max_file = bytes;
        self
    }

    /// The path in this tree of a path on disk; [`Error::Escape`] when it lies outside.
    pub fn path_of(&self, path: &Path) -> Result<TreePath, Error> {
        let escape = || Error::Escape {
            path: path.display().to_string(),
            target: "outside the root of the tree".to_owned(),
        };
        let real = path
            .canonicalize()
            .map_err(|error| Error::Escape { path: path.display().to_string(), target: error.to_string() })?;
        let relative = real.strip_prefix(&self.root).map_err(|_| escape())?;
        TreePath::new(relative.to_str().ok_or_else(escape)?)
    }

    fn on_disk(&self, path: &TreePath) -> PathBuf {
        if path.is_root() { self.root.clone() } else { self.root.join(path.as_str()) }
    }

    /// Walk `path` part by part, resolving links within the tree only.
    fn walk(&self, asked: &TreePath, known: &Known) -> Result<Option<Found>, Error> {
        let (mut done, rest) = known.longest(asked);
        let mut kind = EntryKind::Directory;
        let mut special = false;
        let mut todo: Vec<String> =
            rest.rsplit('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if kind == EntryKind::File {
                return Ok(None);
            }
            if part == ".." {
                done = done.parent().ok_or_else(|| Error::Escape {
                    path: asked.to_string(),
                    target: "above the root of the tree".to_owned(),
                })?;
                continue;
            }
            let here = done.join(&part)?;
            let disk = self.on_disk(&here);
            let metadata = match disk.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::NotFound
                            | std::io::ErrorKind::NotADirectory
                            | std::io::ErrorKind::InvalidFilename
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(Error::io(asked, error)),
            };
            if metadata.is_symlink() {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Error::LinkLoop { path: asked.clone() });
                }
                let target = disk.read_link().map_err(|error| Error::io(asked, error))?;
                let escape =
                    || Error::Escape { path: asked.to_string(), target: target.display().to_string() };
                let relative = if target.is_absolute() {
                    done = TreePath::root();
                    target.strip_prefix(&self.root).map_err(|_| escape())?
                } else {
                    &target
                };
                for component in relative.components().rev() {
                    match component {
                        Component::Normal(name) => todo.push(name.to_str().ok_or_else(escape)?.to_owned()),
                        Component::ParentDir => todo.push("..".to_owned()),
                        Component::CurDir => {}
                        Component::RootDir | Component::Prefix(_) => return Err(escape()),
                    }
                }
                continue;
            }
            kind = if metadata.is_dir() { EntryKind::Directory } else { EntryKind::File };
            special = !metadata.is_dir() && !metadata.is_file();
            if kind == EntryKind::Directory {
                known.insert(&here);
            }
            done = here;
        }
        Ok(Some(Found { entry: Entry { kind, path: done }, special }))
    }

    fn existing(&self, path: &TreePath, known: &Known) -> Result<Found, Error> {
        self.walk(path, known)?.ok_or_else(|| Error::NotFound { path: path.clone() })
    }

    fn read_knowing(&self, path: &TreePath, known: &Known) -> Result<Arc<[u8]>, Error> {
        let Found { entry, special } = self.existing(path, known)?;
        // A pipe could be opened for ever, a device be read for ever.
        if entry.kind == EntryKind::Directory || special {
            return Err(Error::NotAFile { path: path.clone() });
        }
        let io = |error| Error::io(path, error);
        let file = std::fs::File::open(self.on_disk(&entry.path)).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.clone() });
        }
        let too_large = |size| Error::TooLarge { path: path.clone(), size, limit: self.max_file };
        if metadata.len() > self.max_file {
            return Err(too_large(metadata.len()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
        file.take(self.max_file + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > self.max_file {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes.into())
    }

    fn list_knowing(&self, path: &TreePath, known: &Known) -> Result<Vec<ListEntry>, Error> {
        let Found { entry, .. } = self.existing(path, known)?;
        if entry.kind == EntryKind::File {
            return Err(Error::NotADirectory { path: path.clone() });
        }
        let io = |error| Error::io(path, error);
        let mut list = Vec::new();
        for item in std::fs::read_dir(self.on_disk(&entry.path)).map_err(io)? {
            let item = item.map_err(io)?;
            let file_type = item.file_type().map_err(io)?;
            // Names that are not text cannot be asked for.
            let Ok(name) = item.file_name().into_string() else { continue };
            let kind = if file_type.is_symlink() {
                match self.walk(&entry.path.join(&name)?, known) {
                    Ok(Some(target)) => target.entry.kind,
                    Ok(None) | Err(Error::Escape { .. } | Error::LinkLoop { .. }) => continue,
                    Err(error) => return Err(error),
                }
            } else if file_type.is_dir() {
                EntryKind::Directory
            } else {
                EntryKind::File
            };
            list.push(ListEntry { name, kind });
        }
        list.sort();
        Ok(list)
    }
}

impl FileTree for Directory {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        Ok(self.walk(path, &Known::Nothing)?.map(|found| found.entry))
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        self.read_knowing(path, &Known::Nothing)
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        self.list_knowing(path, &Known::Nothing)
    }

    fn view(&self) -> Option<Box<dyn FileTree + '_>> {
        Some(Box::new(View { directory: self, known: Known::Directories(Mutex::default()) }))
    }
}

/// What a path leads to.
struct Found {
    entry: Entry,
    /// A pipe, a socket or a device.
    special: bool,
}

/// Paths that are directories and lead through no links, so that they need not be walked again.
#[derive(Debug)]
enum Known {
    Nothing,
    Directories(Mutex<HashSet<Box<str>>>),
}

impl Known {
    /// The longest directory on the way to a path that is known, and what is left of the path.
    fn longest<'p>(&self, path: &'p TreePath) -> (TreePath, &'p str) {
        let text = path.as_str();
        if let Self::Directories(known) = self {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let mut end = text.len();
            while end > 0 {
                if known.contains(&text[..end]) {
                    return (path.start(end), &text[end..]);
                }
                end = text[..end].rfind('/').unwrap_or_default();
            }
        }
        (TreePath::root(), text)
    }

    fn insert(&self, directory: &TreePath) {
        if let Self::Directories(known) = self {
            known.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.as_str().into());
        }
    }
}

/// A directory as long as nobody changes it.
#[derive(Debug)]
struct View<'a> {
    directory: &'a Directory,
    known: Known,
}

impl FileTree for View<'_> {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        Ok(self.directory.walk(path, &self.known)?.map(|found| found.entry))
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        self.directory.read_knowing(path, &self.known)
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        self.directory.list_knowing(path, &self.known)
    }
}
