//! The hash of a ConfigMap's or Secret's content that becomes part of its name.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::Problem;
use crate::node::Node;
use crate::resource::Resource;

/// Ten characters that say what is in the object; the name is not part of it.
pub(crate) fn of(resource: &Resource) -> Result<String, Problem> {
    let field = |name: &str| -> Result<Value, Problem> {
        match resource.node.get(name) {
            None => Ok(Value::from("")),
            Some(Node::Scalar(scalar)) => Ok(Value::from(scalar.text.as_str())),
            Some(node) => node
                .to_value()
                .map_err(|(path, problem)| Problem(format!("{}: {name}.{path}: {problem}", resource.id()))),
        }
    };
    let optional = |name: &'static str| -> Result<Option<(&'static str, Value)>, Problem> {
        let value = field(name)?;
        Ok(value.is_object().then_some((name, value)))
    };
    // The keys in the order in which Go's JSON encoder prints them.
    let mut parts: Vec<(&str, Value)> = Vec::new();
    match resource.kind() {
        "ConfigMap" => {
            parts.extend(optional("binaryData")?);
            parts.push(("data", field("data")?));
            parts.push(("kind", Value::from("ConfigMap")));
            parts.push(("name", Value::from("")));
        }
        "Secret" => {
            parts.push(("data", field("data")?));
            parts.push(("kind", Value::from("Secret")));
            parts.push(("name", Value::from("")));
            parts.extend(optional("stringData")?);
            parts.push(("type", field("type")?));
        }
        _ => {
            let mut text = String::new();
            write_json(&resource.to_value()?, &mut text);
            return Ok(encode(&text));
        }
    }
    let mut text = String::from("{");
    for (index, (name, value)) in parts.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(name, &mut text);
        text.push(':');
        write_json(value, &mut text);
    }
    text.push('}');
    Ok(encode(&text))
}

/// The first ten hexadecimal digits of the SHA-256, without those that could spell something.
fn encode(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
        .chars()
        .take(10)
        .map(|digit| match digit {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            other => other,
        })
        .collect()
}

/// JSON as Go's encoder prints it: keys sorted, `<`, `>`, `&` and the line separators escaped.
fn write_json(value: &Value, text: &mut String) {
    match value {
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_json(item, text);
            }
            text.push(']');
        }
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(key, text);
                text.push(':');
                write_json(&object[key], text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
