//! Patches: strategic merge and JSON 6902, inline or from files.

use std::sync::Arc;

use seaway_object::yaml::{self, Dialect, Limits, NodeKind};
use serde_json::Value;

use crate::error::{Error, Place, Problem, Stop};
use crate::json_patch::{self, Operation};
use crate::kustomization::{Patch, Target};
use crate::loader::{Loader, parse};
use crate::merge2::Merging;
use crate::node::{Kind, Node};
use crate::objects;
use crate::resmap::{ResMap, patch_resource};
use crate::resource::Resource;
use crate::selector::Selector;

/// What a patch's text holds.
#[derive(Debug)]
enum Content {
    Merge(Vec<Resource>),
    Json(Vec<Operation>),
    /// As an entry of `patchesJson6902`: who the object was is not remembered.
    ForgetfulJson(Vec<Operation>),
}

/// A patch, read.
#[derive(Debug)]
pub(crate) struct ReadPatch {
    content: Content,
    target: Option<Selector>,
}

impl ReadPatch {
    /// Read an entry of `patches`. It must hold either merge patches or one JSON patch.
    pub(crate) fn new(patch: &Patch, loader: &Loader<'_>, place: &Place) -> Result<Self, Stop> {
        let (text, name) = text_of(&patch.patch, &patch.path, "patch", loader, place)?;
        let target = target(patch.target.as_ref(), place)?;
        let (merge, json) = read_both(&text, &name);
        let content = match (merge, json) {
            // A file without a character counts as a JSON patch without operations, one with nothing but comments as
            // either.
            (Ok(_), None) if text.is_empty() => Content::Json(Vec::new()),
            (Ok(_), None) if is_blank(&text) => {
                let problem = format!("{name} qualifies as both a merge and a JSON patch: it holds nothing");
                return Err(Problem(problem).at(place.clone()).into());
            }
            (Ok(patches), None) => Content::Merge(patches),
            (Err(_), Some(Ok(operations))) => Content::Json(operations),
            (Ok(_), Some(_)) => {
                let problem = format!("{name} qualifies as both a merge and a JSON patch: split it");
                return Err(Problem(problem).at(place.clone()).into());
            }
            (Err(_), Some(Err(Problem(problem)))) | (Err(Problem(problem)), None) => {
                let problem = format!("unable to parse SM or JSON patch from {name}: {problem}");
                return Err(Problem(problem).at(place.clone()).into());
            }
        };
        let content = match content {
            Content::Merge(patches) if patches.len() > 1 && target.is_some() => {
                let problem = "Multiple Strategic-Merge Patches in one `patches` entry is not allowed to set \
                               `patches.target` field: make an entry of each";
                return Err(Problem(problem.to_owned()).at(place.clone()).into());
            }
            Content::Merge(mut patches) => {
                let on = |option: &str| patch.options.get(option).copied().unwrap_or_default();
                for one in &mut patches {
                    one.may_rename = on("allowNameChange");
                    one.may_change_kind = on("allowKindChange");
                    // kustomize notes that in the patch's own annotations.
                    if one.may_rename || one.may_change_kind {
                        one.settle_texts("annotations");
                    }
                }
                Content::Merge(patches)
            }
            json => json,
        };
        Ok(Self { content, target })
    }

    /// Read an entry of `patchesJson6902`.
    pub(crate) fn json(patch: &Patch, loader: &Loader<'_>, place: &Place) -> Result<Self, Stop> {
        let (text, name) = text_of(&patch.patch, &patch.path, "patch", loader, place)?;
        let fail = |problem: String| Stop::from(Problem(problem).at(place.clone()));
        let operations = match json_operations(&text) {
            Some(Ok(operations)) if operations.is_empty() => {
                return Err(fail(format!("{name}: patch appears to be empty")));
            }
            Some(Ok(operations)) => operations,
            Some(Err(Problem(problem))) => return Err(fail(format!("{name}: {problem}"))),
            None => return Err(fail(format!("{name} is no JSON patch: a list of operations is needed"))),
        };
        let Some(exact) = &patch.target else { return Err(fail("must specify the target field".to_owned())) };
        if exact.name.is_empty() {
            return Err(fail("must specify the target name".to_owned()));
        }
        Ok(Self { content: Content::ForgetfulJson(operations), target: target(Some(exact), place)? })
    }

    /// Whether the patch has a target, and no object is one. kustomize says nothing then.
    pub(crate) fn misses(&self, map: &ResMap) -> bool {
        self.target.as_ref().is_some_and(|target| map.select(target).is_empty())
    }

    pub(crate) fn apply(&self, map: &mut ResMap, merging: &Merging) -> Result<(), Problem> {
        match &self.content {
            Content::Merge(patches) => {
                for patch in patches {
                    match &self.target {
                        None => {
                            let index = map.by_any_id(&patch.original_id())?;
                            patch_resource(&mut map.list[index], patch, merging)?;
                        }
                        Some(target) => {
                            let selected = map.select(target);
                            map.patch_selected(&selected, patch, merging)?;
                        }
                    }
                }
                Ok(())
            }
            Content::Json(operations) | Content::ForgetfulJson(operations) => {
                let Some(target) = &self.target else {
                    return Err(Problem("must specify a target for a JSON patch".to_owned()));
                };
                let remembers = matches!(self.content, Content::Json(_));
                for index in map.select(target) {
                    if remembers {
                        map.list[index].remember_id();
                    }
                    apply_json(&mut map.list[index], operations)?;
                }
                Ok(())
            }
        }
    }
}

/// `patchesStrategicMerge`: every entry is a path, or a patch.
pub(crate) fn strategic_merge(
    entries: &[String],
    loader: &Loader<'_>,
    place: impl Fn(usize) -> Place,
) -> Result<Vec<ReadPatch>, Stop> {
    let mut read = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let place = place(index);
        let patches = match merge_patches(entry, &place.file) {
            Ok(patches) => patches,
            Err(_) => {
                let (text, name) = loader.text(entry, &place)?;
                merge_patches(&text, &name).map_err(|problem| problem.at(place.clone()))?
            }
        };
        for patch in patches {
            // Each of them must find its target, and is copied before it is applied.
            read.push((patch, place.clone()));
        }
    }
    if read.is_empty() {
        return Err(Problem("patch appears to be empty".to_owned()).at(place(0)).into());
    }
    Ok(read
        .into_iter()
        .map(|(patch, _)| ReadPatch { content: Content::Merge(vec![patch]), target: None })
        .collect())
}

/// As [`ReadPatch::apply`], for entries of `patchesStrategicMerge`.
pub(crate) fn apply_named(patch: &ReadPatch, map: &mut ResMap, merging: &Merging) -> Result<(), Problem> {
    let Content::Merge(patches) = &patch.content else { return Ok(()) };
    for patch in patches {
        let index = map.by_any_id(&patch.original_id())?;
        map.patch_selected(&[index], patch, merging)?;
    }
    Ok(())
}

fn target(target: Option<&Target>, place: &Place) -> Result<Option<Selector>, Error> {
    let within = Place { field: format!("{}.target", place.field), ..place.clone() };
    target.map(|target| Selector::new(target).map_err(|problem| problem.at(within))).transpose()
}

/// The text of something that is either inline or in a file, and what it is called.
pub(crate) fn text_of(
    inline: &str,
    path: &str,
    what: &str,
    loader: &Loader<'_>,
    place: &Place,
) -> Result<(String, String), Stop> {
    let inline = inline.trim();
    match (inline.is_empty(), path.is_empty()) {
        (true, true) => Err(Problem(format!("must specify one of {what} and path")).at(place.clone()).into()),
        (false, false) => {
            let problem = format!("{what} and path can't be set at the same time");
            Err(Problem(problem).at(place.clone()).into())
        }
        (false, true) => Ok((inline.to_owned(), format!("the {what} in {place}"))),
        (true, false) => {
            let within = Place { field: format!("{}.path", place.field), ..place.clone() };
            loader.text(path, &within)
        }
    }
}

pub(crate) fn merge_patches(text: &str, name: &str) -> Result<Vec<Resource>, Problem> {
    objects::check_separators(text, name)?;
    let documents = parse(text, name, &Limits::default()).map_err(|error| Problem(error.to_string()))?;
    objects::read(documents, name)
}

/// Whether a text holds nothing but comments and lines between documents.
fn is_blank(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line.starts_with("---"))
}

/// The operations of a JSON patch; `None` when a text is none.
type Operations = Option<Result<Vec<Operation>, Problem>>;

/// A text as merge patches, and as a JSON patch.
fn read_both(text: &str, name: &str) -> (Result<Vec<Resource>, Problem>, Operations) {
    if let Err(problem) = objects::check_separators(text, name) {
        return (Err(problem), json_operations(text));
    }
    match parse(text, name, &Limits::default()) {
        Ok(documents) => {
            let json = operations_of(text, &documents);
            (objects::read(documents, name), json)
        }
        Err(error) => (Err(Problem(error.to_string())), operations_of(text, &[])),
    }
}

fn json_operations(text: &str) -> Operations {
    operations_of(text, &parse(text, "", &Limits::default()).unwrap_or_default())
}

/// The operations that a text holds, whose documents are parsed. One that begins with `[` must be JSON.
fn operations_of(text: &str, documents: &[Arc<yaml::Node>]) -> Operations {
    if text.starts_with('[') {
        return match serde_json::from_str(text) {
            Ok(value) => json_patch::parse(&value),
            Err(error) => Some(Err(Problem(format!("not valid JSON: {error}")))),
        };
    }
    let list = documents.first().filter(|node| matches!(node.kind, NodeKind::Sequence { .. }))?;
    json_patch::parse(&yaml::resolve(list, Dialect::Kubernetes).ok()?)
}

fn apply_json(resource: &mut Resource, operations: &[Operation]) -> Result<(), Problem> {
    let id = resource.id();
    let is_noted = resource.is_noted();
    let fail = |Problem(problem): Problem| Problem(format!("{id}: {problem}"));
    // kustomize keeps notes in the annotations while it works: then there are some to add to.
    if is_noted {
        resource.ensure_annotations();
    }
    let node = std::mem::replace(&mut resource.node, Kind::Map.empty());
    let mut value =
        node.into_value().map_err(|(field, problem)| fail(Problem(format!("{field}: {problem}"))))?;
    json_patch::apply(&mut value, operations).map_err(fail)?;
    if operations.iter().any(|operation| operation.replaces(&["metadata", "annotations"])) {
        resource.forget_notes(false);
    }
    as_go_reads(&mut value);
    if !value.is_object() {
        return Err(fail(Problem("the patch leaves no object".to_owned())));
    }
    resource.node = Node::from_value(&value);
    resource.settle_texts("annotations");
    Ok(())
}

/// What a patched object is when Go has read it back from JSON: every number is a float, which has 53 bits.
fn as_go_reads(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(as_go_reads),
        Value::Object(object) => object.values_mut().for_each(as_go_reads),
        Value::Number(number) if number.as_i64().is_none_or(|it| it.unsigned_abs() > 1 << 53) => {
            let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0) else { return };
            let digits = format!("{float}");
            if let Ok(signed) = digits.parse::<i64>() {
                *value = Value::from(signed);
            } else if let Ok(unsigned) = digits.parse::<u64>() {
                *value = Value::from(unsigned);
            }
        }
        _ => {}
    }
}
