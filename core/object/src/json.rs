//! JSON texts. JSON is YAML except for tabs and very long keys, and much faster to read as what it is.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::document::{Document, ReadOptions};
use crate::yaml::{Position, from_f64};
use crate::{Error, document};

/// What reading a text as JSON came to.
pub(crate) enum Json {
    Documents(Vec<Document>),
    /// It is not JSON, perhaps YAML in flow style.
    Invalid(Error),
    /// The YAML parser must look: a key stands twice in an object, and only that parser knows where; or there may be
    /// more values than the limits allow, and only that parser counts while it reads.
    LookCloser,
}

pub(crate) fn looks_like_json(text: &str) -> bool {
    text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with(['{', '['])
}

/// All values of a text, one behind the other.
pub(crate) fn read(text: &str, options: &ReadOptions) -> Json {
    let signs = text.bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    if text.len() > options.limits.bytes || signs > options.limits.nodes {
        return Json::LookCloser;
    }
    let body = text.trim_start_matches('\u{feff}');
    let skipped = text.len() - body.len();
    let mut lines = LineCounter { text: body, at: Position::START };
    let mut documents = Vec::new();
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<Checked>();
    loop {
        let from = values.byte_offset();
        let Some(value) = values.next() else { return Json::Documents(documents) };
        let start = from + body[from..].len() - body[from..].trim_start().len();
        let mut position = lines.position(start);
        position.offset += skipped;
        match value {
            Ok(Checked { duplicates: true, .. }) => return Json::LookCloser,
            Ok(Checked { value: Value::Null, .. }) => {}
            Ok(Checked { value, .. }) => {
                documents.push(document::without_positions(value, position));
            }
            Err(error) => {
                let (line, column) = (error.line().max(1), error.column().max(1));
                let offset = skipped + offset_of(body, line, column);
                return Json::Invalid(Error::Syntax {
                    format: "JSON",
                    message: message_of(&error),
                    position: Position { line, column, offset },
                });
            }
        }
    }
}

/// serde_json counts columns in bytes from 1, and an error at the end of a line has column 0 of the next.
fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    (start + column - 1).min(text.len())
}

/// Without the position that serde_json appends: ours is in the error already.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

/// A value that remembers whether one of its objects had a key twice. The last one wins, as in Go.
struct Checked {
    value: Value,
    duplicates: bool,
}

impl From<Value> for Checked {
    fn from(value: Value) -> Self {
        Self { value, duplicates: false }
    }
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CheckedVisitor)
    }
}

struct CheckedVisitor;

impl<'de> Visitor<'de> for CheckedVisitor {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Checked, E> {
        Ok(Value::Null.into())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Checked, E> {
        Ok(Value::from(value).into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Checked, E> {
        Ok(Value::from(value).into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Checked, E> {
        Ok(Value::from(value).into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Checked, E> {
        Ok(from_f64(value).unwrap_or_default().into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Checked, E> {
        Ok(Value::from(value).into())
    }

    fn visit_string<E>(self, value: String) -> Result<Checked, E> {
        Ok(Value::from(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        let (mut values, mut duplicates) = (Vec::new(), false);
        while let Some(item) = items.next_element::<Checked>()? {
            duplicates |= item.duplicates;
            values.push(item.value);
        }
        Ok(Checked { value: Value::Array(values), duplicates })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Checked, A::Error> {
        let (mut object, mut duplicates) = (Map::new(), false);
        while let Some((key, entry)) = entries.next_entry::<String, Checked>()? {
            duplicates |= entry.duplicates;
            duplicates |= object.insert(key, entry.value).is_some();
        }
        Ok(Checked { value: Value::Object(object), duplicates })
    }
}

/// Positions of rising offsets, in one pass over the text.
struct LineCounter<'a> {
    text: &'a str,
    at: Position,
}

impl LineCounter<'_> {
    fn position(&mut self, offset: usize) -> Position {
        for c in self.text[self.at.offset..offset].chars() {
            match c {
                '\n' => (self.at.line, self.at.column) = (self.at.line + 1, 1),
                _ => self.at.column += 1,
            }
        }
        self.at.offset = offset;
        self.at
    }
}
