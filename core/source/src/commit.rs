//! A Git commit as a tree, read from the object database without a checkout.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix_hash::ObjectId;
use gix_object::bstr::ByteSlice as _;
use gix_object::tree::EntryKind as Mode;
use gix_object::{CommitRefIter, Find as _, Kind, TagRefIter, TreeRefIter};
use gix_odb::store::init::{Options, Slots};
use gix_odb::{HandleArc, Header as _, Store};

use crate::{Changes, Digest, Entry, EntryKind, Error, FileTree, ListEntry, TreePath};

/// As many symbolic links as Linux follows in one path.
const MAX_LINKS: usize = 40;
/// A directory listing or a commit larger than this is refused, in bytes.
const MAX_STRUCTURE: u64 = 64 << 20;
/// A symbolic link's target longer than this is refused, as Linux does, in bytes.
const MAX_TARGET: u64 = 4096;
/// Two commits that differ in more places than this are compared by asking.
const MAX_CHANGES: usize = 10_000;
/// So are two commits whose comparison has to look at more entries than this: a directory that is in many places is
/// looked at in each.
const MAX_COMPARED: usize = 250_000;
/// A tag of a tag of a tag … ends here.
const MAX_TAGS: usize = 8;
/// Pack files that appear while the database is open need a slot each; reserved at the start.
const MIN_SLOTS: usize = 1024;
/// What one object may take in memory while it is decoded, in bytes.
const MAX_ALLOCATION: usize = 512 << 20;
/// How many directory entries and how many digests are remembered, each.
const REMEMBERED: usize = 200_000;
/// A Git LFS pointer is always shorter than this (Git LFS specification), in bytes.
const LFS_MAX: usize = 1024;
/// How a Git LFS pointer begins.
const LFS_START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The objects of one Git repository. Cheap to clone; clones share what they remember. Objects that are fetched
/// after opening are found as well.
#[derive(Clone)]
pub struct ObjectDatabase(Arc<Shared>);

struct Shared {
    folder: PathBuf,
    store: Arc<Store>,
    /// Each holds buffers of its own; made when all others are in use.
    handles: Mutex<Vec<HandleArc>>,
    directories: Mutex<Remembered<ObjectId, Arc<[Item]>>>,
    digests: Mutex<Remembered<ObjectId, Digest>>,
}

/// One entry of a Git tree object.
struct Item {
    name: Box<str>,
    node: Node,
}

#[derive(Clone, Copy)]
struct Node {
    mode: Mode,
    id: ObjectId,
}

impl ObjectDatabase {
    /// The objects of the repository at `folder`: a bare repository, or a working copy with its `.git` folder.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let at = TreePath::root();
        let bare = folder.join("objects");
        let objects = if bare.is_dir() { bare } else { folder.join(".git/objects") };
        let options = Options {
            slots: Slots::AsNeededByDiskState { multiplier: 2.0, minimum: MIN_SLOTS },
            alloc_limit_bytes: Some(MAX_ALLOCATION),
            ..Options::default()
        };
        let store = Store::at_opts(objects, gix_hash::Kind::Sha1, &mut std::iter::empty(), options)
            .map_err(|error| Error::io(&at, error))?;
        Ok(Self(Arc::new(Shared {
            folder: folder.to_owned(),
            store: Arc::new(store),
            handles: Mutex::default(),
            directories: Mutex::default(),
            digests: Mutex::default(),
        })))
    }

    /// The tree of a commit, named by its full hexadecimal id. An annotated tag's id means the commit it names.
    pub fn commit(&self, id: &str) -> Result<CommitTree, Error> {
        let at = TreePath::root();
        let damaged =
            |reason: &str| Error::Git { path: at.clone(), id: id.to_owned(), reason: reason.to_owned() };
        let mut object = ObjectId::from_hex(id.as_bytes())
            .map_err(|_| damaged("is not a full commit id of 40 hexadecimal digits"))?;
        for _ in 0..MAX_TAGS {
            let (kind, data) = self.object(&at, object, MAX_STRUCTURE)?;
            match kind {
                Kind::Commit => {
                    let root = CommitRefIter::from_bytes(&data, gix_hash::Kind::Sha1)
                        .tree_id()
                        .map_err(|error| damaged(&format!("is a damaged commit: {error}")))?;
                    return Ok(CommitTree {
                        objects: self.clone(),
                        id: object,
                        root: Node { mode: Mode::Tree, id: root },
                        max_file: crate::Directory::MAX_FILE,
                    });
                }
                Kind::Tag => {
                    object = TagRefIter::from_bytes(&data, gix_hash::Kind::Sha1)
                        .target_id()
                        .map_err(|error| damaged(&format!("is a damaged tag: {error}")))?;
                }
                Kind::Tree | Kind::Blob => return Err(damaged("is not a commit")),
            }
        }
        Err(damaged("is a tag of a tag too often"))
    }

    /// The decoded object, which must not be larger than `limit` bytes.
    fn object(&self, path: &TreePath, id: ObjectId, limit: u64) -> Result<(Kind, Vec<u8>), Error> {
        let pooled = lock(&self.0.handles).pop();
        let handle = pooled.unwrap_or_else(|| self.0.store.to_cache_arc());
        let result = read_object(&handle, path, id, limit);
        lock(&self.0.handles).push(handle);
        result
    }

    fn directory(&self, path: &TreePath, id: ObjectId) -> Result<Arc<[Item]>, Error> {
        if let Some(items) = lock(&self.0.directories).get(&id) {
            return Ok(items);
        }
        let damaged = |reason: String| Error::Git { path: path.clone(), id: id.to_string(), reason };
        let (kind, data) = self.object(path, id, MAX_STRUCTURE)?;
        if kind != Kind::Tree {
            return Err(damaged("is not a directory although the repository says so".to_owned()));
        }
        let mut items = Vec::new();
        for entry in TreeRefIter::from_bytes(&data, gix_hash::Kind::Sha1) {
            let entry = entry.map_err(|error| damaged(format!("is a damaged directory: {error}")))?;
            // Names that are not text cannot be asked for. The others Git itself never writes.
            let Ok(name) = entry.filename.to_str() else { continue };
            if matches!(name, "" | "." | "..") || name.contains('/') {
                continue;
            }
            items.push(Item {
                name: name.into(),
                node: Node { mode: entry.mode.kind(), id: entry.oid.to_owned() },
            });
        }
        items.sort_by(|a, b| a.name.cmp(&b.name));
        items.dedup_by(|a, b| a.name == b.name);
        let items: Arc<[Item]> = items.into();
        lock(&self.0.directories).insert(id, Arc::clone(&items), items.len() + 1);
        Ok(items)
    }
}

impl fmt::Debug for ObjectDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ObjectDatabase").field(&self.0.folder).finish()
    }
}

fn read_object(
    handle: &HandleArc,
    path: &TreePath,
    id: ObjectId,
    limit: u64,
) -> Result<(Kind, Vec<u8>), Error> {
    let failed = |reason: String| Error::Git { path: path.clone(), id: id.to_string(), reason };
    let missing = || failed("is not in the repository: fetch it again".to_owned());
    let header = handle.try_header(&id).map_err(|e| failed(e.to_string()))?.ok_or_else(missing)?;
    if header.size() > limit {
        return Err(Error::TooLarge { path: path.clone(), size: header.size(), limit });
    }
    let mut data = Vec::new();
    let found = handle.try_find(&id, &mut data).map_err(|e| failed(e.to_string()))?.ok_or_else(missing)?;
    let kind = found.kind;
    Ok((kind, data))
}

/// The files of one commit. Submodules are empty directories, and asking for what is below one is
/// [`Error::Submodule`]; reading a Git LFS pointer is [`Error::LfsPointer`].
#[derive(Clone)]
pub struct CommitTree {
    objects: ObjectDatabase,
    id: ObjectId,
    root: Node,
    max_file: u64,
}

impl CommitTree {
    /// The commit's id, in full.
    pub fn id(&self) -> String {
        self.id.to_string()
    }

    /// Read files up to this many bytes; without this [`crate::Directory::MAX_FILE`].
    pub fn with_max_file(mut self, bytes: u64) -> Self {
        self.max_file = bytes;
        self
    }

    /// Git's own id of what lies at `path` (a file, a directory with all that is below, or a submodule's commit),
    /// links followed; `None` when nothing does. Equal ids are equal contents, and no file is read for it.
    pub fn object_id(&self, path: &TreePath) -> Result<Option<String>, Error> {
        Ok(self.walk(path)?.map(|(_, node)| node.id.to_string()))
    }

    /// Whether there are links in the directory at `path`. Without any, its id alone decides what it lists.
    pub fn has_links(&self, path: &TreePath) -> Result<bool, Error> {
        let (real, node) = self.existing(path)?;
        match kind(node.mode) {
            EntryKind::File => Err(Error::NotADirectory { path: real }),
            EntryKind::Directory if node.mode != Mode::Tree => Ok(false),
            EntryKind::Directory => {
                let items = self.objects.directory(path, node.id)?;
                Ok(items.iter().any(|item| item.node.mode == Mode::Link))
            }
        }
    }

    /// Whether the name that `path` ends with is that of a link, wherever that leads.
    pub fn is_link(&self, path: &TreePath) -> Result<bool, Error> {
        let (Some(parent), Some(name)) = (path.parent(), path.parts().next_back()) else { return Ok(false) };
        match self.walk(&parent)? {
            Some((_, node)) if node.mode == Mode::Tree => {
                let items = self.objects.directory(&parent, node.id)?;
                let index = items.binary_search_by(|item| (*item.name).cmp(name));
                Ok(index.is_ok_and(|index| items[index].node.mode == Mode::Link))
            }
            _ => Ok(false),
        }
    }

    /// Walk `path` part by part, resolving links within the tree only.
    fn walk(&self, asked: &TreePath) -> Result<Option<(TreePath, Node)>, Error> {
        // Most paths lead through no link.
        let mut here = self.root;
        for part in asked.parts() {
            match here.mode {
                Mode::Tree => {}
                Mode::Commit => return Err(Error::Submodule { path: asked.clone() }),
                Mode::Blob | Mode::BlobExecutable => return Ok(None),
                Mode::Link => return self.walk_links(asked),
            }
            let items = self.objects.directory(asked, here.id)?;
            let Ok(index) = items.binary_search_by(|item| (*item.name).cmp(part)) else { return Ok(None) };
            here = items[index].node;
        }
        if here.mode == Mode::Link { self.walk_links(asked) } else { Ok(Some((asked.clone(), here))) }
    }

    fn walk_links(&self, asked: &TreePath) -> Result<Option<(TreePath, Node)>, Error> {
        let mut done: Vec<(String, Node)> = Vec::new();
        let mut todo: Vec<String> = asked.parts().rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            let here = done.last().map_or(self.root, |(_, node)| *node);
            match here.mode {
                Mode::Tree => {}
                Mode::Commit => return Err(Error::Submodule { path: asked.clone() }),
                Mode::Blob | Mode::BlobExecutable | Mode::Link => return Ok(None),
            }
            if part == ".." {
                done.pop().ok_or_else(|| Error::Escape {
                    path: asked.to_string(),
                    target: "above the root of the tree".to_owned(),
                })?;
                continue;
            }
            let items = self.objects.directory(asked, here.id)?;
            let Ok(index) = items.binary_search_by(|item| (*item.name).cmp(&part)) else { return Ok(None) };
            let node = items[index].node;
            if node.mode != Mode::Link {
                done.push((part, node));
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(Error::LinkLoop { path: asked.clone() });
            }
            let (_, target) = self.objects.object(asked, node.id, MAX_TARGET)?;
            let escape = || Error::Escape {
                path: asked.to_string(),
                target: String::from_utf8_lossy(&target).into_owned(),
            };
            // A commit has no place on disk: nothing absolute can be inside it.
            let target = target.to_str().ok().filter(|target| !target.starts_with('/')).ok_or_else(escape)?;
            todo.extend(target.split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_owned));
        }
        let node = done.last().map_or(self.root, |(_, node)| *node);
        let names: Vec<&str> = done.iter().map(|(name, _)| name.as_str()).collect();
        Ok(Some((TreePath::new(&names.join("/"))?, node)))
    }

    fn existing(&self, path: &TreePath) -> Result<(TreePath, Node), Error> {
        self.walk(path)?.ok_or_else(|| Error::NotFound { path: path.clone() })
    }

    /// Add where the directory `new` differs from `old`, both at `path`; `None` when there is too much to tell.
    fn compare(
        &self,
        path: &TreePath,
        old: ObjectId,
        new: ObjectId,
        found: &mut Vec<TreePath>,
        left: &mut usize,
    ) -> Option<()> {
        *left = left.checked_sub(1)?;
        let (old, new) = (self.objects.directory(path, old).ok()?, self.objects.directory(path, new).ok()?);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let (before, after) = match (old.peek(), new.peek()) {
                (None, None) => return Some(()),
                (Some(a), Some(b)) if a.name == b.name => (old.next(), new.next()),
                (Some(a), Some(b)) if a.name > b.name => (None, new.next()),
                (Some(_), _) => (old.next(), None),
                (None, Some(_)) => (None, new.next()),
            };
            *left = left.checked_sub(1)?;
            let name = &before.or(after)?.name;
            match (before.map(|it| it.node), after.map(|it| it.node)) {
                (Some(a), Some(b)) if a.id == b.id && a.mode == b.mode => {}
                (Some(Node { mode: Mode::Tree, id: a }), Some(Node { mode: Mode::Tree, id: b })) => {
                    self.compare(&path.join(name).ok()?, a, b, found, left)?;
                }
                _ if found.len() >= MAX_CHANGES => return None,
                _ => found.push(path.join(name).ok()?),
            }
        }
    }

    fn file(&self, path: &TreePath) -> Result<Node, Error> {
        let (_, node) = self.existing(path)?;
        match kind(node.mode) {
            EntryKind::File => Ok(node),
            EntryKind::Directory => Err(Error::NotAFile { path: path.clone() }),
        }
    }

    fn content(&self, path: &TreePath, node: Node) -> Result<Arc<[u8]>, Error> {
        let (_, content) = self.objects.object(path, node.id, self.max_file)?;
        if content.len() < LFS_MAX && content.starts_with(LFS_START) {
            return Err(Error::LfsPointer { path: path.clone() });
        }
        Ok(content.into())
    }
}

impl FileTree for CommitTree {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        Ok(self.walk(path)?.map(|(path, node)| Entry { kind: kind(node.mode), path }))
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        self.content(path, self.file(path)?)
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        let (real, node) = self.existing(path)?;
        let items = match node.mode {
            Mode::Tree => self.objects.directory(path, node.id)?,
            Mode::Commit => return Ok(Vec::new()),
            Mode::Blob | Mode::BlobExecutable | Mode::Link => {
                return Err(Error::NotADirectory { path: path.clone() });
            }
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items.iter() {
            let kind = if item.node.mode == Mode::Link {
                match self.walk(&real.join(&item.name)?) {
                    Ok(Some((_, target))) => kind(target.mode),
                    Ok(None)
                    | Err(Error::Escape { .. } | Error::LinkLoop { .. } | Error::Submodule { .. }) => {
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            } else {
                kind(item.node.mode)
            };
            list.push(ListEntry { name: item.name.to_string(), kind });
        }
        Ok(list)
    }

    /// As the trait says; remembered by Git's id, so that a file that did not change since another commit is not
    /// read again.
    fn digest(&self, path: &TreePath) -> Result<Digest, Error> {
        let node = self.file(path)?;
        if let Some(digest) = lock(&self.objects.0.digests).get(&node.id) {
            return Ok(digest);
        }
        let digest = Digest::of(&self.content(path, node)?);
        lock(&self.objects.0.digests).insert(node.id, digest, 1);
        Ok(digest)
    }

    fn identity(&self) -> Option<String> {
        // The limit decides which files can be read.
        Some(format!("git-tree {} up to {}", self.root.id, self.max_file))
    }

    fn may_be_link(&self, path: &TreePath) -> bool {
        self.is_link(path).unwrap_or(true)
    }

    fn changes_since(&self, identity: &str) -> Option<Changes> {
        let (old, limit) = identity.strip_prefix("git-tree ")?.split_once(" up to ")?;
        if limit.parse() != Ok(self.max_file) {
            return None;
        }
        let old = ObjectId::from_hex(old.as_bytes()).ok()?;
        let (mut found, mut left) = (Vec::new(), MAX_COMPARED);
        self.compare(&TreePath::root(), old, self.root.id, &mut found, &mut left)?;
        Some(found.into_iter().collect())
    }
}

impl fmt::Debug for CommitTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitTree({} in {})", self.id, self.objects.0.folder.display())
    }
}

fn kind(mode: Mode) -> EntryKind {
    match mode {
        // A submodule that is not checked out is an empty directory.
        Mode::Tree | Mode::Commit => EntryKind::Directory,
        Mode::Blob | Mode::BlobExecutable | Mode::Link => EntryKind::File,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map that forgets what was not asked for lately: two generations, of which the older one is dropped when the
/// younger one is full.
struct Remembered<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    weight: usize,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0 }
    }
}

impl<K: Hash + Eq + Copy, V: Clone> Remembered<K, V> {
    fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (value, weight) = self.old.remove(key)?;
        self.insert(*key, value.clone(), weight);
        Some(value)
    }

    fn insert(&mut self, key: K, value: V, weight: usize) {
        if self.weight + weight > REMEMBERED / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, (value, weight));
    }
}
