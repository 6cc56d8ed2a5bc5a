//! Replacements: a value from one field into others.

use seaway_object::yaml::Limits;

use crate::error::{Error, Place, Problem, Stop};
use crate::field_path::{look_up, split, visit};
use crate::fieldspec::check_depth;
use crate::id::{Gvk, ResId};
use crate::kustomization::{
    FieldOptions, ReplacementField, ReplacementSource, ReplacementTarget, Type, read,
};
use crate::loader::Loader;
use crate::node::{Node, Scalar};
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::selector::{exact, label_selector, selects};

const DEFAULT_FIELD: &str = "metadata.name";

/// The replacements of entries, those in files read.
pub(crate) fn load(
    entries: &[ReplacementField],
    loader: &Loader<'_>,
    place: impl Fn(usize) -> Place,
) -> Result<Vec<(ReplacementField, Place)>, Stop> {
    let mut replacements = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let place = place(index);
        if entry.path.is_empty() {
            replacements.push((entry.clone(), place));
            continue;
        }
        if entry.source.is_some() || entry.targets.is_some() {
            let problem = "cannot specify both path and inline replacement".to_owned();
            return Err(Problem(problem).at(place).into());
        }
        let within = Place { field: format!("{}.path", place.field), ..place };
        let (text, name) = loader.text(&entry.path, &within)?;
        for document in loader.documents(&text, &name)? {
            let value = seaway_object::yaml::resolve(&document, seaway_object::yaml::Dialect::Kubernetes)
                .map_err(|source| Error::Syntax { file: name.clone(), cause: source })?;
            // A file may hold one replacement or a list of them.
            let items = match value {
                serde_json::Value::Array(items) => items,
                one => vec![one],
            };
            for (index, item) in items.iter().enumerate() {
                let place = Place {
                    file: name.clone(),
                    line: Some(document.span.start.line),
                    field: format!("[{index}]"),
                };
                let replacement: ReplacementField =
                    read(item, Type::Replacement).map_err(|problem| problem.at(place.clone()))?;
                replacements.push((replacement, place));
            }
        }
    }
    Ok(replacements)
}

/// Apply one replacement.
pub(crate) fn apply(map: &mut ResMap, replacement: &ReplacementField) -> Result<(), Problem> {
    let targets = replacement.targets.as_ref().filter(|targets| !targets.is_empty());
    let (Some(source), Some(targets)) = (&replacement.source, targets) else {
        return Err(Problem("replacements must specify a source and at least one target".to_owned()));
    };
    let mut value = source_value(map, source)?;
    targets.iter().try_for_each(|target| write(map, &mut value, target))
}

/// What a replacement writes.
struct Value {
    node: Node,
    /// The object that it is a field of and the link of that field. To kustomize it is the field itself: a target that
    /// changes the field changes what later targets get. `None`: it is a part of the field's text.
    source: Option<(usize, u32)>,
}

fn source_value(map: &mut ResMap, source: &ReplacementSource) -> Result<Value, Problem> {
    let wanted = ResId {
        gvk: Gvk { group: source.group.clone(), version: source.version.clone(), kind: source.kind.clone() },
        name: source.name.clone(),
        namespace: source.namespace.clone(),
    };
    let path = if source.field_path.is_empty() { DEFAULT_FIELD } else { &source.field_path };
    let described = format!("{wanted}:{path}");
    let mut found = map.list.iter_mut().enumerate().filter(|(_, resource)| is_selected(resource, &wanted));
    let (at, resource) = found.next().ok_or_else(|| Problem(format!("nothing selected by {described}")))?;
    if found.next().is_some() {
        return Err(Problem(format!("multiple matches for selector {described}")));
    }
    let parts = split(path);
    let value = look_up(&resource.node, &parts)?
        .filter(|node| !node.is_null_or_empty())
        .ok_or_else(|| Problem(format!("fieldPath `{path}` is missing for replacement source {wanted}")))?;
    match &source.options {
        Some(options) if !options.delimiter.is_empty() => {
            let Node::Scalar(scalar) = value else {
                return Err(Problem("delimiter option can only be used with scalar nodes".to_owned()));
            };
            let parts: Vec<&str> = scalar.text.split(options.delimiter.as_str()).collect();
            let part =
                usize::try_from(options.index).ok().and_then(|index| parts.get(index)).ok_or_else(|| {
                    let (index, text) = (options.index, &scalar.text);
                    Problem(format!("options.index {index} is out of bounds for value {text}"))
                })?;
            let part = Scalar { text: (*part).to_owned(), link: 0, ..scalar.clone() };
            Ok(Value { node: Node::Scalar(part), source: None })
        }
        _ => {
            let mut node = value.clone();
            node.unlink();
            let link = resource.link(&parts);
            Ok(Value { node, source: link.map(|link| (at, link)) })
        }
    }
}

/// Whether an object is what a selector names, or was. kustomize takes every kind for a namespaced one here: an object
/// without namespace is in `default`, one outside of namespaces in what it says itself.
fn is_selected(resource: &Resource, wanted: &ResId) -> bool {
    let is_in_namespace = || {
        let namespace = resource.namespace();
        wanted.namespace.is_empty()
            || wanted.namespace == if namespace.is_empty() { "default" } else { namespace }
    };
    let is_now = (wanted.name.is_empty() || wanted.name == resource.name())
        && is_in_namespace()
        && resource.gvk().is_selected_by(&wanted.gvk);
    is_now || resource.previous_ids().any(|id| id.is_selected_by(wanted))
}

fn write(map: &mut ResMap, value: &mut Value, target: &ReplacementTarget) -> Result<(), Problem> {
    let Some(select) = &target.select else {
        return Err(Problem("target must specify resources to select".to_owned()));
    };
    let wanted = exact(select);
    let labels = |text: &str| label_selector(text);
    let (by_label, by_annotation) = (labels(&select.label_selector)?, labels(&select.annotation_selector)?);
    let mut rejected = Vec::new();
    for reject in &target.reject {
        let named = exact(reject);
        let texts = (!reject.label_selector.is_empty() || !reject.annotation_selector.is_empty())
            .then(|| {
                Ok::<_, Problem>((labels(&reject.label_selector)?, labels(&reject.annotation_selector)?))
            })
            .transpose()?;
        rejected.push((named, texts));
    }
    for (at, resource) in map.list.iter_mut().enumerate() {
        if !selects(&by_label, &resource.labels()) || !selects(&by_annotation, &resource.annotations()) {
            continue;
        }
        let is_rejected_by_text = rejected.iter().any(|(_, texts)| {
            texts.as_ref().is_some_and(|(labels, annotations)| {
                selects(labels, &resource.labels()) && selects(annotations, &resource.annotations())
            })
        });
        if is_rejected_by_text {
            continue;
        }
        let is_rejected = rejected.iter().any(|(named, _)| !named.is_empty() && is_selected(resource, named));
        let selected = !is_rejected && is_selected(resource, &wanted);
        if selected {
            let link = value.source.filter(|(source, _)| *source == at).map(|(_, link)| link);
            write_into(resource, &mut value.node, link, target)?;
        }
    }
    Ok(())
}

/// `source`: the link of the value's own field, when it is one of this object.
fn write_into(
    resource: &mut Resource,
    value: &mut Node,
    source: Option<u32>,
    target: &ReplacementTarget,
) -> Result<(), Problem> {
    let id = resource.id();
    let create = target.options.as_ref().is_some_and(|options| options.create);
    let default = [DEFAULT_FIELD.to_owned()];
    let paths = if target.field_paths.is_empty() { &default[..] } else { &target.field_paths };
    for path in paths {
        let lacking = if create { "find or create" } else { "find" };
        let problem = |detail: String| {
            Problem(format!("unable to {lacking} field {path:?} in replacement target {id}{detail}"))
        };
        let mut count = 0;
        // What is one with other fields of the object: see `Scalar::link`.
        let mut linked: Vec<Scalar> = Vec::new();
        let kind = create.then(|| value.kind());
        let mut set = |node: &mut Node| {
            count += 1;
            set_value(node, value, target.options.as_ref())?;
            if let Some(scalar) = node.as_scalar().filter(|scalar| scalar.link != 0) {
                linked.push(scalar.clone());
                if Some(scalar.link) == source {
                    *value = node.clone();
                    value.unlink();
                }
            }
            Ok(())
        };
        let parts = split(path);
        // kustomize has notes of its own in the annotations: where there are some, there are annotations.
        if matches!(parts.as_slice(), [a, b, _, ..] if a == "metadata" && b == "annotations")
            && resource.is_noted()
        {
            resource.ensure_annotations();
        }
        check_depth(&parts)
            .and_then(|()| visit(&mut resource.node, &parts, kind, &mut set))
            .map_err(|Problem(detail)| problem(format!(": {detail}")))?;
        if count == 0 {
            return Err(problem(String::new()));
        }
        resource.node.write_linked(&linked);
        // The value may be what the path leads into: the object would have it twice.
        if value.as_scalar().is_none() && !resource.node.is_within(&Limits::default()) {
            return Err(problem(": the object would be larger or deeper than any that is read".to_owned()));
        }
        if matches!(path.as_str(), "metadata" | "metadata.annotations") {
            resource.forget_notes(true);
        }
    }
    Ok(())
}

fn set_value(node: &mut Node, value: &Node, options: Option<&FieldOptions>) -> Result<(), Problem> {
    let mut value = value.clone();
    if let Some(options) = options.filter(|options| !options.delimiter.is_empty()) {
        let Node::Scalar(scalar) = &*node else {
            return Err(Problem("delimiter option can only be used with scalar nodes".to_owned()));
        };
        let delimiter = options.delimiter.as_str();
        let text = value.raw_text().to_owned();
        let mut parts: Vec<&str> = scalar.text.split(delimiter).collect();
        match usize::try_from(options.index) {
            Err(_) => parts.insert(0, &text),
            Ok(index) if index >= parts.len() => parts.push(&text),
            Ok(index) => parts[index] = &text,
        }
        let joined = parts.join(delimiter);
        // The next path may lead to the value's own field, which then has twice the text.
        let most = Limits::default().bytes;
        if joined.len() > most {
            return Err(Problem(format!("the text would be larger than {most} bytes")));
        }
        match &mut value {
            Node::Scalar(scalar) => scalar.text = joined,
            _ => value = Node::text(joined),
        }
    }
    match node {
        // What was text stays text, what was a number stays one.
        Node::Scalar(scalar) => match value {
            Node::Scalar(new) => scalar.text = new.text,
            _ => scalar.text.clear(),
        },
        node => *node = value,
    }
    Ok(())
}
