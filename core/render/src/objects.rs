//! Objects from a text: what kustomize takes as resources and as patches.

use std::collections::VecDeque;
use std::sync::Arc;

use seaway_object::yaml;

use crate::error::Problem;
use crate::node::Node;
use crate::resource::{Origin, Resource};

/// The objects of parsed documents, lists taken apart. Empty documents do not count.
///
/// Items of a list come after the documents behind it, unless the list is the only document: kustomize has it so.
pub(crate) fn read(documents: Vec<Arc<yaml::Node>>, file: &str) -> Result<Vec<Resource>, Problem> {
    let mut queue: VecDeque<(Node, usize)> = VecDeque::with_capacity(documents.len());
    let at = |line: usize, problem: String| Problem(format!("{file}:{line}: {problem}"));
    for document in documents {
        let line = document.span.start.line;
        let node = Node::from_yaml(document).map_err(|error| Problem(format!("{file}: {error}")))?;
        if !node.is_null_or_empty() {
            queue.push_back((node, line));
        }
    }
    if let [(Node::Map(map), line)] = queue.make_contiguous()
        && matches!(map.get("kind").map(Node::raw_text), Some("List" | "ResourceList"))
        && let Some(Node::Seq(items)) = map.get_mut("items")
    {
        let line = *line;
        queue = std::mem::take(items).into_iter().map(|item| (item, line)).collect();
    }
    let mut resources = Vec::with_capacity(queue.len());
    while let Some((node, line)) = queue.pop_front() {
        if node.is_null_or_empty() {
            continue;
        }
        check(&node).map_err(|problem| at(line, problem))?;
        let kind = node.get("kind").map_or("", Node::raw_text);
        if !kind.ends_with("List") {
            let origin = Arc::new(Origin { file: file.to_owned(), line });
            let mut resource = Resource::new(node, origin);
            resource.take_notes().map_err(|Problem(problem)| at(line, problem))?;
            resources.push(resource);
            continue;
        }
        match node.get("items") {
            // A kind of its own that happens to be called a list.
            None => resources.push(Resource::new(node, Arc::new(Origin { file: file.to_owned(), line }))),
            Some(null) if null.is_null() => {}
            Some(Node::Seq(items)) => {
                for item in items {
                    // Lists are read as values, not as texts.
                    let value = item
                        .to_value()
                        .map_err(|(field, problem)| at(line, format!("{field}: {problem}")))?;
                    queue.push_back((Node::from_value(&value), line));
                }
            }
            Some(other) => {
                let found = other.kind().name();
                return Err(at(line, format!("expected a list in {kind}/items, but found {found}")));
            }
        }
    }
    Ok(resources)
}

/// kustomize splits a file at its `---` lines before it reads it as YAML: nothing but a comment may stand on such a
/// line, and no directive before it.
pub(crate) fn check_separators(text: &str, file: &str) -> Result<(), Problem> {
    for (index, line) in text.lines().enumerate() {
        let content = line.strip_prefix("---").map(str::trim).unwrap_or_default();
        if (index > 0 && !content.is_empty() && !content.starts_with('#')) || line.starts_with("%YAML ") {
            return Err(Problem(format!("{file}:{}: invalid document separator: {line}", index + 1)));
        }
    }
    Ok(())
}

/// An object has a kind and, unless it is a list, a name.
pub(crate) fn check(node: &Node) -> Result<(), String> {
    let Some(map) = node.as_map() else {
        return Err(format!("missing Resource metadata: an object is a map, not {}", node.kind().name()));
    };
    fn text(node: Option<&Node>) -> &str {
        node.filter(|node| !node.is_null()).map_or("", Node::raw_text)
    }
    let kind = text(map.get("kind"));
    let metadata = map.get("metadata").filter(|metadata| !metadata.is_null_or_empty());
    let name = text(metadata.and_then(|metadata| metadata.get("name")));
    if kind.is_empty() {
        return Err("missing kind in object: every object has apiVersion, kind and metadata.name".to_owned());
    }
    if name.is_empty() && !kind.ends_with("List") {
        return Err(format!("missing metadata.name in object of kind {kind}"));
    }
    Ok(())
}
