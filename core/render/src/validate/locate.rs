//! The line of a field in YAML documents, by the field's path (`spec.ports[0].port`).

use std::sync::Arc;

use seaway_object::yaml::{Node, NodeKind};

/// The line of a field in the first document that has all of it.
pub(super) fn in_any(documents: &[Arc<Node>], field: &str) -> Option<usize> {
    documents.iter().find_map(|document| {
        let (line, whole) = walk(document, field, document.span.start.line);
        whole.then_some(line)
    })
}

/// The line of a field in the document at `line`, or of the closest part around it; and whether all of it is there.
pub(super) fn from_line(documents: &[Arc<Node>], line: usize, field: &str) -> (usize, bool) {
    let document = documents.iter().rev().find(|document| document.span.start.line <= line);
    match document {
        Some(document) => walk(document, field, line),
        None => (line, false),
    }
}

fn walk(node: &Node, field: &str, line: usize) -> (usize, bool) {
    let field = field.strip_prefix('.').unwrap_or(field);
    if field.is_empty() {
        return (line, true);
    }
    match &node.kind {
        NodeKind::Mapping { entries, .. } => {
            // Names may have dots in them: the longest that fits is meant.
            let fitting = entries.iter().filter_map(|(key, value)| {
                let NodeKind::Scalar { text, .. } = &key.kind else { return None };
                let rest = field.strip_prefix(&**text)?;
                (!text.is_empty() && (rest.is_empty() || rest.starts_with(['.', '['])))
                    .then_some((key, value, rest))
            });
            match fitting.min_by_key(|(_, _, rest)| rest.len()) {
                Some((key, value, rest)) => walk(value, rest, key.span.start.line),
                None => (line, false),
            }
        }
        NodeKind::Sequence { items, .. } => {
            let Some((index, rest)) = field.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
                return (line, false);
            };
            let at = |item: &Arc<Node>| walk(item, rest, item.span.start.line);
            // Lists are merged and reordered on the way: another element may be the one.
            let same = index.parse::<usize>().ok().and_then(|index| items.get(index)).map(at);
            match same {
                Some((line, true)) => (line, true),
                same => items.iter().map(at).find(|(_, whole)| *whole).or(same).unwrap_or((line, false)),
            }
        }
        NodeKind::Scalar { .. } => (line, false),
    }
}
