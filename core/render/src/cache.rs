//! Results that are kept: in memory, and in a folder behind it. The folder is for what takes longer to make than to read.
//!
//! A result is found by its request; it counts as long as the tree answers every question as it did when the result
//! was made ([`Inputs`]). A commit that touches nothing of what was asked costs a look at just that, and the same
//! tree again costs nothing.

mod folder;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use seaway_source::{Changes, FileTree, Inputs};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::request::{self, Kind, Outcome, RenderRequest, Rendered};
use folder::Folder;

/// Results of one request that are kept: as many branches are rendered side by side without forgetting each other.
const VARIANTS: usize = 8;
/// Trees that a result is known to hold in.
const TREES: usize = 16;
/// Pairs of trees whose difference is known.
const DIFFERENCES: usize = 64;

/// About what a value takes beside its text, and an answer with its path and digest, in bytes.
const NODE: usize = 64;
const ANSWER: usize = 160;

/// Names a request, without its tree.
type Key = [u8; 32];

/// Where a result was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// In memory.
    Memory,
    /// In the folder.
    Folder,
    /// Nowhere: it was rendered.
    Rendered,
}

/// A result with everything that it depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    outcome: Outcome,
    /// What was asked when something must be fetched first; the inputs of a rendering are its own.
    asked: Inputs,
}

impl Kept {
    fn inputs(&self) -> &Inputs {
        match &self.outcome {
            Outcome::Rendered(rendered) => &rendered.inputs,
            Outcome::Needs(_) => &self.asked,
        }
    }

    /// Whether reading it from a file costs less than making it again: plain YAML is its own result.
    fn is_worth_a_file(&self) -> bool {
        !matches!(&self.outcome, Outcome::Rendered(Rendered { kind: Kind::Plain, .. }))
    }

    /// About how many bytes it takes: objects, and answers.
    fn weight(&self) -> usize {
        let objects = match &self.outcome {
            Outcome::Rendered(rendered) => rendered.objects.iter().map(|object| room(&object.value)).sum(),
            Outcome::Needs(_) => 0,
        };
        NODE + objects + self.inputs().iter().count() * ANSWER
    }
}

/// About how many bytes a value takes, its texts and what holds them.
fn room(value: &Value) -> usize {
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(room).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + NODE + room(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[derive(Debug, Clone)]
struct Variant {
    kept: Arc<Kept>,
    weight: usize,
    /// Identities of trees that it holds in, latest last.
    trees: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Memory {
    young: HashMap<Key, Vec<Variant>>,
    old: HashMap<Key, Vec<Variant>>,
    weight: usize,
}

impl Memory {
    /// The results of a request, and that it was asked for lately.
    fn variants(&mut self, key: &Key) -> Option<&mut Vec<Variant>> {
        if !self.young.contains_key(key) {
            let variants = self.old.remove(key)?;
            self.weight += variants.iter().map(|variant| variant.weight).sum::<usize>();
            self.young.insert(*key, variants);
        }
        self.young.get_mut(key)
    }

    fn insert(&mut self, key: Key, kept: Arc<Kept>, tree: Option<String>, limit: usize) {
        let weight = kept.weight();
        if self.weight + weight > limit / 2 {
            // What was not asked for since the last time goes.
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        let mut variants = self.young.remove(&key).or_else(|| self.old.remove(&key)).unwrap_or_default();
        variants.retain(|variant| variant.kept.inputs() != kept.inputs());
        variants.insert(0, Variant { kept, weight, trees: tree.into_iter().collect() });
        variants.truncate(VARIANTS);
        self.young.insert(key, variants);
    }
}

/// Keeps results. Cheap to clone; clones share what they keep.
#[derive(Debug, Clone)]
pub struct Cache {
    shared: Arc<Shared>,
    /// See [`Cache::of_source`].
    source: Arc<str>,
}

/// Where a tree differs from an earlier one: many requests ask for it when a commit arrives.
#[derive(Debug)]
struct Difference {
    old: String,
    new: String,
    /// `None`: that cannot be told.
    changes: Option<Arc<Changes>>,
}

#[derive(Debug)]
struct Shared {
    memory: Mutex<Memory>,
    differences: Mutex<VecDeque<Difference>>,
    limit: usize,
    folder: Option<Folder>,
}

/// What a request gives, shared with the cache.
#[derive(Debug, Clone)]
pub struct Shareable(Arc<Kept>);

impl std::ops::Deref for Shareable {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.0.outcome
    }
}

impl Cache {
    /// About how many bytes are kept in memory unless [`Cache::with_limit`] says otherwise.
    pub const LIMIT: usize = 128 << 20;

    /// A cache in memory alone.
    pub fn in_memory() -> Self {
        Self::new(Self::LIMIT, None)
    }

    /// A cache with a folder behind it, which may take up to `max_bytes` and may be shared by several processes. It is
    /// made when it is absent, for the user alone: what is rendered may hold secrets. What is damaged in it, or cannot
    /// be written, is as if it were not there.
    pub fn with_folder(folder: &Path, max_bytes: u64) -> std::io::Result<Self> {
        let folder = Folder::open(folder, max_bytes)?;
        Ok(Self::new(Self::LIMIT, Some(folder)))
    }

    /// The same with another limit of bytes in memory. What was kept is forgotten.
    pub fn with_limit(self, limit: usize) -> Self {
        Self { source: self.source, ..Self::new(limit, self.shared.folder.clone()) }
    }

    /// The same, for trees of one source, a repository for instance. Requests that differ in their source alone are
    /// kept apart: of one request only a few results are kept, and many repositories have the same paths.
    pub fn of_source(&self, source: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), source: source.into() }
    }

    fn new(limit: usize, folder: Option<Folder>) -> Self {
        let shared = Shared { memory: Mutex::default(), differences: Mutex::default(), limit, folder };
        Self { shared: Arc::new(shared), source: Arc::from("") }
    }

    /// As [`crate::render`], from what is kept when that still holds. Errors are not kept, nor is what was asked to be
    /// explained.
    pub fn render(&self, request: &RenderRequest<'_>) -> Result<(Shareable, Found), Error> {
        let key = self.key(request);
        if let Some(key) = &key
            && let Some((kept, found)) = self.find(key, request.tree)
        {
            return Ok((Shareable(kept), found));
        }
        let (outcome, asked) = request::render_recorded(request)?;
        let asked = if matches!(outcome, Outcome::Needs(_)) { asked } else { Inputs::default() };
        let kept = Arc::new(Kept { outcome, asked });
        if let Some(key) = key {
            self.lock().insert(key, Arc::clone(&kept), request.tree.identity(), self.shared.limit);
            if let Some(folder) = self.shared.folder.as_ref().filter(|_| kept.is_worth_a_file()) {
                folder.write(&key, &kept);
            }
        }
        Ok((Shareable(kept), Found::Rendered))
    }

    /// Whether [`Cache::render`] would find the result, without rendering: what a commit does not touch is found.
    pub fn holds(&self, request: &RenderRequest<'_>) -> bool {
        self.key(request).is_some_and(|key| self.find(&key, request.tree).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &Key, tree: &dyn FileTree) -> Option<(Arc<Kept>, Found)> {
        let identity = tree.identity();
        let variants = self.lock().variants(key).map(|variants| variants.clone()).unwrap_or_default();
        if let Some(identity) = &identity
            && let Some(variant) = variants.iter().find(|variant| variant.trees.contains(identity))
        {
            return Some((Arc::clone(&variant.kept), Found::Memory));
        }
        // The tree is asked without the lock: others go on meanwhile.
        if let Some(variant) =
            variants.iter().find(|variant| self.holds_in(variant, tree, identity.as_deref()))
        {
            let mut memory = self.lock();
            if let (Some(identity), Some(variants)) = (identity, memory.variants(key))
                && let Some(same) = variants.iter_mut().find(|other| Arc::ptr_eq(&other.kept, &variant.kept))
            {
                same.trees.push_back(identity);
                if same.trees.len() > TREES {
                    same.trees.pop_front();
                }
            }
            return Some((Arc::clone(&variant.kept), Found::Memory));
        }
        // Once there is a result in memory, all of the folder were.
        let folder = self.shared.folder.as_ref().filter(|_| variants.is_empty())?;
        let all: Vec<Arc<Kept>> = folder.read(key).map(Arc::new).collect();
        let found = all.iter().find(|kept| kept.inputs().hold_in(tree)).cloned();
        // The newest one last, which is found first.
        for kept in all.into_iter().rev() {
            let is_found = found.as_ref().is_some_and(|found| Arc::ptr_eq(found, &kept));
            let tree = identity.clone().filter(|_| is_found);
            self.lock().insert(*key, kept, tree, self.shared.limit);
        }
        let kept = found?;
        Some((kept, Found::Folder))
    }

    /// Whether a result holds in a tree that it is not known to hold in.
    fn holds_in(&self, variant: &Variant, tree: &dyn FileTree, identity: Option<&str>) -> bool {
        let inputs = variant.kept.inputs();
        let changes = match (identity, variant.trees.back()) {
            (Some(new), Some(old)) => self.changes(tree, old, new),
            _ => None,
        };
        match changes {
            Some(changes) => inputs.hold_after(tree, &changes),
            None => inputs.hold_in(tree),
        }
    }

    fn changes(&self, tree: &dyn FileTree, old: &str, new: &str) -> Option<Arc<Changes>> {
        let lock = || self.shared.differences.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |it: &&Difference| it.old == old && it.new == new;
        if let Some(difference) = lock().iter().find(is_it) {
            return difference.changes.clone();
        }
        // The trees are compared without the lock: others go on meanwhile.
        let changes = tree.changes_since(old).map(Arc::new);
        let mut known = lock();
        if known.iter().any(|it| is_it(&it)) {
            return changes;
        }
        if known.len() >= DIFFERENCES {
            known.pop_front();
        }
        known.push_back(Difference { old: old.to_owned(), new: new.to_owned(), changes: changes.clone() });
        changes
    }

    /// The request's name; `None` when its result cannot be kept.
    fn key(&self, request: &RenderRequest<'_>) -> Option<Key> {
        if request.explain.is_some() {
            return None;
        }
        let mut hash = Sha256::new();
        let RenderRequest { path, kind, parameters, images, namespace, restriction, plain, .. } = request;
        // Debug output of these types is unambiguous: every text in it is quoted.
        hash.update(format!(
            "{} {:?} {path:?} {kind:?} {parameters:?} {images:?} {namespace:?} {restriction:?} {plain:?}\n",
            env!("SEAWAY_RENDERER"),
            self.source
        ));
        request.remotes.identify(&mut |line| hash.update(line))?;
        Some(hash.finalize().into())
    }
}
