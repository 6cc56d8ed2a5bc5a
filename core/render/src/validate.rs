//! What is rendered against the schemas of its kinds: unknown fields and wrong types, where they are written.

mod definitions;
mod locate;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use seaway_merge::check::{unknown_paths, wrong_types};
use seaway_merge::schema::{self, TypeRef};
use seaway_object::{identity, yaml};
use seaway_source::{FileTree, TreePath};
use serde_json::Value;

use crate::error::Place;
use crate::id::split_api_version;
use crate::remote::Remotes;
use crate::request::{Rendered, RenderedObject};
use definitions::Definitions;

/// Something that the schema of an object's kind does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object: kind and name, behind its namespace if it has one.
    pub object: String,
    /// The field (`spec.template.spec.containers[0].imagee`).
    pub field: String,
    /// What is wrong with it: `unknown field`, or which type it should have.
    pub problem: String,
    /// Where it is written: the file, patch or field of a kustomization that last set it.
    pub place: Place,
}

/// What [`validate`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// What is wrong, object by object.
    pub findings: Vec<Finding>,
    /// Objects' kinds that nothing is known of (`example.com/v1 Widget`), so that they were not looked at.
    pub unchecked: BTreeSet<String>,
}

/// Hold objects against the schemas of Kubernetes 1.37 and of the CustomResourceDefinitions that are among them or in
/// files below `definitions`.
///
/// Findings point to what set a field when the rendering was asked to explain itself
/// ([`crate::RenderRequest::explain`]), and to the object's own file otherwise. `tree` and `remotes` are those of the
/// request.
pub fn validate(
    rendered: &Rendered,
    tree: &dyn FileTree,
    remotes: &Remotes,
    definitions: &TreePath,
) -> Validation {
    let mut validation = Validation::default();
    let mut known = Definitions::new(tree, definitions, rendered);
    let mut files = Files { tree, remotes, parsed: HashMap::new() };
    for object in &rendered.objects {
        let value = &object.value;
        let kind = identity::kind(value);
        let (group, version) = split_api_version(identity::api_version(value));
        let found = match schema::for_kind(group, version, kind) {
            Some(ty) => problems(value, &ty),
            None => match known.of(group, version, kind) {
                Some(ty) => custom_problems(value, &ty),
                None => {
                    validation.unchecked.insert(format!("{} {kind}", identity::api_version(value)));
                    continue;
                }
            },
        };
        for (field, problem) in found {
            let place = files.place(object, &field);
            validation.findings.push(Finding { object: called(value), field, problem, place });
        }
    }
    validation
}

fn called(value: &Value) -> String {
    let (kind, name) = (identity::kind(value), identity::name(value));
    match identity::namespace(value) {
        Some(namespace) if !namespace.is_empty() => format!("{kind} {namespace}/{name}"),
        _ => format!("{kind} {name}"),
    }
}

fn problems(value: &Value, ty: &TypeRef) -> Vec<(String, String)> {
    let unknown = unknown_paths(value, ty).into_iter().map(|path| (path, "unknown field".to_owned()));
    let wrong = wrong_types(value, ty);
    let wrong = wrong.into_iter().map(|it| (it.path, format!("must be {}, not {}", it.expected, it.got)));
    unknown.chain(wrong).collect()
}

/// A definition's schema says nothing about what every object has.
fn custom_problems(value: &Value, ty: &TypeRef) -> Vec<(String, String)> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let mut own = object.clone();
    own.remove("apiVersion");
    own.remove("kind");
    let metadata = own.remove("metadata").unwrap_or_default();
    let within = |(path, problem): (String, String)| (format!("metadata.{path}"), problem);
    let mut found: Vec<_> = problems(&metadata, &schema::object_meta()).into_iter().map(within).collect();
    found.extend(problems(&Value::Object(own), ty));
    found
}

/// Files that findings point into, parsed once.
struct Files<'a> {
    tree: &'a dyn FileTree,
    remotes: &'a Remotes,
    parsed: HashMap<String, Vec<Arc<yaml::Node>>>,
}

impl Files<'_> {
    fn documents(&mut self, file: &str) -> &[Arc<yaml::Node>] {
        if !self.parsed.contains_key(file) {
            let documents = self.read(file).unwrap_or_default();
            self.parsed.insert(file.to_owned(), documents);
        }
        self.parsed.get(file).map(Vec::as_slice).unwrap_or_default()
    }

    /// What cannot be read has no lines: the finding names the file all the same.
    fn read(&self, file: &str) -> Option<Vec<Arc<yaml::Node>>> {
        let bytes = match self.remotes.named(file) {
            Some((tree, path)) => tree.read(&path).ok()?,
            None => match self.remotes.file(file) {
                Some(content) => Arc::clone(content),
                None => self.tree.read(&TreePath::new(file).ok()?).ok()?,
            },
        };
        yaml::parse(std::str::from_utf8(&bytes).ok()?, &yaml::Limits::default()).ok()
    }

    /// Where a field of an object is written.
    fn place(&mut self, object: &RenderedObject, field: &str) -> Place {
        let mut suspect = None;
        for step in object.history.iter().rev() {
            let Some(exact) = step.fields.iter().filter_map(|changed| touches(changed, field)).max() else {
                continue;
            };
            for file in &step.files {
                let found = locate::in_any(self.documents(file), field);
                if let Some(line) = found {
                    return Place { line: Some(line), ..Place::file(file.as_str()) };
                }
            }
            if exact {
                return step.place.clone();
            }
            suspect = suspect.or_else(|| Some(step.place.clone()));
        }
        let origin = &object.origin;
        let (line, whole) = locate::from_line(self.documents(&origin.file), origin.line, field);
        match suspect {
            Some(place) if !whole => place,
            _ => Place { line: Some(line).filter(|line| *line > 0), ..Place::file(origin.file.as_str()) },
        }
    }
}

/// Whether a change of one field is one of another: of it or a part of it (`true`), or of what it is a part of.
fn touches(changed: &str, field: &str) -> Option<bool> {
    let below = |whole: &str, part: &str| {
        part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    if below(field, changed) { Some(true) } else { below(changed, field).then_some(false) }
}
