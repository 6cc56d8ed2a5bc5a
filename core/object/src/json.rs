//! JSON texts. JSON is YAML except for tabs and very long keys, and much faster to read as what it is.

use serde_json::Value;

use crate::Error;
use crate::document::{Document, ReadOptions};
use crate::yaml::{Position, SourceMap, from_f64};

pub(crate) fn looks_like_json(text: &str) -> bool {
    text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with(['{', '['])
}

/// All values of a text, one behind the other.
pub(crate) fn read(text: &str, options: &ReadOptions) -> Result<Vec<Document>, Error> {
    if text.len() > options.limits.bytes {
        return Err(Error::TooLarge {
            what: "bytes of text",
            limit: options.limits.bytes,
            position: Position::START,
        });
    }
    let body = text.trim_start_matches('\u{feff}');
    let mut lines = LineCounter { text: body, offset: 0, line: 1, line_start: 0 };
    let skipped = text.len() - body.len();
    let mut documents = Vec::new();
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<Value>();
    loop {
        let from = values.byte_offset();
        let Some(value) = values.next() else { return Ok(documents) };
        let start = from + body[from..].len() - body[from..].trim_start().len();
        let mut position = lines.position(start);
        position.offset += skipped;
        let mut value = value.map_err(|error| {
            let position =
                Position { line: error.line().max(1), column: error.column().max(1), offset: start };
            Error::Syntax { format: "JSON", message: message_of(&error), position }
        })?;
        normalize_numbers(&mut value);
        if !value.is_null() {
            let source_map = SourceMap::start_only(position);
            documents.push(Document { value, position, source_map, duplicates: Vec::new() });
        }
    }
}

/// Without the position that serde_json appends: ours is in the error already.
fn message_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]).to_owned()
}

/// `8.0` is `8`, as everywhere in Kubernetes.
fn normalize_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(normal) = number.as_f64().and_then(from_f64) {
                *value = normal;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize_numbers),
        Value::Object(map) => map.values_mut().for_each(normalize_numbers),
        _ => {}
    }
}

/// Positions of rising offsets, in one pass over the text.
struct LineCounter<'a> {
    text: &'a str,
    offset: usize,
    line: usize,
    line_start: usize,
}

impl LineCounter<'_> {
    fn position(&mut self, offset: usize) -> Position {
        for (index, _) in self.text[self.offset..offset].match_indices('\n') {
            self.line += 1;
            self.line_start = self.offset + index + 1;
        }
        self.offset = offset;
        let column = self.text[self.line_start..offset].chars().count() + 1;
        Position { line: self.line, column, offset }
    }
}
