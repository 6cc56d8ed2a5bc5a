//! Sets of field paths, as `managedFields` holds them (KEP-555, format `FieldsV1`).
//!
//! A set is a tree: at each level the path elements that are members, and those that have a set below. A container
//! can be a member without its content, and the other way round.

use crate::Error;
use crate::value;
use serde_json::{Map, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One step of a path.
#[derive(Debug, Clone)]
pub enum PathElement {
    /// A field of an object or an entry of a map: `f:name`.
    Field(String),
    /// The element of a list that has these field values, ordered by field name: `k:{"name":"x"}`.
    Key(Vec<(String, Value)>),
    /// The element of a set with this value: `v:"x"`.
    Value(Value),
    /// The element of an atomic list at this place: `i:0`.
    Index(i64),
}

/// A path from an object's root.
pub type Path = Vec<PathElement>;

impl PathElement {
    /// A key from its fields, in any order.
    pub fn key(mut fields: Vec<(String, Value)>) -> PathElement {
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        PathElement::Key(fields)
    }

    /// The element as a key of `FieldsV1`.
    fn to_fields_v1(&self) -> String {
        match self {
            PathElement::Field(name) => format!("f:{name}"),
            PathElement::Key(fields) => {
                let fields: Map<String, Value> = fields.iter().cloned().collect();
                format!("k:{}", Value::Object(fields))
            }
            PathElement::Value(value) => format!("v:{value}"),
            PathElement::Index(index) => format!("i:{index}"),
        }
    }

    /// `None` for a kind of element that a later version may bring: it is ignored.
    fn from_fields_v1(text: &str) -> Result<Option<PathElement>, Error> {
        let broken = |problem: &str| Error::FieldsV1(format!("{text:?}: {problem}"));
        let Some((kind, rest)) = text.split_once(':') else { return Err(broken("missing colon")) };
        match kind {
            "f" => Ok(Some(PathElement::Field(rest.to_owned()))),
            "k" => match serde_json::from_str(rest) {
                Ok(Value::Object(fields)) => Ok(Some(PathElement::key(fields.into_iter().collect()))),
                Ok(_) => Err(broken("a key must be an object")),
                Err(error) => Err(broken(&error.to_string())),
            },
            "v" => match serde_json::from_str(rest) {
                Ok(value) => Ok(Some(PathElement::Value(value))),
                Err(error) => Err(broken(&error.to_string())),
            },
            "i" => match rest.parse() {
                Ok(index) => Ok(Some(PathElement::Index(index))),
                Err(_) => Err(broken("an index must be a number")),
            },
            _ => Ok(None),
        }
    }
}

/// As Kubernetes prints it: `.name`, `[name="x",port=80]`, `[="x"]`, `[0]`.
impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathElement::Field(name) => write!(f, ".{name}"),
            PathElement::Key(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={}", value::quoted(value))).collect();
                write!(f, "[{}]", fields.join(","))
            }
            PathElement::Value(value) => write!(f, "[={}]", value::quoted(value)),
            PathElement::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Ord for PathElement {
    fn cmp(&self, other: &Self) -> Ordering {
        use PathElement::{Field, Index, Key};
        match (self, other) {
            (Field(a), Field(b)) => a.cmp(b),
            (Key(a), Key(b)) => {
                let first = a
                    .iter()
                    .zip(b)
                    .map(|((k, a), (l, b))| k.cmp(l).then_with(|| value::compare(a, b)))
                    .find(|order| order.is_ne());
                first.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (PathElement::Value(a), PathElement::Value(b)) => value::compare(a, b),
            (Index(a), Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PathElement {
    fn rank(&self) -> u8 {
        match self {
            PathElement::Field(_) => 0,
            PathElement::Key(_) => 1,
            PathElement::Value(_) => 2,
            PathElement::Index(_) => 3,
        }
    }
}

impl PartialOrd for PathElement {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for PathElement {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for PathElement {}

/// A path as Kubernetes prints it: `.spec.containers[name="x"].image`.
pub fn display(path: &[PathElement]) -> String {
    path.iter().map(PathElement::to_string).collect()
}

/// A set of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldSet {
    members: BTreeSet<PathElement>,
    /// Never holds an empty set.
    children: BTreeMap<PathElement, FieldSet>,
}

impl FieldSet {
    /// The empty set.
    pub fn new() -> FieldSet {
        FieldSet::default()
    }

    /// Whether no path is in the set.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.is_empty()
    }

    /// How many paths are in the set.
    pub fn len(&self) -> usize {
        self.members.len() + self.children.values().map(FieldSet::len).sum::<usize>()
    }

    /// Adds a path. The empty path cannot be a member and is ignored.
    pub fn insert(&mut self, path: &[PathElement]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Whether this very path is in the set.
    pub fn has(&self, path: &[PathElement]) -> bool {
        match path {
            [] => false,
            [last] => self.members.contains(last),
            [first, rest @ ..] => self.children.get(first).is_some_and(|child| child.has(rest)),
        }
    }

    /// Whether this element is a member at the top level.
    pub fn has_member(&self, element: &PathElement) -> bool {
        self.members.contains(element)
    }

    /// The set below an element, if any path goes through it.
    pub fn child(&self, element: &PathElement) -> Option<&FieldSet> {
        self.children.get(element)
    }

    /// The members at the top level, in order.
    pub fn members(&self) -> impl Iterator<Item = &PathElement> {
        self.members.iter()
    }

    /// The elements that paths go through at the top level, with the set below each, in order.
    pub fn children(&self) -> impl Iterator<Item = (&PathElement, &FieldSet)> {
        self.children.iter()
    }

    /// Paths that are in either.
    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.extend(other);
        out
    }

    /// Adds every path of the other.
    pub fn extend(&mut self, other: &FieldSet) {
        self.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().extend(child);
        }
    }

    /// Paths that are in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.intersection(&other.members).cloned().collect();
        let mut children = BTreeMap::new();
        for (element, child) in &self.children {
            if let Some(theirs) = other.children.get(element) {
                let both = child.intersection(theirs);
                if !both.is_empty() {
                    children.insert(element.clone(), both);
                }
            }
        }
        FieldSet { members, children }
    }

    /// Paths that are in this one, but not in the other.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        let mut children = BTreeMap::new();
        for (element, child) in &self.children {
            let rest = match other.children.get(element) {
                Some(theirs) => child.difference(theirs),
                None => child.clone(),
            };
            if !rest.is_empty() {
                children.insert(element.clone(), rest);
            }
        }
        FieldSet { members, children }
    }

    /// Paths that are in this one, but neither in the other nor below a path of the other.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        let mut children = BTreeMap::new();
        for (element, child) in &self.children {
            if other.members.contains(element) {
                continue;
            }
            let rest = match other.children.get(element) {
                Some(theirs) => child.recursive_difference(theirs),
                None => child.clone(),
            };
            if !rest.is_empty() {
                children.insert(element.clone(), rest);
            }
        }
        FieldSet { members, children }
    }

    /// The paths that no other path of the set continues.
    #[must_use]
    pub fn leaves(&self) -> FieldSet {
        let members =
            self.members.iter().filter(|element| !self.children.contains_key(element)).cloned().collect();
        let children =
            self.children.iter().map(|(element, child)| (element.clone(), child.leaves())).collect();
        FieldSet { members, children }
    }

    /// Every path, in order: at each level first the members, then what is below.
    pub fn paths(&self) -> Vec<Path> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Path, out: &mut Vec<Path>) {
        for element in &self.members {
            prefix.push(element.clone());
            out.push(prefix.clone());
            prefix.pop();
        }
        for (element, child) in &self.children {
            prefix.push(element.clone());
            child.collect(prefix, out);
            prefix.pop();
        }
    }

    pub(crate) fn insert_member(&mut self, element: PathElement) {
        self.members.insert(element);
    }

    pub(crate) fn insert_child(&mut self, element: PathElement, child: FieldSet) {
        if !child.is_empty() {
            self.children.entry(element).or_default().extend(&child);
        }
    }

    /// The set as a `fieldsV1` object.
    pub fn to_fields_v1(&self) -> Value {
        Value::Object(self.fields_v1())
    }

    fn fields_v1(&self) -> Map<String, Value> {
        let mut map = Map::new();
        for element in &self.members {
            map.insert(element.to_fields_v1(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            let mut below = child.fields_v1();
            if self.members.contains(element) {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(element.to_fields_v1(), Value::Object(below));
        }
        map
    }

    /// Reads a `fieldsV1` object.
    ///
    /// # Errors
    /// [`Error::FieldsV1`] when an element cannot be read. Unknown kinds of elements are ignored.
    pub fn from_fields_v1(value: &Value) -> Result<FieldSet, Error> {
        let Value::Object(map) = value else {
            return Err(Error::FieldsV1("must be an object".to_owned()));
        };
        let mut set = FieldSet::new();
        for (key, below) in map {
            if key == "." {
                continue;
            }
            let Some(element) = PathElement::from_fields_v1(key)? else { continue };
            let child = FieldSet::from_fields_v1(below)?;
            let is_member = child.is_empty() || below.get(".").is_some();
            if !child.is_empty() {
                set.children.insert(element.clone(), child);
            }
            if is_member {
                set.members.insert(element);
            }
        }
        Ok(set)
    }
}

impl<'a> FromIterator<&'a [PathElement]> for FieldSet {
    fn from_iter<I: IntoIterator<Item = &'a [PathElement]>>(paths: I) -> FieldSet {
        let mut set = FieldSet::new();
        for path in paths {
            set.insert(path);
        }
        set
    }
}

#[cfg(test)]
mod tests;
