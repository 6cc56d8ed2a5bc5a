//! Texts of Kubernetes objects: several YAML documents, or JSON.

use serde_json::Value;

use crate::Error;
use crate::json::{self, Json};
use crate::yaml::{self, Dialect, Duplicate, Limits, Position, SourceMap};

/// How [`read_objects`] reads.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions {
    /// Who reads.
    pub dialect: Dialect,
    /// What the text may cost.
    pub limits: Limits,
    /// Replace a `List` (or `ConfigMapList`, …) by its items.
    pub flatten_lists: bool,
    /// Refuse duplicate keys in every dialect.
    pub strict: bool,
}

impl ReadOptions {
    /// Default limits, lists flattened, duplicates as the dialect has them.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, limits: Limits::default(), flatten_lists: true, strict: false }
    }
}

/// One object and where it is written.
#[derive(Debug, Clone)]
pub struct Document {
    /// The object: always a JSON object with text in `apiVersion` and `kind`.
    pub value: Value,
    /// Where it starts.
    pub position: Position,
    /// From the value back to the text.
    pub source_map: SourceMap,
    /// Keys that were overwritten by a later one of the same name.
    pub duplicates: Vec<Duplicate>,
}

/// All objects of a text. Empty and `null` documents are skipped; anything else without apiVersion and kind is an
/// error.
pub fn read_objects(text: &str, options: &ReadOptions) -> Result<Vec<Document>, Error> {
    let mut objects = Vec::new();
    for document in read_documents(text, options)? {
        check_object(&document)?;
        if options.flatten_lists && is_list(&document.value) {
            flatten(document, options.limits.depth, &mut objects)?;
        } else {
            objects.push(document);
        }
    }
    Ok(objects)
}

/// All documents of a text, whatever they hold; empty and `null` ones are skipped.
pub fn read_documents(text: &str, options: &ReadOptions) -> Result<Vec<Document>, Error> {
    let mut json_error = None;
    if json::looks_like_json(text) {
        match json::read(text, options) {
            Json::Documents(documents) => return Ok(documents),
            Json::Invalid(error) => json_error = Some(error),
            Json::LookCloser => {}
        }
    }
    let nodes = match (yaml::parse(text, &options.limits), json_error) {
        (Ok(nodes), _) => nodes,
        (Err(Error::Syntax { .. }), Some(json_error)) => return Err(json_error),
        (Err(error), _) => return Err(error),
    };
    let mut documents = Vec::with_capacity(nodes.len());
    for node in &nodes {
        let resolved = yaml::resolve_document(node, options.dialect)?;
        if options.strict {
            resolved.reject_duplicates()?;
        }
        if !resolved.value.is_null() {
            documents.push(Document {
                value: resolved.value,
                position: node.span.start,
                source_map: resolved.source_map,
                duplicates: resolved.duplicates,
            });
        }
    }
    Ok(documents)
}

/// A JSON document: only its start is known.
pub(crate) fn without_positions(value: Value, position: Position) -> Document {
    Document { value, position, source_map: SourceMap::start_only(position), duplicates: Vec::new() }
}

fn check_object(document: &Document) -> Result<(), Error> {
    let fail = |message: &str, pointer: &str| {
        Err(Error::NotAnObject {
            message: message.to_owned(),
            position: document.source_map.position(pointer),
        })
    };
    if !document.value.is_object() {
        return fail("a Kubernetes object is a map with apiVersion and kind", "");
    }
    for (field, pointer) in [("apiVersion", "/apiVersion"), ("kind", "/kind")] {
        match document.value.get(field) {
            Some(Value::String(text)) if !text.is_empty() => {}
            None | Some(Value::Null | Value::String(_)) => {
                return fail(
                    &format!("the object has no {field}: every Kubernetes object needs one"),
                    pointer,
                );
            }
            Some(_) => return fail(&format!("{field} must be text"), pointer),
        }
    }
    Ok(())
}

fn is_list(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
        && value.get("items").is_some_and(Value::is_array)
}

fn flatten(mut list: Document, depth: usize, objects: &mut Vec<Document>) -> Result<(), Error> {
    let Some(Value::Array(items)) = list.value.get_mut("items").map(Value::take) else { return Ok(()) };
    let list_kind = list.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let item_kind = list_kind.strip_suffix("List").filter(|kind| !kind.is_empty());
    for (index, mut item) in items.into_iter().enumerate() {
        // Items of a typed list need not repeat their type.
        if let (Value::Object(item), Some(kind)) = (&mut item, item_kind) {
            item.entry("kind").or_insert_with(|| Value::from(kind));
            let api_version = || list.value.get("apiVersion").cloned().unwrap_or_default();
            item.entry("apiVersion").or_insert_with(api_version);
        }
        let source_map = list.source_map.below(&format!("/items/{index}"));
        let document =
            Document { value: item, position: source_map.start(), source_map, duplicates: Vec::new() };
        check_object(&document)?;
        // Lists in lists end where the limit on nesting does.
        if depth > 0 && is_list(&document.value) {
            flatten(document, depth - 1, objects)?;
        } else {
            objects.push(document);
        }
    }
    Ok(())
}
