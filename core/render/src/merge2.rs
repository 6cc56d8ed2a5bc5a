//! kustomize's strategic merge: what becomes of an object when a patch is merged into it.
//!
//! It looks like Kubernetes' strategic merge patch and is not: lists merge by the keys that the schema lists as
//! `list-map-keys` (so a patch for port 80/UDP leaves 80/TCP alone), elements of the patch come first, nulls
//! anywhere in the patched object vanish, and custom resources have their lists replaced.

use crate::error::Problem;
use crate::id::Gvk;
use crate::node::{Map, Node};
use crate::schema::{ListMerge, Schema, Schemas};

/// What merging needs to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merging {
    pub(crate) schemas: Schemas,
}

/// Merge `patch` into `object`; `None` when the patch deletes it.
pub(crate) fn merge(object: Node, patch: Node, merging: &Merging) -> Result<Option<Node>, Problem> {
    let text = |field: &str| {
        let of = |node: &Node| node.get(field).map(|value| value.raw_text().to_owned());
        of(&object).filter(|text| !text.is_empty()).or_else(|| of(&patch)).unwrap_or_default()
    };
    let schema = merging.schemas.of(&Gvk::new(&text("apiVersion"), &text("kind")));
    walk(Some(object), Some(patch), schema.as_ref(), &mut Vec::new())
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

type Path = Vec<String>;

fn mismatch(path: &Path, wanted: &str, found: &Node) -> Problem {
    Problem(format!(
        "{}: the patch and the object disagree: {wanted} against {}",
        path.join("."),
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
    path: &mut Path,
) -> Result<Option<Node>, Problem> {
    let first = present(&object).or_else(|| present(&patch));
    match first {
        None => Ok(None),
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
            Ok(patch.or(object).filter(|node| !node.is_null()))
        }
    }
}

fn walk_map(
    object: Option<Node>,
    patch: Option<Node>,
    schema: Option<&Schema>,
    path: &mut Path,
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
            Directive::Merge => (object, Some(patch)),
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
fn prune(object: Map, schema: Option<&Schema>, path: &mut Path) -> Result<Map, Problem> {
    let mut pruned = Vec::with_capacity(object.len());
    for (key, value) in object.into_entries() {
        let value = match value {
            null if null.is_null() => continue,
            Node::Scalar(scalar) => Node::Scalar(scalar),
            other => {
                let below = schema.and_then(|schema| schema.field(&key));
                path.push(key);
                let value = walk(Some(other), None, below.as_ref(), path)?;
                let key = path.pop().unwrap_or_default();
                match value {
                    Some(value) => {
                        pruned.push((key, value));
                        continue;
                    }
                    None => continue,
                }
            }
        };
        pruned.push((key, value));
    }
    Ok(pruned.into_iter().collect())
}

fn walk_list(
    object: Option<Node>,
    patch: Option<Node>,
    merge: &ListMerge,
    schema: Option<&Schema>,
    path: &mut Path,
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

/// The keys of an element that have a value; all of them when none has.
fn usable<'a>(values: &'a [String], keys: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    let some: Vec<usize> = (0..values.len()).filter(|&index| !values[index].is_empty()).collect();
    if some.is_empty() {
        return (keys.iter().map(String::as_str).collect(), values.iter().map(String::as_str).collect());
    }
    (some.iter().map(|&i| keys[i].as_str()).collect(), some.iter().map(|&i| values[i].as_str()).collect())
}

fn key_values(item: &Node, keys: &[String]) -> Vec<String> {
    let value = |key: &String| match item.get(key) {
        Some(value) if !value.is_null_or_empty() => value.raw_text().to_owned(),
        _ => String::new(),
    };
    keys.iter().map(value).collect()
}

/// Whether an element has these values. An empty value is matched by a field without text.
fn has(item: &Node, keys: &[&str], values: &[&str]) -> bool {
    item.as_map().is_some_and(|map| {
        keys.iter().zip(values).all(|(key, value)| map.get(key).is_some_and(|it| it.raw_text() == *value))
    })
}

fn merge_elements(
    object: Vec<Node>,
    patch: Option<Vec<Node>>,
    keys: &[String],
    schema: Option<&Schema>,
    path: &mut Path,
) -> Result<Vec<Node>, Problem> {
    let mut identities: Vec<Vec<String>> = Vec::new();
    for item in patch.iter().flatten().chain(&object) {
        let values = key_values(item, keys);
        if !identities.contains(&values) {
            identities.push(values);
        }
    }
    let mut object = object;
    let mut merged: Vec<Node> = Vec::new();
    for identity in &identities {
        let (keys, values) = usable(identity, keys);
        let find = |items: &[Node]| items.iter().find(|item| has(item, &keys, &values)).cloned();
        let mine = find(&object);
        let theirs = patch.as_deref().and_then(find);
        path.push(format!("[{}]", values.join(",")));
        let value = walk(mine.clone(), theirs, schema, path)?;
        path.pop();
        match value {
            Some(value) if !value.is_null_or_empty() => {
                // The element of the object has become the merged one, wherever it stands.
                if let Some(mine) = mine
                    && let Some(at) = object.iter().position(|item| *item == mine)
                {
                    object[at] = value.clone();
                }
                set_element(&mut merged, Some(&value), &keys, &values);
            }
            _ => set_element(&mut object, None, &keys, &values),
        }
    }
    // What is left of the object's elements comes last.
    for identity in &identities {
        let (keys, _) = usable(identity, keys);
        if keys.len() > 1 {
            continue;
        }
        for item in object.clone() {
            let values: Vec<&str> = keys.iter().filter_map(|key| item.get(key)).map(Node::raw_text).collect();
            if values.len() < keys.len() && !merged.contains(&item) {
                merged.push(item);
            } else if values.len() == keys.len() {
                set_element(&mut merged, Some(&item), &keys, &values);
            }
        }
    }
    Ok(merged)
}

/// Replace the elements with these values, or add one; without an element, remove them.
fn set_element(items: &mut Vec<Node>, element: Option<&Node>, keys: &[&str], values: &[&str]) {
    let matches = |item: &Node| {
        item.as_map().is_some_and(|map| {
            keys.iter().zip(values).all(|(key, value)| {
                map.get(key).is_some_and(|it| value.is_empty() || it.raw_text() == *value)
            })
        })
    };
    items.retain(|item| !item.is_null() && !matches!(item, Node::Map(map) if map.is_empty()));
    match element {
        None => items.retain(|item| !matches(item)),
        Some(element) => {
            let mut found = false;
            for item in items.iter_mut() {
                if matches(item) {
                    *item = element.clone();
                    found = true;
                }
            }
            if !found {
                items.push(element.clone());
            }
        }
    }
}
