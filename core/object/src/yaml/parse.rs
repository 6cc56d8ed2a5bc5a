//! Step 1: text to [`Node`]s.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle as EventStyle, ScanError, Tag};

use super::node::{Limits, Node, NodeKind, Position, ScalarStyle, Size, Span};
use crate::Error;

/// Parse all documents of a text. Comments are dropped, empty documents skipped.
///
/// Memory and time are bounded by `limits`: an alias counts as much as what it stands for.
pub fn parse(text: &str, limits: &Limits) -> Result<Vec<Arc<Node>>, Error> {
    if text.len() > limits.bytes {
        return Err(Error::TooLarge {
            what: "bytes of text",
            limit: limits.bytes,
            position: Position::START,
        });
    }
    // The parser counts a byte order mark as a character of the first line; editors do not.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - body.len();
    let mut accepted = Accepted::new(body);
    let mut attempts = (Accepted::WORK / body.len().max(1)).clamp(1, 1000);
    loop {
        let offsets = Offsets::new(&accepted.text, &accepted.joined, skipped);
        match compose(&accepted.text, offsets, limits) {
            Ok(documents) => return Ok(documents),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Syntax(error, position)) => {
                attempts -= 1;
                if attempts == 0 || !accepted.rewrite(&error, position.offset - skipped) {
                    let message = error.info().to_owned();
                    return Err(Error::Syntax { format: "YAML", message, position });
                }
            }
        }
    }
}

enum Failure {
    Syntax(ScanError, Position),
    Refused(Error),
}

fn compose(text: &str, offsets: Offsets<'_>, limits: &Limits) -> Result<Vec<Arc<Node>>, Failure> {
    let mut composer = Composer {
        text,
        offsets,
        limits,
        stack: Vec::new(),
        anchors: HashMap::new(),
        documents: Vec::new(),
        total: Size::default(),
        aliased: 0,
    };
    let mut events = Parser::new_from_str(text);
    while let Some(event) = events.next_event() {
        match event {
            Ok((event, span)) => {
                let start = composer.offsets.position(&span.start);
                let end = composer.offsets.position(&span.end);
                composer.on_event(event, Span { start, end }).map_err(Failure::Refused)?;
            }
            Err(error) => {
                let position = composer.offsets.position(error.marker());
                return Err(Failure::Syntax(error, position));
            }
        }
    }
    Ok(composer.documents)
}

/// The text in a form that the parser accepts. It is stricter than go-yaml in two things that exist in the wild: a tab
/// behind `key:`, and lines inside `[…]` or `{…}` that are indented no further than their key. Both are white space
/// and are rewritten, byte for byte, where the parser stumbles over them.
struct Accepted<'a> {
    text: Cow<'a, str>,
    /// Indices, in characters, of the line breaks that were rewritten, rising.
    joined: Vec<usize>,
}

impl<'a> Accepted<'a> {
    /// Bytes that may be parsed again because of rewriting.
    const WORK: usize = 64 << 20;

    fn new(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), joined: Vec::new() }
    }

    /// True if something changed and another attempt is worth it.
    fn rewrite(&mut self, error: &ScanError, offset: usize) -> bool {
        let before = &self.text.as_bytes()[..offset];
        let blanks = before.iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let start = offset - blanks;
        match error.info() {
            "':' must be followed by a valid YAML whitespace" => {
                let tabs = before[start..].contains(&b'\t') && before[..start].last() == Some(&b':');
                if tabs {
                    self.text.to_mut().replace_range(start..offset, &" ".repeat(blanks));
                }
                tabs
            }
            "invalid indentation" | "invalid indentation in flow construct" => {
                if before[..start].last() != Some(&b'\n') {
                    return false;
                }
                let line_break = start - 1;
                let line = before[..line_break].rsplit(|b| *b == b'\n').next().unwrap_or_default();
                // A comment would swallow what is joined to its line.
                if line.contains(&b'#') {
                    return false;
                }
                let from = if line.last() == Some(&b'\r') { line_break - 1 } else { line_break };
                self.text.to_mut().replace_range(from..=line_break, &" ".repeat(line_break + 1 - from));
                let index = error.marker().index() - blanks - 1;
                self.joined.insert(self.joined.partition_point(|joined| *joined < index), index);
                true
            }
            _ => false,
        }
    }
}

/// A collection that is still open.
struct Open {
    kind: NodeKind,
    /// The key that waits for its value.
    key: Option<Arc<Node>>,
    anchor: usize,
    tag: Option<Box<str>>,
    start: Position,
    size: Size,
}

struct Composer<'a> {
    text: &'a str,
    offsets: Offsets<'a>,
    limits: &'a Limits,
    stack: Vec<Open>,
    /// Finished anchored nodes of the current document; `None` while the node is still open.
    anchors: HashMap<usize, Option<Arc<Node>>>,
    documents: Vec<Arc<Node>>,
    total: Size,
    aliased: usize,
}

impl Composer<'_> {
    fn on_event(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let mut span = self.without_properties(span, anchor, tag.is_some());
                // A node of properties alone (`!!str` with nothing behind it) is empty.
                if span.start.offset > span.end.offset {
                    span.start = span.end;
                }
                let size = Size { nodes: 1, bytes: text.len(), depth: 0 };
                self.count(size, span.start)?;
                let kind =
                    NodeKind::Scalar { text: text.into_owned().into_boxed_str(), style: style_of(style) };
                let node = Arc::new(Node { kind, tag: tag.map(|tag| tag_text(&tag)), span, size });
                self.finish(node, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                let span = self.without_properties(span, anchor, tag.is_some());
                let flow = self.starts_with(span.start, b'[');
                self.open(NodeKind::Sequence { items: Vec::new(), flow }, anchor, tag.as_deref(), span)?;
            }
            Event::MappingStart(anchor, tag) => {
                let span = self.without_properties(span, anchor, tag.is_some());
                let flow = self.starts_with(span.start, b'{');
                self.open(NodeKind::Mapping { entries: Vec::new(), flow }, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    let span = Span { start: open.start, end: span.end };
                    let node = Arc::new(Node { kind: open.kind, tag: open.tag, span, size: open.size });
                    self.finish(node, open.anchor);
                }
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(Some(node)) => {
                    let node = Arc::clone(node);
                    self.aliased = self.aliased.saturating_add(node.size.nodes);
                    if self.aliased > self.limits.alias_nodes {
                        return Err(Error::TooLarge {
                            what: "nodes through aliases",
                            limit: self.limits.alias_nodes,
                            position: span.start,
                        });
                    }
                    self.count(node.size, span.start)?;
                    if self.stack.len() + node.size.depth > self.limits.depth {
                        return Err(self.too_deep(span.start));
                    }
                    self.push(node);
                }
                Some(None) => return Err(Error::RecursiveAlias { position: span.start }),
                None => {
                    return Err(Error::Syntax {
                        format: "YAML",
                        message: "alias of an anchor that is not in this document".to_owned(),
                        position: span.start,
                    });
                }
            },
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// The parser reports a node from its anchor or tag on; a span here is the value alone.
    fn without_properties(&self, mut span: Span, anchor: usize, tagged: bool) -> Span {
        if anchor == 0 && !tagged {
            return span;
        }
        let mut rest = &self.text[span.start.offset - self.offsets.skipped..];
        let mut skip = |rest: &mut &str, until: &dyn Fn(char) -> bool| {
            let length = rest.find(until).unwrap_or(rest.len());
            for c in rest[..length].chars() {
                span.start.offset += c.len_utf8();
                span.start.column += 1;
                if c == '\n' {
                    (span.start.line, span.start.column) = (span.start.line + 1, 1);
                }
            }
            *rest = &rest[length..];
        };
        loop {
            match rest.as_bytes().first() {
                Some(b'&' | b'!') => skip(&mut rest, &|c| c.is_ascii_whitespace() || "[]{},".contains(c)),
                Some(b'#') => skip(&mut rest, &|c| c == '\n'),
                Some(b' ' | b'\t' | b'\r' | b'\n') => skip(&mut rest, &|c| !c.is_ascii_whitespace()),
                _ => break,
            }
        }
        span
    }

    /// Block collections start at their first entry, so a bracket there belongs to that entry only if the
    /// collection is a flow one; the parser reports flow collections at their bracket.
    fn starts_with(&self, at: Position, bracket: u8) -> bool {
        self.text.as_bytes().get(at.offset - self.offsets.skipped) == Some(&bracket)
    }

    fn open(&mut self, kind: NodeKind, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Error> {
        if self.stack.len() >= self.limits.depth {
            return Err(self.too_deep(span.start));
        }
        let size = Size { nodes: 1, bytes: 0, depth: 1 };
        self.count(size, span.start)?;
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Open { kind, key: None, anchor, tag: tag.map(tag_text), start: span.start, size });
        Ok(())
    }

    fn finish(&mut self, node: Arc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Some(Arc::clone(&node)));
        }
        self.push(node);
    }

    fn push(&mut self, node: Arc<Node>) {
        let Some(parent) = self.stack.last_mut() else {
            if !node.is_empty_scalar() {
                self.documents.push(node);
            }
            return;
        };
        parent.size.add(node.size);
        match &mut parent.kind {
            NodeKind::Sequence { items, .. } => items.push(node),
            NodeKind::Mapping { entries, .. } => match parent.key.take() {
                None => parent.key = Some(node),
                Some(key) => entries.push((key, node)),
            },
            NodeKind::Scalar { .. } => {}
        }
    }

    fn count(&mut self, size: Size, position: Position) -> Result<(), Error> {
        self.total.add(size);
        if self.total.nodes > self.limits.nodes {
            return Err(Error::TooLarge { what: "nodes", limit: self.limits.nodes, position });
        }
        if self.total.bytes > self.limits.bytes {
            return Err(Error::TooLarge {
                what: "bytes after alias expansion",
                limit: self.limits.bytes,
                position,
            });
        }
        Ok(())
    }

    fn too_deep(&self, position: Position) -> Error {
        Error::TooLarge { what: "levels of nesting", limit: self.limits.depth, position }
    }
}

fn style_of(style: EventStyle) -> ScalarStyle {
    match style {
        EventStyle::Plain => ScalarStyle::Plain,
        EventStyle::SingleQuoted => ScalarStyle::SingleQuoted,
        EventStyle::DoubleQuoted => ScalarStyle::DoubleQuoted,
        EventStyle::Literal => ScalarStyle::Literal,
        EventStyle::Folded => ScalarStyle::Folded,
    }
}

fn tag_text(tag: &Tag) -> Box<str> {
    format!("{}{}", tag.handle, tag.suffix).into_boxed_str()
}

/// From the parser's markers, which count characters, to positions in the file.
struct Offsets<'a> {
    text: &'a str,
    /// Byte offset of every [`Offsets::STEP`]-th character; empty for ASCII texts, where both are the same.
    checkpoints: Vec<usize>,
    /// See [`Accepted::joined`].
    joined: &'a [usize],
    /// Bytes before the text.
    skipped: usize,
}

impl<'a> Offsets<'a> {
    const STEP: usize = 128;

    fn new(text: &'a str, joined: &'a [usize], skipped: usize) -> Self {
        let checkpoints = match text.is_ascii() {
            true => Vec::new(),
            false => text.char_indices().step_by(Self::STEP).map(|(offset, _)| offset).collect(),
        };
        Self { text, checkpoints, joined, skipped }
    }

    fn position(&self, marker: &Marker) -> Position {
        let (index, mut line, mut column) = (marker.index(), marker.line(), marker.col());
        let offset = if self.checkpoints.is_empty() {
            index.min(self.text.len())
        } else {
            self.checkpoints.get(index / Self::STEP).map_or(self.text.len(), |&from| {
                let mut rest = self.text[from..].char_indices();
                rest.nth(index % Self::STEP).map_or(self.text.len(), |(offset, _)| from + offset)
            })
        };
        let joined = self.joined.partition_point(|joined| *joined < index);
        if let Some(last) = joined.checked_sub(1).and_then(|last| self.joined.get(last)) {
            line += joined;
            column = column.min(index - last - 1);
        }
        // A synthetic event (an absent value) can come with a marker of line 0.
        Position { line: line.max(1), column: column + 1, offset: offset + self.skipped }
    }
}
