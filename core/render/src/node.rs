//! Objects while they are being customised.
//!
//! kustomize works on what the file says, not on values: a label `1.10` is the text `1.10` when it is copied, and
//! only becomes a number, if at all, when the object is printed. So a [`Scalar`] keeps its text and what it was read
//! as, and becomes a value in [`Node::to_value`].

use std::collections::HashMap;
use std::sync::Arc;

use seaway_object::yaml::{self, Dialect, NodeKind, Position, ScalarStyle};
use serde_json::Value;

use crate::error::Problem;

/// What a scalar counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Text, whatever it looks like.
    Text,
    Int,
    Float,
    Bool,
    Null,
    Timestamp,
    /// Written by a transformer without saying what it is: its text decides when it is printed, unless it replaced
    /// something in quotes.
    Implicit,
}

/// How a scalar is written, as far as it matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    /// In quotes, or as a literal block. A null in quotes is the nothing of `{key: }`, which prints as empty text.
    Quoted,
    /// As a folded block, which does not survive printing unharmed: see [`refold`].
    Folded,
}

/// A scalar: its text, unescaped, and what it counts as.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) tag: Tag,
    pub(crate) style: Style,
    /// Scalars of one object with the same number are one to kustomize, which added it to several fields at once: what
    /// is written into one of them is in all. 0: it is alone.
    pub(crate) link: u32,
}

/// Keys and values in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Map {
    entries: Vec<(String, Node)>,
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Scalar(Scalar),
    Seq(Vec<Node>),
    Map(Map),
}

/// The kinds of nodes, to say which to create and which was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Scalar,
    Seq,
    Map,
}

impl Kind {
    pub(crate) fn empty(self) -> Node {
        match self {
            Self::Scalar => Node::implicit(""),
            Self::Seq => Node::Seq(Vec::new()),
            Self::Map => Node::Map(Map::default()),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "a scalar",
            Self::Seq => "a list",
            Self::Map => "a map",
        }
    }
}

impl Map {
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Replace the value of `key`, or add it at the end.
    pub(crate) fn insert(&mut self, key: &str, value: Node) {
        match self.get_mut(key) {
            Some(old) => *old = value,
            None => self.entries.push((key.to_owned(), value)),
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|(name, _)| name == key)?;
        Some(self.entries.remove(at).1)
    }

    /// The value of `key`, made if it is missing.
    pub(crate) fn entry(&mut self, key: &str, kind: Kind) -> &mut Node {
        let at = match self.entries.iter().position(|(name, _)| name == key) {
            Some(at) => at,
            None => {
                self.entries.push((key.to_owned(), kind.empty()));
                self.entries.len() - 1
            }
        };
        &mut self.entries[at].1
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = (&str, &mut Node)> {
        self.entries.iter_mut().map(|(key, value)| (key.as_str(), value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (String, Node)> {
        self.entries.into_iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<(String, Node)> for Map {
    fn from_iter<T: IntoIterator<Item = (String, Node)>>(entries: T) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl Scalar {
    /// Text, whatever it looks like, and one with no other.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), tag: Tag::Text, style: Style::Plain, link: 0 }
    }

    /// What the text means where nothing else says so, and its value unless that is the text.
    fn meaning(text: &str) -> (Tag, Option<Value>) {
        const TEXT: (Tag, Option<Value>) = (Tag::Text, None);
        match text.as_bytes().first() {
            None => (Tag::Null, Some(Value::Null)),
            Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F') => match text {
                "~" | "null" | "Null" | "NULL" => (Tag::Null, Some(Value::Null)),
                "true" | "True" | "TRUE" => (Tag::Bool, Some(Value::from(true))),
                "false" | "False" | "FALSE" => (Tag::Bool, Some(Value::from(false))),
                _ => TEXT,
            },
            // What looks like the start of a number; the reader of files decides.
            Some(b'.' | b'+' | b'-' | b'0'..=b'9')
                if text.len() <= 64
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-_:, ".contains(&b))
                    && !text.ends_with(' ') =>
            {
                match yaml::resolve_plain_text(text, Dialect::Kustomize) {
                    Ok(Value::Number(number)) => {
                        let is_hex = text.trim_start_matches(['+', '-']).starts_with("0x");
                        let is_int = !number.is_f64() && (is_hex || !text.contains(['.', 'e', 'E']));
                        (if is_int { Tag::Int } else { Tag::Float }, Some(Value::Number(number)))
                    }
                    Ok(Value::String(other)) if other != text => (Tag::Timestamp, Some(Value::String(other))),
                    Err(_) => (Tag::Float, Some(Value::Null)),
                    _ => TEXT,
                }
            }
            _ => TEXT,
        }
    }

    fn into_value(self) -> Result<Value, String> {
        match (self.tag, self.style) {
            (Tag::Text | Tag::Implicit, Style::Folded) => return Ok(Value::from(refold(&self.text))),
            (Tag::Text, _) | (Tag::Implicit, Style::Quoted) => return Ok(Value::String(self.text)),
            (Tag::Null, Style::Quoted) => return Ok(Value::from("")),
            _ => {}
        }
        let (tag, value) = Self::meaning(&self.text);
        if tag == Tag::Float && value == Some(Value::Null) {
            return Err(format!("{} has no JSON value: quote it if it is meant as text", self.text));
        }
        let fits = self.tag == tag || self.tag == Tag::Implicit || (self.tag, tag) == (Tag::Float, Tag::Int);
        if !fits {
            return Err(format!(
                "cannot write {:?} where {} stands",
                self.text,
                match self.tag {
                    Tag::Int => "a whole number",
                    Tag::Float => "a number",
                    Tag::Bool => "a boolean",
                    Tag::Null => "null",
                    _ => "a timestamp",
                }
            ));
        }
        Ok(value.unwrap_or(Value::String(self.text)))
    }
}

/// What is left of a folded block after kustomize has printed and read it again, which it does once: a line break
/// between a line and one that is indented further becomes two.
///
/// yaml.v3 writes a break twice unless the line before it is indented, also where reading will not fold the two into
/// one: before an indented line, and at the end of a block that keeps its breaks.
fn refold(text: &str) -> String {
    let is_blank = |c: Option<char>| matches!(c, Some(' ' | '\t'));
    let doubles = !is_blank(text.trim_start_matches('\n').chars().next());
    let mut folded = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
        folded.push_str(line);
        rest = after.trim_start_matches('\n');
        let breaks = after.len() - rest.len();
        if breaks == 0 {
            break;
        }
        let indented = is_blank(line.chars().next());
        let written = breaks + usize::from(!line.is_empty() && !indented && doubles);
        let read = if line.is_empty() || (rest.is_empty() && breaks == 1) {
            breaks
        } else if rest.is_empty() || indented || is_blank(rest.chars().next()) {
            written
        } else {
            written - 1
        };
        if read == 0 {
            folded.push(' ');
        }
        folded.extend(std::iter::repeat_n('\n', read));
    }
    folded
}

impl Node {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Scalar(Scalar::text(text))
    }

    /// A scalar whose text decides what it is.
    pub(crate) fn implicit(text: impl Into<String>) -> Self {
        Self::Scalar(Scalar { text: text.into(), tag: Tag::Implicit, style: Style::Plain, link: 0 })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Scalar(_) => Kind::Scalar,
            Self::Seq(_) => Kind::Seq,
            Self::Map(_) => Kind::Map,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(Scalar { tag: Tag::Null, .. }))
    }

    pub(crate) fn is_null_or_empty(&self) -> bool {
        match self {
            Self::Scalar(_) => self.is_null(),
            Self::Seq(items) => items.is_empty(),
            Self::Map(map) => map.is_empty(),
        }
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_seq(&self) -> Option<&[Node]> {
        match self {
            Self::Seq(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_scalar(&self) -> Option<&Scalar> {
        match self {
            Self::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// A scalar's text as it is written; collections have none.
    pub(crate) fn raw_text(&self) -> &str {
        match self {
            Self::Scalar(scalar) => &scalar.text,
            _ => "",
        }
    }

    pub(crate) fn expect_scalar(&self) -> Result<(), Problem> {
        match self {
            Self::Scalar(_) => Ok(()),
            other => Err(Problem(format!("expected a scalar, found {}", other.kind().name()))),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    pub(crate) fn at<'a>(&'a self, path: &[&str]) -> Option<&'a Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Write a text into a scalar as transformers do that do not say what it is; quotes stay.
    pub(crate) fn set_implicit(&mut self, text: impl Into<String>) {
        let (style, link) = self.as_scalar().map(|scalar| (scalar.style, scalar.link)).unwrap_or_default();
        *self = Self::Scalar(Scalar { text: text.into(), tag: Tag::Implicit, style, link });
    }

    /// Write each of `scalars` into every scalar with its link, the last one of a link: see [`Scalar::link`].
    pub(crate) fn write_linked(&mut self, scalars: &[Scalar]) {
        let linked = scalars.iter().filter(|scalar| scalar.link != 0);
        let linked: HashMap<u32, &Scalar> = linked.map(|scalar| (scalar.link, scalar)).collect();
        if !linked.is_empty() {
            self.write_each_linked(&linked);
        }
    }

    fn write_each_linked(&mut self, linked: &HashMap<u32, &Scalar>) {
        match self {
            Self::Scalar(own) => {
                if let Some(scalar) = linked.get(&own.link) {
                    own.clone_from(scalar);
                }
            }
            Self::Seq(items) => items.iter_mut().for_each(|item| item.write_each_linked(linked)),
            Self::Map(map) => map.values_mut().for_each(|(_, value)| value.write_each_linked(linked)),
        }
    }

    /// Whether an object that was put together is one that could have been read.
    pub(crate) fn is_within(&self, limits: &yaml::Limits) -> bool {
        self.take_from(&mut { *limits }).is_some()
    }

    /// Take what there is from what is left; `None` when that is too little.
    fn take_from(&self, left: &mut yaml::Limits) -> Option<()> {
        left.nodes = left.nodes.checked_sub(1)?;
        if let Self::Scalar(scalar) = self {
            left.bytes = left.bytes.checked_sub(scalar.text.len())?;
            return Some(());
        }
        left.depth = left.depth.checked_sub(1)?;
        match self {
            Self::Scalar(_) => {}
            Self::Seq(items) => items.iter().try_for_each(|item| item.take_from(left))?,
            Self::Map(map) => map.iter().try_for_each(|(_, value)| value.take_from(left))?,
        }
        left.depth += 1;
        Some(())
    }

    /// Make every scalar one of its own.
    pub(crate) fn unlink(&mut self) {
        match self {
            Self::Scalar(scalar) => scalar.link = 0,
            Self::Seq(items) => items.iter_mut().for_each(Self::unlink),
            Self::Map(map) => map.values_mut().for_each(|(_, value)| value.unlink()),
        }
    }

    /// A document of a file. Keys must be text, and no key may stand twice in one map.
    pub(crate) fn from_yaml(node: Arc<yaml::Node>) -> Result<Self, seaway_object::Error> {
        Self::from_yaml_in(node, false)
    }

    fn from_yaml_in(node: Arc<yaml::Node>, in_flow: bool) -> Result<Self, seaway_object::Error> {
        // Its texts are taken over; what an alias shares is copied.
        let mut node = Arc::unwrap_or_clone(node);
        let start = node.span.start;
        // A scalar keeps its kind, whose style decides what it is.
        if matches!(node.kind, NodeKind::Scalar { .. }) {
            return scalar_from_yaml(node, in_flow).map(Self::Scalar);
        }
        let none = NodeKind::Sequence { items: Vec::new(), flow: false };
        match std::mem::replace(&mut node.kind, none) {
            NodeKind::Mapping { entries, flow } => {
                map_from_yaml(entries, flow || in_flow, start).map(Self::Map)
            }
            NodeKind::Sequence { items, flow } => {
                let items = items.into_iter().map(|item| Self::from_yaml_in(item, flow || in_flow));
                items.collect::<Result<_, _>>().map(Self::Seq)
            }
            NodeKind::Scalar { text, .. } => Ok(Self::text(text)),
        }
    }

    pub(crate) fn from_value(value: &Value) -> Self {
        let scalar = |text: String, tag| Self::Scalar(Scalar { text, tag, style: Style::Plain, link: 0 });
        match value {
            Value::Null => scalar("null".to_owned(), Tag::Null),
            Value::Bool(value) => scalar(value.to_string(), Tag::Bool),
            Value::Number(number) => {
                scalar(number.to_string(), if number.is_f64() { Tag::Float } else { Tag::Int })
            }
            Value::String(text) => scalar(text.clone(), Tag::Text),
            Value::Array(items) => Self::Seq(items.iter().map(Self::from_value).collect()),
            Value::Object(object) => {
                Self::Map(object.iter().map(|(key, value)| (key.clone(), Self::from_value(value))).collect())
            }
        }
    }

    /// The value that is printed in the end. The error names the field.
    pub(crate) fn to_value(&self) -> Result<Value, (String, String)> {
        self.clone().into_value()
    }

    /// As [`Node::to_value`], taking over the texts.
    pub(crate) fn into_value(self) -> Result<Value, (String, String)> {
        self.into_value_below().map_err(|(mut path, problem)| {
            path.reverse();
            (path.join("."), problem)
        })
    }

    /// The error names the field backwards.
    fn into_value_below(self) -> Result<Value, (Vec<String>, String)> {
        Ok(match self {
            Self::Scalar(scalar) => scalar.into_value().map_err(|problem| (Vec::new(), problem))?,
            Self::Seq(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (index, item) in items.into_iter().enumerate() {
                    values.push(item.into_value_below().map_err(|(mut path, problem)| {
                        path.push(index.to_string());
                        (path, problem)
                    })?);
                }
                Value::Array(values)
            }
            Self::Map(map) => {
                let mut object = serde_json::Map::new();
                for (key, value) in map.into_entries() {
                    match value.into_value_below() {
                        Ok(value) => drop(object.insert(key, value)),
                        Err((mut path, problem)) => {
                            path.push(key);
                            return Err((path, problem));
                        }
                    }
                }
                Value::Object(object)
            }
        })
    }
}

fn scalar_from_yaml(node: yaml::Node, in_flow: bool) -> Result<Scalar, seaway_object::Error> {
    let is_empty = node.is_empty_scalar();
    // Decoding needs the node as it is.
    let binary = match node.tag.as_deref() {
        Some("tag:yaml.org,2002:binary") => Some(yaml::resolve(&node, Dialect::Kustomize)?),
        _ => None,
    };
    let (text, style) = match node.kind {
        NodeKind::Scalar { text, style } => (String::from(text), style),
        // Nothing else comes here.
        _ => (String::new(), ScalarStyle::Plain),
    };
    let quoted = style != ScalarStyle::Plain;
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::Folded => Style::Folded,
        _ => Style::Quoted,
    };
    if in_flow && is_empty {
        return Ok(Scalar { text: String::new(), tag: Tag::Null, style: Style::Quoted, link: 0 });
    }
    if let Some(decoded) = binary {
        let text = decoded.as_str().unwrap_or_default().to_owned();
        return Ok(Scalar { text, tag: Tag::Text, style, link: 0 });
    }
    let tag = match node.tag.as_deref() {
        None if quoted => Tag::Text,
        None => Scalar::meaning(&text).0,
        Some(tag) => match tag.strip_prefix("tag:yaml.org,2002:") {
            Some("int") => Tag::Int,
            Some("float") => Tag::Float,
            Some("bool") => Tag::Bool,
            Some("null") => Tag::Null,
            Some("timestamp") => Tag::Timestamp,
            _ => Tag::Text,
        },
    };
    // In a flow collection yaml.v3 prints what has a colon in quotes, and so a time comes back as text.
    let tag = if in_flow && tag == Tag::Timestamp && text.contains(':') { Tag::Text } else { tag };
    Ok(Scalar { text, tag, style, link: 0 })
}

type YamlEntry = (Arc<yaml::Node>, Arc<yaml::Node>);

/// Maps up to this size look for a key one by one.
const SMALL: usize = 16;

fn map_from_yaml(
    entries: Vec<YamlEntry>,
    in_flow: bool,
    position: Position,
) -> Result<Map, seaway_object::Error> {
    let mut map = Map { entries: Vec::with_capacity(entries.len()) };
    // Where the entries of the map are written, in their order.
    let mut places: Vec<Position> = Vec::with_capacity(entries.len());
    let mut known: Option<HashMap<String, usize>> = (entries.len() > SMALL).then(HashMap::new);
    let mut merges = Vec::new();
    for (key, value) in entries {
        let start = key.span.start;
        let NodeKind::Scalar { text, style } = &key.kind else {
            let message = "a map or a list cannot be a key".to_owned();
            return Err(seaway_object::Error::Key { message, position: start });
        };
        if &**text == "<<" && *style == ScalarStyle::Plain {
            if !merges.is_empty() {
                let (key, first) = ("<<".to_owned(), position);
                return Err(seaway_object::Error::DuplicateKey { key, first, position: start });
            }
            merges.push(value);
            continue;
        }
        let Scalar { text: key, tag, .. } = scalar_from_yaml(Arc::unwrap_or_clone(key), false)?;
        if tag != Tag::Text {
            let message = format!("kustomize takes only text as a key: write \"{key}\" in quotes");
            return Err(seaway_object::Error::Key { message, position: start });
        }
        let first = match &mut known {
            Some(known) => known.insert(key.clone(), map.entries.len()),
            None => map.entries.iter().position(|(other, _)| *other == key),
        };
        if let Some(first) = first {
            let first = places.get(first).copied().unwrap_or(position);
            return Err(seaway_object::Error::DuplicateKey { key, first, position: start });
        }
        places.push(start);
        map.entries.push((key, Node::from_yaml_in(value, in_flow)?));
    }
    // Keys of the map itself win, then the sources in the order in which they are named.
    for merge in merges {
        let at = merge.span.start;
        let sources = match &merge.kind {
            NodeKind::Mapping { .. } => vec![merge],
            NodeKind::Sequence { items, .. } => items.clone(),
            NodeKind::Scalar { .. } => return Err(seaway_object::Error::Merge { position: at }),
        };
        for source in sources {
            let start = source.span.start;
            let NodeKind::Mapping { entries, flow } = &source.kind else {
                return Err(seaway_object::Error::Merge { position: start });
            };
            for (key, value) in map_from_yaml(entries.clone(), *flow || in_flow, start)?.entries {
                if map.get(&key).is_none() {
                    map.entries.push((key, value));
                }
            }
        }
    }
    Ok(map)
}
