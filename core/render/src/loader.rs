//! What a kustomization may read: its own files, and other kustomizations.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use seaway_object::yaml::{self, Limits, NodeKind, ScalarStyle};
use seaway_source::{EntryKind, FileTree, TreePath};

use crate::error::{Error, Place, Stop};
use crate::remote::{self, Remote, RemoteBase, Remotes};

/// Which files a kustomization may name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadRestriction {
    /// Files in or below its own directory, links followed. Other kustomizations may lie anywhere in the tree.
    #[default]
    Kustomization,
    /// Any file of the tree.
    Tree,
}

/// Kustomizations inside each other.
const MAX_DEPTH: usize = 64;

/// The root of one kustomization, and how it was reached.
#[derive(Debug, Clone)]
pub(crate) struct Loader<'a> {
    tree: &'a dyn FileTree,
    /// What the files of this tree are called: empty for the main tree, `repository//` for others.
    prefix: Arc<str>,
    /// The repository that the tree is from; `None` for the main tree.
    pub(crate) remote: Option<Arc<RemoteBase>>,
    pub(crate) root: TreePath,
    restriction: LoadRestriction,
    remotes: &'a Remotes,
    /// The directories on the way here, in this tree.
    visited: Vec<TreePath>,
    /// The repositories on the way here.
    repositories: Vec<RemoteBase>,
    limits: Limits,
    /// Files that SOPS has encrypted, of all loaders of a rendering.
    encrypted: Arc<Mutex<BTreeSet<String>>>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        tree: &'a dyn FileTree,
        root: TreePath,
        restriction: LoadRestriction,
        remotes: &'a Remotes,
    ) -> Self {
        Self {
            tree,
            prefix: Arc::from(""),
            remote: None,
            root,
            restriction,
            remotes,
            visited: Vec::new(),
            repositories: Vec::new(),
            limits: Limits::default(),
            encrypted: Arc::default(),
        }
    }

    /// Files that were read so far and that SOPS has encrypted.
    pub(crate) fn encrypted(&self) -> Vec<String> {
        self.encrypted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// What a file of this tree is called in messages.
    pub(crate) fn name_of(&self, path: &TreePath) -> String {
        format!("{}{path}", self.prefix)
    }

    /// What the kustomization's directory is called in messages.
    pub(crate) fn name(&self) -> String {
        self.name_of(&self.root)
    }

    /// A file directly in the kustomization's directory, if there is one.
    pub(crate) fn own_file(&self, name: &str) -> Result<Option<TreePath>, Error> {
        let fail = |source| Error::Source { named_by: Place::file(self.name()), cause: source };
        let path = self.root.join(name).map_err(fail)?;
        match self.tree.find(&path).map_err(fail)? {
            Some(entry) if entry.kind == EntryKind::File => Ok(Some(path)),
            _ => Ok(None),
        }
    }

    /// The text of a file, named from the kustomization's directory, and what it is called.
    pub(crate) fn text(&self, path: &str, named_by: &Place) -> Result<(String, String), Stop> {
        let (bytes, name) = self.bytes(path, named_by)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok((text.to_owned(), name)),
            Err(error) => {
                let position = error.valid_up_to();
                let problem = format!("{name} is not UTF-8: the byte at offset {position} does not belong");
                Err(Error::Invalid { place: named_by.clone(), problem }.into())
            }
        }
    }

    /// The content of a file, named from the kustomization's directory, and what it is called.
    pub(crate) fn bytes(&self, path: &str, named_by: &Place) -> Result<(Arc<[u8]>, String), Stop> {
        if remote::is_http(path) {
            return match self.remotes.file(path) {
                Some(content) => Ok((Arc::clone(content), path.to_owned())),
                None => Err(Stop::Needs(Remote::File(path.to_owned()))),
            };
        }
        let fail = |source| Error::Source { named_by: named_by.clone(), cause: source };
        if path.is_empty() {
            return Err(invalid(named_by, "an empty path names no file".to_owned()));
        }
        let asked = self.root.join(path).map_err(fail)?;
        let entry = self
            .tree
            .find(&asked)
            .map_err(fail)?
            .ok_or_else(|| fail(seaway_source::Error::NotFound { path: asked.clone() }))?;
        if entry.kind == EntryKind::Directory {
            return Err(fail(seaway_source::Error::NotAFile { path: asked }).into());
        }
        if self.restriction == LoadRestriction::Kustomization && !entry.path.is_in(&self.root) {
            let problem = format!(
                "security; file '{}' is not in or below '{}': a kustomization may only read its own files; make \
                 what it shares a base or a component",
                entry.path, self.root
            );
            return Err(invalid(named_by, problem));
        }
        let (bytes, name) = (self.tree.read(&entry.path).map_err(fail)?, self.name_of(&asked));
        if is_encrypted(&bytes) {
            self.encrypted.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        }
        Ok((bytes, name))
    }

    /// Whether a path names a directory of this tree. Never fails: what it names may be a file, or a URL.
    pub(crate) fn is_directory(&self, path: &str) -> bool {
        self.root
            .join(path)
            .ok()
            .and_then(|path| self.tree.find(&path).ok().flatten())
            .is_some_and(|entry| entry.kind == EntryKind::Directory)
    }

    /// Another kustomization, named from this one's directory.
    pub(crate) fn enter(&self, path: &str, named_by: &Place) -> Result<Loader<'a>, Stop> {
        if self.visited.len() + self.repositories.len() >= MAX_DEPTH {
            let problem = format!("more than {MAX_DEPTH} kustomizations inside each other");
            return Err(invalid(named_by, problem));
        }
        if !self.is_directory(path)
            && let Some(base) = remote::parse_base(path).map_err(|problem| problem.at(named_by.clone()))?
        {
            return self.enter_repository(base, named_by);
        }
        let fail = |source| Error::Source { named_by: named_by.clone(), cause: source };
        let asked = self.root.join(path).map_err(fail)?;
        let entry = self
            .tree
            .find(&asked)
            .map_err(fail)?
            .ok_or_else(|| fail(seaway_source::Error::NotFound { path: asked.clone() }))?;
        if entry.kind == EntryKind::File {
            return Err(fail(seaway_source::Error::NotADirectory { path: asked }).into());
        }
        let mut visited = self.visited.clone();
        visited.push(self.root.clone());
        if let Some(inside) = visited.iter().find(|inside| inside.is_in(&entry.path)) {
            let problem = format!(
                "cycle detected: candidate root '{}' contains visited root '{inside}': a kustomization cannot \
                 contain itself",
                entry.path
            );
            return Err(invalid(named_by, problem));
        }
        Ok(Self { root: entry.path, visited, ..self.clone() })
    }

    fn enter_repository(&self, base: RemoteBase, named_by: &Place) -> Result<Loader<'a>, Stop> {
        if self.repositories.contains(&base) {
            let problem = format!("cycle detected: {} contains itself", Remote::Base(base));
            return Err(invalid(named_by, problem));
        }
        let Some(tree) = self.remotes.repository(&base) else { return Err(Stop::Needs(Remote::Base(base))) };
        let fail = |source| Error::Source { named_by: named_by.clone(), cause: source };
        let asked = TreePath::new(&base.path).map_err(fail)?;
        let root = match tree.find(&asked).map_err(fail)? {
            Some(entry) if entry.kind == EntryKind::Directory => entry.path,
            Some(_) => return Err(fail(seaway_source::Error::NotADirectory { path: asked }).into()),
            None => return Err(fail(seaway_source::Error::NotFound { path: asked }).into()),
        };
        let mut repositories = self.repositories.clone();
        repositories.push(base.clone());
        Ok(Self {
            tree: tree.as_ref(),
            prefix: format!("{}//", base.repository).into(),
            remote: Some(Arc::new(base)),
            root,
            visited: Vec::new(),
            repositories,
            ..self.clone()
        })
    }

    /// The YAML documents of a text.
    pub(crate) fn documents(&self, text: &str, file: &str) -> Result<Vec<Arc<yaml::Node>>, Error> {
        parse(text, file, &self.limits)
    }
}

/// Whether SOPS has encrypted a file: it keeps what it encrypts a file's checksum with in each of its formats, beside
/// values of its own (<https://getsops.io/docs/>).
fn is_encrypted(bytes: &[u8]) -> bool {
    const VALUE: &str = "ENC[AES256_GCM,data:";
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    // YAML, JSON and whole files; variables; ini.
    text.contains(VALUE)
        && (text.starts_with("sops:")
            || ["\nsops:", "\"sops\":", "sops_mac=", "[sops]"].iter().any(|mark| text.contains(mark)))
}

/// The YAML documents of a text.
pub(crate) fn parse(text: &str, file: &str, limits: &Limits) -> Result<Vec<Arc<yaml::Node>>, Error> {
    let mut documents =
        yaml::parse(text, limits).map_err(|source| Error::Syntax { file: file.to_owned(), cause: source })?;
    if !text.ends_with('\n')
        && let Some(last) = documents.last_mut()
    {
        end_without_break(last);
    }
    Ok(documents)
}

/// A block scalar at the end of a text without a last line break has none either (libyaml has it so).
fn end_without_break(node: &mut Arc<yaml::Node>) {
    // A node that an alias shares is not the end of the text.
    let Some(node) = Arc::get_mut(node) else { return };
    match &mut node.kind {
        NodeKind::Scalar { text, style: ScalarStyle::Literal | ScalarStyle::Folded } => {
            if let Some(shorter) = text.strip_suffix('\n') {
                *text = shorter.into();
            }
        }
        NodeKind::Sequence { items, flow: false } => {
            if let Some(last) = items.last_mut() {
                end_without_break(last);
            }
        }
        NodeKind::Mapping { entries, flow: false } => {
            if let Some((_, last)) = entries.last_mut() {
                end_without_break(last);
            }
        }
        _ => {}
    }
}

fn invalid(named_by: &Place, problem: String) -> Stop {
    Error::Invalid { place: named_by.clone(), problem }.into()
}
