//! Fields that transformers change: a path, and the kinds that have it.

use seaway_object::yaml::Limits;

use crate::error::Problem;
use crate::id::{Gvk, split_api_version};
use crate::node::{Kind, Node, Tag};

/// A field of some kinds of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSpec {
    /// The kinds; empty parts match any.
    pub(crate) gvk: Gvk,
    /// The path as it is written: `/` separates, `\/` is a slash within a name, `[]` says that a part is a list.
    pub(crate) path: String,
    /// Make the field when it is missing.
    pub(crate) create: bool,
    parts: Vec<String>,
}

impl FieldSpec {
    pub(crate) fn new(gvk: Gvk, path: &str, create: bool) -> Self {
        Self { gvk, parts: split_path(path.strip_prefix('/').unwrap_or(path)), path: path.to_owned(), create }
    }

    /// The same field, made when it is missing.
    pub(crate) fn creating(&self) -> Self {
        Self { create: true, ..self.clone() }
    }

    /// Whether `other` says nothing new: it selects this one and names the same path.
    fn is_covered_by(&self, other: &FieldSpec) -> bool {
        self.gvk.is_selected_by(&other.gvk) && self.path == other.path
    }

    /// Call `set` with every node that the path leads to. `create` is the kind of a field that is made.
    ///
    /// Lists on the way are entered whether the path says `[]` or not.
    pub(crate) fn apply(
        &self,
        object: &mut Node,
        create: Option<Kind>,
        set: &mut dyn FnMut(&mut Node) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        if !self.is_for(object) {
            return Ok(());
        }
        self.apply_to_any(object, create.filter(|_| self.create), set)
    }

    /// Whether the object is of a kind that has the field.
    fn is_for(&self, object: &Node) -> bool {
        let matches = |wanted: &str, mine: &str| wanted.is_empty() || wanted == mine;
        let text = |field: &str| object.get(field).map_or("", Node::raw_text);
        if !matches(&self.gvk.kind, text("kind")) {
            return false;
        }
        if self.gvk.group.is_empty() && self.gvk.version.is_empty() {
            return true;
        }
        let (group, version) = split_api_version(text("apiVersion"));
        matches(&self.gvk.group, group) && matches(&self.gvk.version, version)
    }

    /// As [`FieldSpec::apply`], whatever kind the object is of now.
    pub(crate) fn apply_to_any(
        &self,
        object: &mut Node,
        create: Option<Kind>,
        set: &mut dyn FnMut(&mut Node) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        check_depth(&self.parts)
            .and_then(|()| self.visit(object, &self.parts, create, set))
            .map_err(|Problem(problem)| Problem(format!("field {}: {problem}", self.path)))
    }

    fn visit(
        &self,
        node: &mut Node,
        parts: &[String],
        create: Option<Kind>,
        set: &mut dyn FnMut(&mut Node) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let Some((part, rest)) = parts.split_first() else { return set(node) };
        match node {
            null if null.is_null() => Ok(()),
            Node::Seq(items) => items.iter_mut().try_for_each(|item| self.visit(item, parts, create, set)),
            Node::Map(map) => {
                let (name, is_list) = match part.strip_suffix("[]") {
                    Some(name) => (name, true),
                    None => (part.as_str(), false),
                };
                if name.is_empty() {
                    return Err(Problem("cannot set or create an empty field name".to_owned()));
                }
                let kind = match create {
                    _ if is_list => None,
                    Some(kind) if rest.is_empty() => Some(kind),
                    Some(_) => Some(Kind::Map),
                    None => None,
                };
                let field = match kind {
                    Some(kind) => map.entry(name, kind),
                    None => match map.get_mut(name) {
                        Some(field) => field,
                        None => return Ok(()),
                    },
                };
                if field.is_null()
                    && let Some(kind) = kind.or(is_list.then_some(Kind::Seq))
                {
                    match field {
                        // The word stays, and is a text from now on.
                        Node::Scalar(null) if kind == Kind::Scalar && !null.text.is_empty() => {
                            null.tag = Tag::Implicit;
                        }
                        _ => *field = kind.empty(),
                    }
                }
                self.visit(field, rest, create, set)
            }
            Node::Scalar(_) => {
                Err(Problem(format!("expected a list or a map before {name}, found a scalar", name = part)))
            }
        }
    }
}

/// Add what `incoming` has and `specs` lacks.
pub(crate) fn merge_specs(specs: &mut Vec<FieldSpec>, incoming: &[FieldSpec]) -> Result<(), Problem> {
    incoming.iter().try_for_each(|spec| merge_spec(specs, spec))
}

pub(crate) fn merge_spec(specs: &mut Vec<FieldSpec>, spec: &FieldSpec) -> Result<(), Problem> {
    match specs.iter().find(|known| known.is_covered_by(spec)) {
        None => specs.push(spec.clone()),
        Some(known) if known.create == spec.create => {}
        Some(_) => {
            return Err(Problem(format!(
                "conflicting fieldspecs for {}: another one for the same field says create: {}",
                spec.path, !spec.create
            )));
        }
    }
    Ok(())
}

/// Refuse a path that leads deeper than objects can be.
pub(crate) fn check_depth(parts: &[String]) -> Result<(), Problem> {
    let (count, most) = (parts.len(), Limits::default().depth);
    if count > most {
        return Err(Problem(format!("the path has {count} parts, more than {most}")));
    }
    Ok(())
}

/// Split at `/`, except where a backslash stands before it.
fn split_path(path: &str) -> Vec<String> {
    split_escaped(path, '/')
}

/// Split at a separator, except where a backslash stands before it.
pub(crate) fn split_escaped(path: &str, separator: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in path.split(separator) {
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(separator);
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    parts
}
