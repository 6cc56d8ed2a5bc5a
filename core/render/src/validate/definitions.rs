//! The schemas of custom resources: of definitions among the objects, and of those elsewhere in the tree.

use std::collections::HashMap;

use seaway_merge::schema::{self, TypeRef};
use seaway_object::yaml::Dialect;
use seaway_object::{ReadOptions, identity, read_objects};
use seaway_source::{EntryKind, FileTree, TreePath};
use serde_json::Value;

use crate::request::Rendered;

const KIND: &str = "CustomResourceDefinition";
/// More files are not looked at for definitions.
const MAX_FILES: usize = 50_000;
/// Directories inside each other.
const MAX_DEPTH: usize = 64;

type Types = HashMap<(String, String, String), TypeRef>;

pub(super) struct Definitions<'a> {
    tree: &'a dyn FileTree,
    below: &'a TreePath,
    types: Types,
    /// The files have been looked through.
    searched: bool,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(tree: &'a dyn FileTree, below: &'a TreePath, rendered: &Rendered) -> Self {
        let mut types = Types::new();
        for object in &rendered.objects {
            add(&mut types, &object.value);
        }
        Self { tree, below, types, searched: false }
    }

    /// The type of a custom resource. The files are looked through when the first one is asked for that is not among
    /// the objects.
    pub(super) fn of(&mut self, group: &str, version: &str, kind: &str) -> Option<TypeRef> {
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        if !self.types.contains_key(&key) && !self.searched {
            self.searched = true;
            let mut found = Types::new();
            let mut files = 0;
            search(self.tree, self.below, &mut found, &mut files, 0);
            for (key, ty) in found {
                self.types.entry(key).or_insert(ty);
            }
        }
        self.types.get(&key).cloned()
    }
}

/// Files that cannot be read or are no YAML define nothing.
fn search(tree: &dyn FileTree, directory: &TreePath, types: &mut Types, files: &mut usize, depth: usize) {
    let Ok(entries) = tree.list(directory) else { return };
    for entry in entries {
        *files += 1;
        if *files > MAX_FILES || entry.name.starts_with('.') {
            continue;
        }
        let Ok(path) = directory.join(&entry.name) else { continue };
        match entry.kind {
            EntryKind::Directory if depth < MAX_DEPTH => {
                // What a link leads to is in the tree anyway.
                if tree.find(&path).ok().flatten().is_some_and(|found| found.path == path) {
                    search(tree, &path, types, files, depth + 1);
                }
            }
            EntryKind::Directory => {}
            EntryKind::File => {
                if [".yaml", ".yml", ".json"].iter().any(|ending| entry.name.ends_with(ending))
                    && let Ok(bytes) = tree.read(&path)
                    && let Ok(text) = std::str::from_utf8(&bytes)
                    && text.contains(KIND)
                    && let Ok(documents) = read_objects(text, &ReadOptions::new(Dialect::Kubernetes))
                {
                    documents.iter().for_each(|document| add(types, &document.value));
                }
            }
        }
    }
}

fn add(types: &mut Types, object: &Value) {
    if identity::kind(object) != KIND {
        return;
    }
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (group, kind) = (text("/spec/group"), text("/spec/names/kind"));
    let common = object.pointer("/spec/validation/openAPIV3Schema");
    for version in object.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten() {
        let name = version.get("name").and_then(Value::as_str).unwrap_or_default();
        if let Some(structural) = version.pointer("/schema/openAPIV3Schema").or(common)
            && let Ok(ty) = schema::from_structural(structural)
        {
            types.insert((group.clone(), name.to_owned(), kind.clone()), ty);
        }
    }
}
