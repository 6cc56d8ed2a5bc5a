//! What every server makes up anew is replaced by a word: ids, times, revisions, addresses.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The comparable form of an answer's body.
pub(crate) fn normalise(value: &Value) -> Value {
    let mut value = value.clone();
    if value["kind"] == "Status" && value["status"] == "Failure" {
        status(&mut value);
    }
    walk(&mut value);
    value
}

/// Causes in a fixed order, by field and reason; of the words only those that carry the substance.
fn status(value: &mut Value) {
    let invalid = value["reason"] == "Invalid";
    // Of a request that cannot be read, each decoder has words of its own.
    let unread = value["reason"] == "BadRequest" && value["details"].is_null()
        || value["reason"] == "UnsupportedMediaType"
        || value["reason"] == "NotAcceptable"
        || value["reason"].is_null();
    if unread {
        value["message"] = "<words>".into();
        value["details"] = Value::Null;
    }
    // What does not apply is told in more words than by the real one.
    const REJECTED: &str = "the server rejected our request due to an error in our request";
    if value["message"].as_str().is_some_and(|m| m.starts_with(REJECTED)) {
        value["message"] = REJECTED.into();
        value["details"] = Value::Null;
    }
    if value["message"]
        .as_str()
        .is_some_and(|m| m.contains("oo large resource version") || m.contains("oo old resource version"))
    {
        value["message"] = "<revision>".into();
    }
    let causes = value["details"]["causes"].as_array().cloned().unwrap_or_default();
    if value["message"]
        .as_str()
        .is_some_and(|m| m.contains("in record (") || m.contains("Precondition failed"))
    {
        value["message"] = "<precondition>".into();
    }
    if causes.is_empty() {
        return;
    }
    let mut list: Vec<String> = causes
        .iter()
        .map(|c| format!("{} {}", c["field"].as_str().unwrap_or("-"), c["reason"].as_str().unwrap_or("-")))
        .collect();
    list.sort();
    list.dedup();
    value["details"]["causes"] = list.into();
    // The message repeats the causes, in another order.
    if invalid && let Some(message) = value["message"].as_str() {
        let head = message.split_once(" is invalid:").map_or(message, |(head, _)| head).to_owned();
        value["message"] = head.into();
    }
}

fn walk(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(walk),
        Value::Object(map) => object(map),
        Value::String(text) => {
            if let Some(word) = word(text) {
                *text = word;
            }
        }
        _ => {}
    }
}

fn object(map: &mut Map<String, Value>) {
    if let (Some(Value::String(base)), Some(name)) = (map.get("generateName"), map.get("name"))
        && name.as_str().is_some_and(|n| n.starts_with(base.as_str()) && n.len() == base.len() + 5)
    {
        let name = format!("{base}<random>");
        map.insert("name".into(), name.into());
    }
    let is_column = map.contains_key("priority") && map.contains_key("format");
    for (key, value) in map.iter_mut() {
        match (key.as_str(), &*value) {
            ("managedFields", Value::Array(entries)) => *value = managers(entries),
            ("description", Value::String(_)) if is_column => *value = "<words>".into(),
            ("uid", Value::String(s)) if !s.is_empty() => *value = "<uid>".into(),
            ("resourceVersion", Value::String(s)) if !s.is_empty() && s != "0" => {
                *value = "<revision>".into()
            }
            ("message", Value::String(s)) if s.starts_with("too old resource version") => {
                *value = "<revision>".into();
            }
            ("continue", Value::String(s)) if !s.is_empty() => *value = "<continue>".into(),
            ("clusterIP", Value::String(s)) if s.starts_with("10.96.") => *value = "<ip>".into(),
            ("clusterIPs", Value::Array(list)) => {
                let known = |ip: &Value| ip.as_str().is_some_and(|s| s.starts_with("10.96."));
                let ips = list.iter().map(|ip| if known(ip) { "<ip>".into() } else { ip.clone() }).collect();
                *value = Value::Array(ips);
            }
            ("nodePort", Value::Number(_)) => *value = "<port>".into(),
            _ => walk(value),
        }
    }
}

/// Owners by manager, operation and version: the paths each owns.
///
/// The subresource is left out and its fields are joined with the manager's others: the older server does
/// not record it (accepted.toml says which change brought it).
fn managers(entries: &[Value]) -> Value {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        let key = format!("{}/{}/{}", text("manager"), text("operation"), text("apiVersion"));
        paths(&entry["fieldsV1"], "", out.entry(key).or_default());
    }
    out.into_iter().map(|(k, v)| (k, v.into_iter().map(Value::from).collect())).collect::<Map<_, _>>().into()
}

fn paths(fields: &Value, prefix: &str, out: &mut BTreeSet<String>) {
    let Some(map) = fields.as_object() else { return };
    if map.is_empty() {
        out.insert(if prefix.is_empty() { "-".into() } else { prefix.to_owned() });
        return;
    }
    for (key, below) in map {
        if key == "." {
            out.insert(format!("{prefix}/."));
        } else {
            paths(below, &format!("{prefix}/{}", word(&strip(key)).unwrap_or_else(|| strip(key))), out);
        }
    }
}

/// Keys hold JSON whose order of members may differ.
fn strip(key: &str) -> String {
    match key.split_once(':') {
        Some((kind @ ("k" | "v"), json)) => {
            let parsed: Value = serde_json::from_str(json).unwrap_or(Value::Null);
            let sorted: BTreeMap<String, Value> = match parsed {
                Value::Object(map) => map.into_iter().collect(),
                other => return format!("{kind}:{other}"),
            };
            format!("{kind}:{}", serde_json::to_string(&sorted).unwrap())
        }
        _ => key.to_owned(),
    }
}

/// A text without ids and times, when it holds some.
fn word(text: &str) -> Option<String> {
    let is_time = |t: &str| {
        t.len() >= 20 && t.ends_with('Z') && t.as_bytes()[4] == b'-' && t.as_bytes().get(10) == Some(&b'T')
    };
    if text.is_ascii() && is_time(text) {
        return Some("<time>".into());
    }
    // Ids inside messages.
    let bytes = text.as_bytes();
    let id_at = |i: usize| {
        bytes.get(i..i + 36).is_some_and(|id| {
            id.iter().enumerate().all(|(n, b)| match n {
                8 | 13 | 18 | 23 => *b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
        })
    };
    let mut out = String::new();
    let (mut from, mut i) = (0, 0);
    while i < bytes.len() {
        if id_at(i) {
            out.push_str(&text[from..i]);
            out.push_str("<uid>");
            i += 36;
            from = i;
        } else {
            i += 1;
        }
    }
    (from > 0).then(|| out + &text[from..])
}
