//! kustomize's strategic merge: what becomes of an object when a patch is merged into it.
//!
//! It looks like Kubernetes' strategic merge patch and is not: lists merge by the keys that the schema lists as
//! `list-map-keys` (so a patch for port 80/UDP leaves 80/TCP alone), elements of the patch come first, nulls
//! anywhere in the patched object vanish, and custom resources have their lists replaced.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::Problem;
use crate::id::Gvk;
use crate::node::{Map, Node, Scalar};
use crate::schema::{ListMerge, Schema, Schemas};

/// What merging needs to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merging {
    pub(crate) schemas: Schemas,
    /// Something has been merged: no other schemas can be chosen any more.
    pub(crate) begun: Rc<Cell<bool>>,
}

/// Merge `patch` into `object`; `None` when the patch deletes it.
pub(crate) fn merge(object: Node, patch: Node, merging: &Merging) -> Result<Option<Node>, Problem> {
    merging.begun.set(true);
    let mut path = Path { names: Vec::new(), schemas: &merging.schemas, linked: Vec::new() };
    let mut merged = walk(Some(object), Some(patch), None, &mut path)?;
    if let Some(node) = &mut merged {
        node.write_linked(&path.linked);
    }
    Ok(merged)
}

/// `$patch` of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

const DIRECTIVE: &str = "$patch";

impl Directive {
    fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "merge" => Ok(Self::Merge),
            "replace" => Ok(Self::Replace),
            "delete" => Ok(Self::Delete),
            other => {
                Err(Problem(format!("unknown patch strategy '{other}': merge, replace and delete are known")))
            }
        }
    }

    /// The directive of a map, which is taken out of it.
    fn take(map: &mut Map) -> Result<Self, Problem> {
        match map.get(DIRECTIVE) {
            None => Ok(Self::Merge),
            Some(value) => {
                let directive = Self::parse(value.raw_text())?;
                map.remove(DIRECTIVE);
                Ok(directive)
            }
        }
    }

    /// The directive of a list: an element that holds nothing else.
    fn take_from_list(items: &mut Vec<Node>) -> Result<Self, Problem> {
        let is_directive = |item: &Node| item.get(DIRECTIVE).is_some();
        let Some(at) = items.iter().position(is_directive) else { return Ok(Self::Merge) };
        match items[at].as_map() {
            Some(map) if map.len() == 1 => {
                let directive = Self::parse(map.get(DIRECTIVE).map_or("", Node::raw_text))?;
                items.remove(at);
                Ok(directive)
            }
            _ => Ok(Self::Merge),
        }
    }
}

/// The way to the part at work, and where schemas are.
struct Path<'a> {
    names: Vec<String>,
    schemas: &'a Schemas,
    /// What was written into a field that is one with others: see [`Scalar::link`].
    linked: Vec<Scalar>,
}

impl Path<'_> {
    fn push(&mut self, name: String) {
        self.names.push(name);
    }

    fn pop(&mut self) -> Option<String> {
        self.names.pop()
    }

    /// The schema of a part that says what it is: the object, the patch, and objects inside of those that no schema
    /// knows.
    fn schema_of(&self, node: &Node) -> Option<Schema> {
        let text = |field: &str| node.get(field).map(Node::raw_text).filter(|text| !text.is_empty());
        self.schemas.of(&Gvk::new(text("apiVersion")?, text("kind")?))
    }
}

fn mismatch(path: &Path<'_>, wanted: &str, found: &Node) -> Problem {
    Problem(format!(
        "{}: the patch and the object disagree: {wanted} against {}",
        path.names.join("."),
        found.kind().name()
    ))
}

fn present(node: &Option<Node>) -> Option<&Node> {
    node.as_ref().filter(|node| !node.is_null())
}

fn walk(
    object: Option<Node>,
    patch: Option<Node>,
    schema: Option<&Schema>,
    path: &mut Path<'_>,
) -> Result<Option<Node>, Problem> {
    let own = match schema {
        Some(_) => None,
        None => [&object, &patch].into_iter().find_map(|node| path.schema_of(present(node)?)),
    };
    let schema = schema.or(own.as_ref());
    let first = present(&object).or_else(|| present(&patch));
    match first {
        // A null that the patch does not mention stays, unless it is nothing at all.
        None => Ok(match (object, patch) {
            (Some(null), None) if !null.raw_text().is_empty() => Some(null),
            _ => None,
        }),
        Some(Node::Map(_)) => walk_map(object, patch, schema, path),
        Some(Node::Seq(_)) => match schema.and_then(Schema::list_merge) {
            Some(merge) => walk_list(object, patch, &merge, schema, path),
            None => {
                for node in [&object, &patch] {
                    if let Some(other) = present(node).filter(|node| node.as_seq().is_none()) {
                        return Err(mismatch(path, "a list", other));
                    }
                }
                Ok(patch.or(object).filter(|node| !node.is_null()))
            }
        },
        Some(Node::Scalar(_)) => {
            for node in [&object, &patch] {
                if let Some(other) = present(node).filter(|node| node.as_scalar().is_none()) {
                    return Err(mismatch(path, "a scalar", other));
                }
            }
            let link = object.as_ref().and_then(Node::as_scalar).map_or(0, |old| old.link);
            let mut merged = patch.or(object).filter(|node| !node.is_null());
            if let Some(Node::Scalar(new)) = &mut merged
                && new.link != link
            {
                new.link = link;
                path.linked.push(new.clone());
            }
            Ok(merged)
        }
    }
}

fn walk_map(
    object: Option<Node>,
    patch: Option<Node>,
    schema: Option<&Schema>,
    path: &mut Path<'_>,
) -> Result<Option<Node>, Problem> {
    let as_map = |node: Option<Node>| -> Result<Option<Map>, Problem> {
        match node {
            None => Ok(None),
            Some(Node::Map(map)) => Ok(Some(map)),
            Some(null) if null.is_null() => Ok(None),
            Some(other) => Err(mismatch(path, "a map", &other)),
        }
    };
    let cleared = patch.as_ref().is_some_and(Node::is_null);
    let (object, patch) = (as_map(object)?, as_map(patch)?);
    let (mut object, patch) = match (object, patch) {
        (None, None) => return Ok(None),
        // The patch adds the map: it is merged with itself, which settles its directives and nulls.
        (None, Some(mut patch)) => {
            if Directive::take(&mut patch).is_ok_and(|directive| directive == Directive::Delete) {
                return Ok(None);
            }
            (patch.clone(), Some(patch))
        }
        (Some(_), None) if cleared => return Ok(None),
        (Some(object), None) => (object, None),
        (Some(object), Some(mut patch)) => match Directive::take(&mut patch)? {
            Directive::Delete => return Ok(None),
            Directive::Replace => (patch.clone(), Some(patch)),
            Directive::Merge => {
                // A part of the patch that is merged with itself.
                let mut object = object;
                object.remove(DIRECTIVE);
                (object, Some(patch))
            }
        },
    };
    let Some(patch) = patch else {
        // Nothing to merge, but nulls go, and equal elements of lists become one.
        return prune(object, schema, path).map(|map| Some(Node::Map(map)));
    };
    let mut merged = Map::default();
    let keys: Vec<String> = object.keys().map(str::to_owned).collect();
    let mut patch = patch;
    for key in keys {
        let theirs = patch.remove(&key);
        let mine = object.remove(&key);
        let below = schema.and_then(|schema| schema.field(&key));
        path.push(key);
        let value = walk(mine, theirs, below.as_ref(), path)?;
        let key = path.pop().unwrap_or_default();
        if let Some(value) = value {
            merged.insert(&key, value);
        }
    }
    let keys: Vec<String> = patch.keys().map(str::to_owned).collect();
    for key in keys {
        let below = schema.and_then(|schema| schema.field(&key));
        let theirs = patch.remove(&key);
        path.push(key);
        let value = walk(None, theirs, below.as_ref(), path)?;
        let key = path.pop().unwrap_or_default();
        if let Some(value) = value {
            merged.insert(&key, value);
        }
    }
    Ok(Some(Node::Map(merged)))
}

/// A part of the object that the patch does not mention.
fn prune(object: Map, schema: Option<&Schema>, path: &mut Path<'_>) -> Result<Map, Problem> {
    let mut pruned = Vec::with_capacity(object.len());
    for (key, value) in object.into_entries() {
        if let Node::Scalar(scalar) = &value
            && !value.is_null()
        {
            pruned.push((key, Node::Scalar(scalar.clone())));
            continue;
        }
        let below = schema.and_then(|schema| schema.field(&key));
        path.push(key);
        let value = walk(Some(value), None, below.as_ref(), path)?;
        let key = path.pop().unwrap_or_default();
        if let Some(value) = value {
            pruned.push((key, value));
        }
    }
    Ok(pruned.into_iter().collect())
}

fn walk_list(
    object: Option<Node>,
    patch: Option<Node>,
    merge: &ListMerge,
    schema: Option<&Schema>,
    path: &mut Path<'_>,
) -> Result<Option<Node>, Problem> {
    let as_list = |node: Option<Node>| -> Result<Option<Vec<Node>>, Problem> {
        match node {
            None => Ok(None),
            Some(Node::Seq(items)) => Ok(Some(items)),
            Some(null) if null.is_null() => Ok(None),
            Some(other) => Err(mismatch(path, "a list", &other)),
        }
    };
    let cleared = patch.as_ref().is_some_and(Node::is_null);
    let (object, patch) = (as_list(object)?, as_list(patch)?);
    let (object, patch) = match (object, patch) {
        (None, None) => return Ok(None),
        (None, Some(patch)) => (patch.clone(), Some(patch)),
        (Some(_), None) if cleared => return Ok(None),
        (Some(object), None) => (object, None),
        (Some(object), Some(mut patch)) => match Directive::take_from_list(&mut patch)? {
            Directive::Delete => return Ok(None),
            Directive::Replace => (patch.clone(), Some(patch)),
            Directive::Merge => (object, Some(patch)),
        },
    };
    let merged = match merge {
        ListMerge::Values => merge_values(object, patch),
        ListMerge::Keys(keys) => {
            let elements = schema.and_then(Schema::elements);
            merge_elements(object, patch, keys, elements.as_ref(), path)?
        }
    };
    Ok(Some(Node::Seq(merged)))
}

/// Scalars: those of the patch first, each once.
fn merge_values(object: Vec<Node>, patch: Option<Vec<Node>>) -> Vec<Node> {
    let mut merged: Vec<Node> = Vec::new();
    for item in patch.into_iter().flatten().chain(object) {
        if item.is_null() {
            continue;
        }
        if !merged.iter().any(|other| other.raw_text() == item.raw_text() && other.kind() == item.kind()) {
            merged.push(item);
        }
    }
    merged
}

fn key_values(item: &Node, keys: &[String]) -> Vec<String> {
    let value = |key: &String| match item.get(key) {
        Some(value) if !value.is_null_or_empty() => value.raw_text().to_owned(),
        _ => String::new(),
    };
    keys.iter().map(value).collect()
}

/// Merge lists whose elements are told apart by `keys`: those of the patch first, in its order.
///
/// The result is what kustomize gives, which is not always what one would expect. An element that lacks a key, where
/// others have it, is not found again, and takes the place of all others; elements that hold nothing vanish. Keys that
/// no element has do not count.
fn merge_elements(
    mut object: Vec<Node>,
    patch: Option<Vec<Node>>,
    keys: &[String],
    schema: Option<&Schema>,
    path: &mut Path<'_>,
) -> Result<Vec<Node>, Problem> {
    let all = || patch.iter().flatten().chain(&object);
    let has_any =
        |key: &&String| all().any(|item| !key_values(item, std::slice::from_ref(key))[0].is_empty());
    let mut used: Vec<String> = keys.iter().filter(has_any).cloned().collect();
    if used.is_empty() {
        used = keys.to_vec();
    }
    let mut identities: Vec<Vec<String>> = Vec::new();
    for item in all() {
        let values = key_values(item, &used);
        if !identities.contains(&values) {
            identities.push(values);
        }
    }
    if used.len() > 1 {
        return merge_by_several(object, patch, &used, &identities, schema, path);
    }
    let mut merged: Vec<Node> = Vec::new();
    for values in &identities {
        let is = |item: &Node| {
            used.iter().zip(values).all(|(key, value)| item.get(key).is_some_and(|it| it.raw_text() == value))
        };
        let mine = object.iter().position(is);
        let theirs = patch.iter().flatten().find(|item| is(item));
        path.push(format!("[{}]", values.join(",")));
        let result = walk(mine.map(|at| object[at].clone()), theirs.cloned(), schema, path)?;
        path.pop();
        match result {
            Some(result) if !result.is_null_or_empty() => {
                if let Some(at) = mine.filter(|_| !theirs.is_some_and(replaces)) {
                    object[at] = result.clone();
                }
                replace(&mut merged, &used, values, Some(result));
            }
            _ => replace(&mut object, &used, values, None),
        }
    }
    for item in object {
        let values: Vec<String> =
            used.iter().filter_map(|key| item.get(key).map(|value| value.raw_text().to_owned())).collect();
        replace(&mut merged, &used, &values, Some(item));
    }
    Ok(merged)
}

/// Whether an element of a patch says that it takes the place of the object's. In lists kustomize forgets about that
/// when it puts both lists together: the object's element stays as it was.
fn replaces(element: &Node) -> bool {
    element.get(DIRECTIVE).is_some_and(|directive| directive.raw_text() == "replace")
}

/// What only the patch has comes first, then the object's elements in their order. An element without some keys
/// stands for every other one that agrees with it in those that it has.
fn merge_by_several(
    mut object: Vec<Node>,
    patch: Option<Vec<Node>>,
    keys: &[String],
    identities: &[Vec<String>],
    schema: Option<&Schema>,
    path: &mut Path<'_>,
) -> Result<Vec<Node>, Problem> {
    let agrees = |partial: &[String], other: &[String]| {
        partial.iter().zip(other).all(|(value, other)| value.is_empty() || value == other)
    };
    let mut merged: Vec<Node> = Vec::new();
    for identity in identities {
        let is_partial = identity.iter().any(String::is_empty);
        if is_partial && identities.iter().any(|other| other != identity && agrees(identity, other)) {
            continue;
        }
        let is = |item: &Node| key_values(item, keys) == *identity;
        let mine = object.iter().position(is);
        let theirs = patch.iter().flatten().find(|item| is(item));
        path.push(format!("[{}]", identity.join(",")));
        let result = walk(mine.map(|at| object[at].clone()), theirs.cloned(), schema, path)?;
        path.pop();
        match result {
            Some(result) if !result.is_null_or_empty() => match mine {
                Some(_) if theirs.is_some_and(replaces) => {}
                Some(at) => object[at] = result,
                None => merged.push(result),
            },
            // An element that lacks a key is not deleted this way, only those that have all.
            _ if is_partial => {}
            _ => object.retain(|item| !is(item)),
        }
    }
    for item in object.into_iter().filter(|item| !item.is_null_or_empty()) {
        let identity = key_values(&item, keys);
        merged.retain(|other| !agrees(&identity, &key_values(other, keys)));
        merged.push(item);
    }
    Ok(merged)
}

/// Put an element in the place of those that are the same, or at the end; without one, remove them. An empty value
/// stands for any. Elements that hold nothing vanish, and so do all others when there is no value to compare.
fn replace(items: &mut Vec<Node>, keys: &[String], values: &[String], element: Option<Node>) {
    let is = |item: &Node| {
        !values.is_empty()
            && keys.iter().zip(values).all(|(key, value)| {
                item.get(key).is_some_and(|it| value.is_empty() || it.raw_text() == value)
            })
    };
    let mut found = false;
    let mut kept = Vec::with_capacity(items.len() + 1);
    for item in items.drain(..) {
        if item.is_null_or_empty() && item.as_seq().is_none() {
            continue;
        }
        if item.as_map().is_some() && is(&item) {
            found = true;
            kept.extend(element.clone());
        } else if !values.is_empty() || item.as_map().is_none() {
            kept.push(item);
        }
    }
    if let Some(element) = element.filter(|_| !found) {
        kept.push(element);
    }
    *items = kept;
}
