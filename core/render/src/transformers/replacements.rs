//! Replacements: a value from one field into others.

use crate::error::{Error, Place, Problem, Stop};
use crate::fieldspec::split_escaped;
use crate::id::{Gvk, ResId};
use crate::kustomization::{FieldOptions, ReplacementField, ReplacementSource, ReplacementTarget, read};
use crate::loader::Loader;
use crate::node::{Kind, Node, Scalar};
use crate::resmap::ResMap;
use crate::resource::Resource;
use crate::selector::{exact, label_selector, regex, selects};

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
                    read(item).map_err(|problem| problem.at(place.clone()))?;
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
    let value = source_value(map, source)?;
    targets.iter().try_for_each(|target| write(map, &value, target))
}

fn source_value(map: &ResMap, source: &ReplacementSource) -> Result<Node, Problem> {
    let wanted = ResId {
        gvk: Gvk { group: source.group.clone(), version: source.version.clone(), kind: source.kind.clone() },
        name: source.name.clone(),
        namespace: source.namespace.clone(),
    };
    let path = if source.field_path.is_empty() { DEFAULT_FIELD } else { &source.field_path };
    let described = format!("{wanted}:{path}");
    let mut found = map.list.iter().filter(|resource| is_selected(resource, &wanted));
    let resource = found.next().ok_or_else(|| Problem(format!("nothing selected by {described}")))?;
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
            Ok(Node::Scalar(Scalar { text: (*part).to_owned(), ..scalar.clone() }))
        }
        _ => Ok(value.clone()),
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

fn write(map: &mut ResMap, value: &Node, target: &ReplacementTarget) -> Result<(), Problem> {
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
    for resource in &mut map.list {
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
            write_into(resource, value, target)?;
        }
    }
    Ok(())
}

fn write_into(resource: &mut Resource, value: &Node, target: &ReplacementTarget) -> Result<(), Problem> {
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
        let mut set = |node: &mut Node| {
            count += 1;
            set_value(node, value, target.options.as_ref())
        };
        let kind = create.then(|| value.kind());
        visit(&mut resource.node, &split(path), kind, &mut set)
            .map_err(|Problem(detail)| problem(format!(": {detail}")))?;
        if count == 0 {
            return Err(problem(String::new()));
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

/// A field path: dots separate, `\.` is a dot in a name, `[a.b]` is one name, `[name=x]` selects list elements.
pub(crate) fn split(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut pieces = split_escaped(path, '.').into_iter();
    while let Some(piece) = pieces.next() {
        if !piece.starts_with('[') || piece.ends_with(']') {
            parts.push(piece);
            continue;
        }
        let mut bracketed = piece;
        for next in pieces.by_ref() {
            bracketed.push('.');
            bracketed.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        if bracketed.contains('=') {
            parts.push(bracketed);
        } else {
            parts.push(bracketed.trim_matches(['[', ']']).to_owned());
        }
    }
    parts
}

/// `[field=value]` or `[=value]`.
fn element(part: &str) -> Result<Option<(&str, &str)>, Problem> {
    match part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        None => Ok(None),
        Some(inner) => inner.split_once('=').map(Some).ok_or_else(|| {
            Problem(format!(
                "{part}: list path element must contain fieldName=fieldValue for element to match"
            ))
        }),
    }
}

fn wrong(part: &str, node: &Node, wanted: &str) -> Problem {
    Problem(format!("{part}: expected {wanted}, found {}", node.kind().name()))
}

/// The one node that a path leads to. Elements are found by exact values here.
pub(crate) fn look_up<'a>(node: &'a Node, path: &[String]) -> Result<Option<&'a Node>, Problem> {
    let mut node = node;
    for part in path.iter().filter(|part| !part.trim().is_empty()) {
        let part = part.trim();
        if node.is_null() {
            return Ok(None);
        }
        let list = || node.as_seq().ok_or_else(|| wrong(part, node, "a list"));
        let next = if let Ok(index) = part.parse::<i64>() {
            let index = usize::try_from(index)
                .map_err(|_| Problem(format!("array index {index} cannot be negative")))?;
            list()?.get(index)
        } else if part == "-" {
            list()?.last()
        } else if let Some((field, value)) = element(part)? {
            list()?.iter().find(|item| match field {
                "" => item.raw_text() == value,
                field => item.get(field).is_some_and(|it| it.raw_text() == value),
            })
        } else {
            node.as_map().ok_or_else(|| wrong(part, node, "a map"))?.get(part)
        };
        match next {
            Some(next) => node = next,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}

/// What a part of a path needs its field to be, when it has to be made.
fn kind_for(next: Option<&String>, last: Kind) -> Kind {
    match next.map(String::as_str) {
        None => last,
        Some(part) if part.starts_with('[') || part == "*" || part.parse::<usize>().is_ok() => Kind::Seq,
        Some(_) => Kind::Map,
    }
}

/// Every node that a path leads to. Elements are found by regular expressions; `*` is every element.
fn visit(
    node: &mut Node,
    path: &[String],
    create: Option<Kind>,
    set: &mut dyn FnMut(&mut Node) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let Some((part, rest)) = path.split_first() else { return set(node) };
    if node.is_null() {
        match create {
            Some(kind) => *node = kind_for(Some(part), kind).empty(),
            None => return Ok(()),
        }
    }
    if let Ok(index) = part.parse::<usize>() {
        let Node::Seq(items) = node else { return Err(wrong(part, node, "a list")) };
        if let Some(kind) = create
            && items.len() == index
        {
            items.push(kind_for(rest.first(), kind).empty());
        }
        let count = items.len();
        let item = items
            .get_mut(index)
            .ok_or_else(|| Problem(format!("index {index} specified but only {count} elements found")))?;
        return visit(item, rest, create, set);
    }
    if part == "*" {
        let Node::Seq(items) = node else { return Err(wrong(part, node, "a list")) };
        return items.iter_mut().try_for_each(|item| visit(item, rest, create, set));
    }
    if let Some((field, pattern)) = element(part)? {
        let Node::Seq(items) = node else { return Err(wrong(part, node, "a list")) };
        let regex = regex(pattern)?;
        let matches = |item: &Node| match field {
            "" => regex.is_match(item.raw_text()),
            field => item.get(field).is_some_and(|it| regex.is_match(it.raw_text())),
        };
        let mut found = false;
        for item in items.iter_mut().filter(|item| matches(item)) {
            found = true;
            visit(item, if field.is_empty() { &[] } else { rest }, create, set)?;
        }
        if !found && create.is_some() {
            let mut item = match field {
                "" => Node::implicit(pattern),
                field => {
                    let mut item = Kind::Map.empty();
                    if let Some(map) = item.as_map_mut() {
                        map.insert(field, Node::implicit(pattern));
                    }
                    item
                }
            };
            visit(&mut item, if field.is_empty() { &[] } else { rest }, create, set)?;
            items.push(item);
        }
        return Ok(());
    }
    let found = node.kind();
    let Node::Map(map) = node else {
        return Err(Problem(format!("{part}: expected a map, found {}", found.name())));
    };
    match create {
        Some(kind) => visit(map.entry(part, kind_for(rest.first(), kind)), rest, create, set),
        None => match map.get_mut(part) {
            Some(field) => visit(field, rest, create, set),
            None => Ok(()),
        },
    }
}
