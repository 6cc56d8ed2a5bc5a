//! What a YAML file says, before anybody decides what it means.

use std::fmt;
use std::sync::Arc;

/// A place in a text. Lines and columns count from 1, columns in characters; the offset is in bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte offset from the start of the text.
    pub offset: usize,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1, offset: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The text from `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First character.
    pub start: Position,
    /// The character after the last one.
    pub end: Position,
}

/// How a scalar is written. Only plain scalars can mean anything but text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarStyle {
    /// `text`
    Plain,
    /// `'text'`
    SingleQuoted,
    /// `"text"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// One node of a document.
#[derive(Debug, Clone)]
pub struct Node {
    /// The content.
    pub kind: NodeKind,
    /// The tag in full (`tag:yaml.org,2002:str`, `!Ref`), if one is written.
    pub tag: Option<Box<str>>,
    /// Where the node is written; an aliased node has the place of its anchor.
    pub span: Span,
    pub(super) size: Size,
}

/// The content of a [`Node`].
#[derive(Debug, Clone)]
pub enum NodeKind {
    /// A scalar: its text after unescaping and unfolding.
    Scalar {
        /// The text.
        text: Box<str>,
        /// How it is written.
        style: ScalarStyle,
    },
    /// A list. Aliased items are shared.
    Sequence {
        /// The items in order.
        items: Vec<Arc<Node>>,
        /// Written as `[…]`.
        flow: bool,
    },
    /// A map, in file order, with duplicate keys and merge keys as written.
    Mapping {
        /// Keys and values in order.
        entries: Vec<(Arc<Node>, Arc<Node>)>,
        /// Written as `{…}`.
        flow: bool,
    },
}

impl Node {
    /// A plain scalar without text and tag: the value of `key:` with nothing behind it.
    pub fn is_empty_scalar(&self) -> bool {
        self.tag.is_none()
            && matches!(&self.kind, NodeKind::Scalar { text, style: ScalarStyle::Plain } if text.is_empty())
    }
}

/// How much a node is once its aliases are expanded.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) nodes: usize,
    pub(super) bytes: usize,
    pub(super) depth: usize,
}

impl Size {
    pub(super) fn add(&mut self, child: Size) {
        self.nodes = self.nodes.saturating_add(child.nodes);
        self.bytes = self.bytes.saturating_add(child.bytes);
        self.depth = self.depth.max(child.depth + 1);
    }
}

/// What a text may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text, and bytes of scalars after alias expansion.
    pub bytes: usize,
    /// Nodes of the whole text after alias expansion.
    pub nodes: usize,
    /// Nodes that exist only through aliases.
    pub alias_nodes: usize,
    /// Collections inside each other. More than 127 would be refused by `serde_json` further on.
    pub depth: usize,
}

impl Default for Limits {
    /// Enough for the largest bundles of custom resource definitions; an alias bomb ends in milliseconds.
    fn default() -> Self {
        Self { bytes: 32 << 20, nodes: 2_000_000, alias_nodes: 100_000, depth: 120 }
    }
}
