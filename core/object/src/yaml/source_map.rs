//! From a place in a value back to a place in the file.

use std::sync::Arc;

use super::node::{Node, NodeKind, Position, Span};
use super::resolve::{Dialect, winning_entry};

/// Finds where a part of a document is written, by JSON pointer (RFC 6901), for instance
/// `/spec/template/spec/containers/0/image`.
///
/// It keeps the parsed document and walks it when asked, so it costs nothing until an error needs it.
#[derive(Debug, Clone)]
pub struct SourceMap {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Yaml {
        root: Arc<Node>,
        dialect: Dialect,
    },
    /// JSON read without positions: only where the document starts.
    Start(Position),
}

impl SourceMap {
    pub(super) fn new(root: Arc<Node>, dialect: Dialect) -> Self {
        Self { source: Source::Yaml { root, dialect } }
    }

    pub(crate) fn start_only(position: Position) -> Self {
        Self { source: Source::Start(position) }
    }

    /// Where the document starts.
    pub fn start(&self) -> Position {
        match &self.source {
            Source::Yaml { root, .. } => root.span.start,
            Source::Start(position) => *position,
        }
    }

    /// Where the key or list item that `pointer` names is written; of parts that are not in the file (added by a
    /// transformation), the closest part around them that is.
    pub fn position(&self, pointer: &str) -> Position {
        self.walk(pointer).0
    }

    /// The text range of the value that `pointer` names, if the file has it.
    pub fn value_span(&self, pointer: &str) -> Option<Span> {
        match self.walk(pointer) {
            (_, Some(node)) => Some(node.span),
            _ => None,
        }
    }

    /// The map of one part of the document, as though it were a document of its own.
    pub(crate) fn below(&self, pointer: &str) -> Self {
        match (&self.source, self.child(pointer)) {
            (Source::Yaml { dialect, .. }, Some(root)) => {
                Self { source: Source::Yaml { root, dialect: *dialect } }
            }
            _ => Self::start_only(self.position(pointer)),
        }
    }

    fn child(&self, pointer: &str) -> Option<Arc<Node>> {
        let Source::Yaml { root, dialect } = &self.source else { return None };
        let mut node = root;
        for token in tokens(pointer) {
            node = match &node.kind {
                NodeKind::Sequence { items, .. } => items.get(token.parse::<usize>().ok()?)?,
                NodeKind::Mapping { entries, .. } => {
                    let (_, value) = winning_entry(node, &token, *dialect)?;
                    &entries.iter().find(|(_, entry)| std::ptr::eq(&**entry, value))?.1
                }
                NodeKind::Scalar { .. } => return None,
            };
        }
        Some(Arc::clone(node))
    }

    fn walk(&self, pointer: &str) -> (Position, Option<&Node>) {
        let (root, dialect) = match &self.source {
            Source::Yaml { root, dialect } => (root, *dialect),
            Source::Start(position) => return (*position, None),
        };
        let mut node: &Node = root;
        let mut position = node.span.start;
        for token in tokens(pointer) {
            let step = match &node.kind {
                NodeKind::Sequence { items, .. } => token
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item.span.start, &**item)),
                NodeKind::Mapping { .. } => {
                    winning_entry(node, &token, dialect).map(|(key, value)| (key.span.start, value))
                }
                NodeKind::Scalar { .. } => None,
            };
            match step {
                Some((at, child)) => (position, node) = (at, child),
                None => return (position, None),
            }
        }
        (position, Some(node))
    }
}

/// Append one step to a JSON pointer.
pub(super) fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    for c in token.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

pub(super) fn last_key(pointer: &str) -> String {
    tokens(pointer).last().unwrap_or_default()
}
