//! Step 2: [`Node`]s to JSON values.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::node::{Node, NodeKind, Position, ScalarStyle};
use super::number::{format_g, from_f64};
use super::scalar::{Scalar, resolve_plain, timestamp};
use super::source_map::{self, SourceMap};
use crate::Error;

/// Who reads the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// As `kubectl apply` and the API server read it (sigs.k8s.io/yaml, that is go-yaml v2): YAML 1.1 booleans, keys
    /// become text, the last of two equal keys wins, a later merge key overrides an earlier key.
    Kubernetes,
    /// As `kustomize build` reads resources (yaml.v3): only `true` and `false` are booleans, a plain timestamp is
    /// written out in RFC 3339, keys must be text, equal keys are an error, explicit keys win over merged ones.
    Kustomize,
}

/// A key that stands in one map twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// JSON pointer of the key.
    pub path: String,
    /// The first place.
    pub first: Position,
    /// The second place.
    pub second: Position,
}

/// A document with its value and everything that one may want to know of it later.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The value.
    pub value: Value,
    /// From the value back to the file.
    pub source_map: SourceMap,
    /// Keys that were overwritten; strict readers refuse them. Always empty in [`Dialect::Kustomize`].
    pub duplicates: Vec<Duplicate>,
}

impl Resolved {
    /// Strict reading: the first duplicate key as an error.
    pub fn reject_duplicates(&self) -> Result<(), Error> {
        match self.duplicates.first() {
            None => Ok(()),
            Some(Duplicate { path, first, second }) => {
                Err(Error::DuplicateKey { key: source_map::last_key(path), first: *first, position: *second })
            }
        }
    }
}

/// The value of a node.
pub fn resolve(node: &Node, dialect: Dialect) -> Result<Value, Error> {
    Resolver { dialect, path: String::new(), duplicates: Vec::new() }.value(node, false)
}

/// The value of a plain scalar, given its text alone: what stands behind `key:` without quotes or tag.
pub fn resolve_plain_text(text: &str, dialect: Dialect) -> Result<Value, Error> {
    plain_value(resolve_plain(text, dialect), text, dialect, Position::START)
}

/// The value of a document, with the way back to its text.
pub fn resolve_document(document: &Arc<Node>, dialect: Dialect) -> Result<Resolved, Error> {
    let mut resolver = Resolver { dialect, path: String::new(), duplicates: Vec::new() };
    let value = resolver.value(document, false)?;
    let source_map = SourceMap::new(Arc::clone(document), dialect);
    Ok(Resolved { value, source_map, duplicates: resolver.duplicates })
}

struct Resolver {
    dialect: Dialect,
    path: String,
    duplicates: Vec<Duplicate>,
}

impl Resolver {
    fn value(&mut self, node: &Node, in_flow: bool) -> Result<Value, Error> {
        match &node.kind {
            NodeKind::Scalar { text, .. } => {
                // kustomize writes a resource out once before it reads it for good, and `{a: }` comes back as `{a: ""}`.
                if in_flow && self.dialect == Dialect::Kustomize && node.is_empty_scalar() {
                    return Ok(Value::from(""));
                }
                scalar_value(node, text, self.dialect)
            }
            NodeKind::Sequence { items, flow } => {
                let length = self.path.len();
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    source_map::push(&mut self.path, &index.to_string());
                    values.push(self.value(item, *flow || in_flow)?);
                    self.path.truncate(length);
                }
                Ok(Value::Array(values))
            }
            NodeKind::Mapping { flow, .. } => {
                let mut object = Map::new();
                match self.dialect {
                    Dialect::Kubernetes => self.fill_in_order(node, &mut object)?,
                    Dialect::Kustomize => self.fill_explicit_first(node, &mut object, *flow || in_flow)?,
                }
                Ok(Value::Object(object))
            }
        }
    }

    /// go-yaml v2: keys and merges take effect in file order, the last one wins.
    fn fill_in_order(&mut self, node: &Node, object: &mut Map<String, Value>) -> Result<(), Error> {
        let NodeKind::Mapping { entries, .. } = &node.kind else {
            return Err(Error::Merge { position: node.span.start });
        };
        // Made for the first key that is there already, which may be a merged one: most maps have none.
        let mut seen: Option<HashMap<String, Position>> = None;
        for (index, (key, value)) in entries.iter().enumerate() {
            if is_merge_key(key) {
                for source in merge_sources(value)?.into_iter().rev() {
                    self.fill_in_order(source, object)?;
                }
                continue;
            }
            let name = key_text(key, self.dialect)?;
            let length = self.path.len();
            source_map::push(&mut self.path, &name);
            if seen.is_some() || object.contains_key(&name) {
                let seen = seen.get_or_insert_with(|| own_keys(&entries[..index], self.dialect));
                if let Some(first) = seen.insert(name.clone(), key.span.start) {
                    self.duplicates.push(Duplicate {
                        path: self.path.clone(),
                        first,
                        second: key.span.start,
                    });
                }
            }
            let value = self.value(value, false)?;
            self.path.truncate(length);
            object.insert(name, value);
        }
        Ok(())
    }

    /// yaml.v3: explicit keys first, merges fill what is missing, earlier sources before later ones.
    fn fill_explicit_first(
        &mut self,
        node: &Node,
        object: &mut Map<String, Value>,
        in_flow: bool,
    ) -> Result<(), Error> {
        let NodeKind::Mapping { entries, .. } = &node.kind else {
            return Err(Error::Merge { position: node.span.start });
        };
        let mut seen: HashMap<String, Position> = HashMap::with_capacity(entries.len());
        let mut merge: Option<(&Node, &Node)> = None;
        for (key, value) in entries {
            let is_merge = is_merge_key(key);
            let name = if is_merge { "<<".to_owned() } else { key_text(key, self.dialect)? };
            if let Some(first) = seen.insert(name.clone(), key.span.start) {
                return Err(Error::DuplicateKey { key: name, first, position: key.span.start });
            }
            if is_merge {
                merge = Some((key, value));
            } else if !object.contains_key(&name) {
                let value = self.value(value, in_flow)?;
                object.insert(name, value);
            }
        }
        if let Some((_, value)) = merge {
            for source in merge_sources(value)? {
                self.fill_explicit_first(source, object, in_flow)?;
            }
        }
        Ok(())
    }
}

/// The keys of entries, without merged ones, each with its last place.
fn own_keys(entries: &[(Arc<Node>, Arc<Node>)], dialect: Dialect) -> HashMap<String, Position> {
    let own = entries.iter().filter(|(key, _)| !is_merge_key(key));
    own.filter_map(|(key, _)| Some((key_text(key, dialect).ok()?, key.span.start))).collect()
}

/// Whether a key is this text, once it is text.
fn has_text(key: &Node, name: &str, dialect: Dialect) -> bool {
    match &key.kind {
        NodeKind::Scalar { text, style }
            if key.tag.is_none()
                && (*style != ScalarStyle::Plain || resolve_plain(text, dialect) == Scalar::Text)
                && *style != ScalarStyle::Folded =>
        {
            **text == *name
        }
        _ => key_text(key, dialect).is_ok_and(|text| text == name),
    }
}

/// A plain `<<`; a quoted one is an ordinary key.
pub(super) fn is_merge_key(key: &Node) -> bool {
    matches!(&key.kind, NodeKind::Scalar { text, style: ScalarStyle::Plain } if &**text == "<<")
        && key.tag.as_deref().is_none_or(|tag| tag == "tag:yaml.org,2002:merge")
}

/// The maps that `<<` names, the strongest first.
pub(super) fn merge_sources(value: &Node) -> Result<Vec<&Node>, Error> {
    let is_map = |node: &Node| matches!(node.kind, NodeKind::Mapping { .. });
    match &value.kind {
        NodeKind::Mapping { .. } => Ok(vec![value]),
        NodeKind::Sequence { items, .. } => items
            .iter()
            .map(
                |item| {
                    if is_map(item) { Ok(&**item) } else { Err(Error::Merge { position: item.span.start }) }
                },
            )
            .collect(),
        NodeKind::Scalar { .. } => Err(Error::Merge { position: value.span.start }),
    }
}

/// A key as JSON needs it: text.
pub(super) fn key_text(key: &Node, dialect: Dialect) -> Result<String, Error> {
    let position = key.span.start;
    let NodeKind::Scalar { text, .. } = &key.kind else {
        return Err(Error::Key { message: "a map or a list cannot be a key".to_owned(), position });
    };
    let scalar = meaning(key, text, dialect)?;
    if dialect == Dialect::Kustomize && !matches!(scalar, Meaning::Text(_)) {
        let message = format!("kustomize takes only text as a key: write \"{text}\" in quotes");
        return Err(Error::Key { message, position });
    }
    Ok(match scalar {
        Meaning::Text(text) => text,
        Meaning::Other(Scalar::Bool(value)) => value.to_string(),
        Meaning::Other(Scalar::Int(value)) => value.to_string(),
        Meaning::Other(Scalar::Uint(value)) => value.to_string(),
        Meaning::Other(Scalar::Float(value)) if value.is_nan() => ".nan".to_owned(),
        Meaning::Other(Scalar::Float(value)) if value.is_infinite() => {
            if value > 0.0 { ".inf" } else { "-.inf" }.to_owned()
        }
        Meaning::Other(Scalar::Float(value)) => format_g(value, true),
        Meaning::Other(Scalar::Timestamp(_) | Scalar::Text) => text.to_string(),
        Meaning::Other(Scalar::Null) => {
            return Err(Error::Key {
                message: "null cannot be a key: write it in quotes".to_owned(),
                position,
            });
        }
    })
}

enum Meaning {
    Text(String),
    Other(Scalar),
}

fn scalar_value(node: &Node, text: &str, dialect: Dialect) -> Result<Value, Error> {
    match meaning(node, text, dialect)? {
        Meaning::Text(text) => Ok(Value::String(text)),
        Meaning::Other(scalar) => plain_value(scalar, text, dialect, node.span.start),
    }
}

fn plain_value(scalar: Scalar, text: &str, dialect: Dialect, position: Position) -> Result<Value, Error> {
    Ok(match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Int(value) => Value::from(value),
        Scalar::Uint(value) => Value::from(value),
        Scalar::Float(value) => from_f64(value).ok_or_else(|| Error::Scalar {
            message: format!("{text} has no JSON value: quote it if it is meant as text"),
            position,
        })?,
        Scalar::Timestamp(rfc3339) => Value::String(match dialect {
            Dialect::Kubernetes => text.to_owned(),
            Dialect::Kustomize => rfc3339,
        }),
        Scalar::Text => Value::from(text),
    })
}

fn meaning(node: &Node, text: &str, dialect: Dialect) -> Result<Meaning, Error> {
    let NodeKind::Scalar { style, .. } = &node.kind else { return Ok(Meaning::Text(text.to_owned())) };
    let core = match node.tag.as_deref() {
        // The non-specific tag `!` makes text of everything for go-yaml v2, and nothing of it for yaml.v3.
        Some("!") if dialect == Dialect::Kubernetes => return Ok(Meaning::Text(text.to_owned())),
        None | Some("!") if *style == ScalarStyle::Plain => {
            return Ok(match resolve_plain(text, dialect) {
                Scalar::Text => Meaning::Text(text.to_owned()),
                scalar => Meaning::Other(scalar),
            });
        }
        None | Some("!") if *style == ScalarStyle::Folded && dialect == Dialect::Kustomize => {
            return Ok(Meaning::Text(refolded(text)));
        }
        None | Some("!") => return Ok(Meaning::Text(text.to_owned())),
        Some(tag) => tag.strip_prefix("tag:yaml.org,2002:"),
    };
    let Some(core) = core else { return Ok(Meaning::Text(text.to_owned())) };
    let fail = |message: String| Error::Scalar { message, position: node.span.start };
    match core {
        "binary" => decode_base64(text)
            .map(|bytes| Meaning::Text(String::from_utf8_lossy(&bytes).into_owned()))
            .ok_or_else(|| fail("!!binary value contains invalid base64 data".to_owned())),
        "null" | "bool" | "int" | "float" | "timestamp" => {
            let scalar = match resolve_plain(text, dialect) {
                // Only untagged scalars and !!timestamp are tried as timestamps.
                Scalar::Timestamp(_) if core != "timestamp" => Scalar::Text,
                Scalar::Int(value) if core == "float" => Scalar::Float(value as f64),
                Scalar::Uint(value) if core == "float" => Scalar::Float(value as f64),
                Scalar::Text if core == "timestamp" => {
                    timestamp(text).map_or(Scalar::Text, Scalar::Timestamp)
                }
                scalar => scalar,
            };
            if scalar.tag().strip_prefix("!!") != Some(core) {
                return Err(fail(format!("cannot decode {} `{text}` as a !!{core}", scalar.tag())));
            }
            Ok(Meaning::Other(scalar))
        }
        // !!str, and tags that nobody knows.
        _ => Ok(Meaning::Text(text.to_owned())),
    }
}

/// What becomes of a folded scalar (`>`) when yaml.v3 writes it out and reads it again, as kustomize does with every
/// resource: it adds a line break to those that folding cannot swallow, before indented lines and at the end. Whether it
/// does so at all depends on the first character of the text.
fn refolded(text: &str) -> String {
    let doubled = !text.trim_start_matches('\n').starts_with([' ', '\t']) && text.contains(|c| c != '\n');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // The line before the line breaks started with a blank; the start of the text counts as such a line.
    let mut indented = true;
    while !rest.is_empty() {
        let line = rest.find('\n').unwrap_or(rest.len());
        if line > 0 {
            indented = rest.starts_with([' ', '\t']);
        }
        out.push_str(&rest[..line]);
        rest = &rest[line..];
        let after = rest.trim_start_matches('\n');
        let breaks = rest.len() - after.len();
        rest = after;
        let written = if indented || !doubled { breaks } else { breaks + 1 };
        let swallowed = match after.chars().next() {
            // Chomping: one line break stays as it is, more are kept all.
            None => usize::from(breaks == 1 && written > breaks),
            Some(' ' | '\t') => 0,
            Some(_) if indented => 0,
            Some(_) => 1,
        };
        if breaks > 0 {
            match written - swallowed {
                0 => out.push(' '),
                kept => out.extend(std::iter::repeat_n('\n', kept)),
            }
        }
    }
    out
}

/// Base64 with padding, line breaks allowed, as Go's `base64.StdEncoding`.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut sextets, mut padding) = (0u32, 0, 0);
    for byte in text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')) {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if sextets >= 2 => {
                padding += 1;
                0
            }
            _ => return None,
        };
        if padding > 0 && byte != b'=' {
            return None;
        }
        bits = bits << 6 | u32::from(sextet);
        sextets += 1;
        if sextets == 4 {
            let [_, a, b, c] = bits.to_be_bytes();
            bytes.extend_from_slice(&[a, b, c][..3 - padding]);
            (bits, sextets) = (0, if padding > 0 { 5 } else { 0 });
        } else if sextets > 4 {
            return None;
        }
    }
    matches!(sextets, 0 | 5).then_some(bytes)
}

/// The entry of a map that decided the value of `name`: what a source map points to.
pub(super) fn winning_entry<'a>(
    node: &'a Node,
    name: &str,
    dialect: Dialect,
) -> Option<(&'a Node, &'a Node)> {
    let mut visited = HashSet::new();
    find(node, name, dialect, &mut visited)
}

fn find<'a>(
    node: &'a Node,
    name: &str,
    dialect: Dialect,
    visited: &mut HashSet<*const Node>,
) -> Option<(&'a Node, &'a Node)> {
    let NodeKind::Mapping { entries, .. } = &node.kind else { return None };
    let mut merged = None;
    let mut found: Option<(&Node, &Node)> = None;
    for (key, value) in entries {
        if is_merge_key(key) {
            for source in merge_sources(value).unwrap_or_default() {
                if !visited.insert(source) {
                    continue;
                }
                let hit = find(source, name, dialect, visited);
                visited.remove(&(source as *const Node));
                if hit.is_some() {
                    merged = hit;
                    if dialect == Dialect::Kubernetes {
                        found = hit;
                    }
                    break;
                }
            }
        } else if has_text(key, name, dialect) {
            found = Some((key, value));
        }
    }
    found.or(merged)
}
