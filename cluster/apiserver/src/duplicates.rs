//! Keys that a request body holds twice: the last one counts, and strict clients are told.

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::status::{ApiError, Result};

/// Paths of the keys that occur twice in a JSON body, as Kubernetes words them.
pub(crate) fn in_json(body: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(body);
    let _ = Walk { path: &Path::Root, found: &mut found }.deserialize(&mut reader);
    found
}

/// Reads one YAML document and reports its doubled keys.
pub(crate) fn in_yaml(text: &str) -> Result<(Value, Vec<String>)> {
    use seaway_object::yaml;
    let bad = |e: &dyn std::fmt::Display| ApiError::bad_request(format!("error parsing YAML: {e}"));
    if text.trim_start().starts_with('{') {
        let value = serde_json::from_str(text).map_err(|e| bad(&e))?;
        return Ok((value, in_json(text.as_bytes())));
    }
    let nodes = yaml::parse(text, &yaml::Limits::default()).map_err(|e| bad(&e))?;
    let [document] = nodes.as_slice() else {
        return Err(bad(&format!("expected one document, found {}", nodes.len())));
    };
    let resolved = yaml::resolve_document(document, yaml::Dialect::Kubernetes).map_err(|e| bad(&e))?;
    let found = resolved.duplicates.iter().map(|d| word(&dotted(&d.path))).collect();
    Ok((resolved.value, found))
}

/// A JSON pointer as Kubernetes writes paths: `/spec/list/0/x` is `spec.list[0].x`.
fn dotted(pointer: &str) -> String {
    let mut out = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty() {
            out.push_str(&format!("[{part}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(&part);
        }
    }
    out
}

fn word(path: &str) -> String {
    format!("duplicate field \"{path}\"")
}

/// As many are told as kube-apiserver tells, and of a path as much as can be read.
const MOST: usize = 100;
const LONGEST_PATH: usize = 1024;

/// Where the walk is; the words are made only for what is told.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn write(&self, out: &mut String) {
        use std::fmt::Write;
        match self {
            Self::Root => {}
            Self::Key(parent, key) => {
                parent.write(out);
                if !out.is_empty() {
                    out.push('.');
                }
                out.extend(key.chars().take(LONGEST_PATH));
            }
            Self::Index(parent, index) => {
                parent.write(out);
                let _ = write!(out, "[{index}]");
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        match text.char_indices().nth(LONGEST_PATH) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
}

/// Walks a JSON text without building it.
struct Walk<'a> {
    path: &'a Path<'a>,
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            if self.found.len() < MOST && keys.contains(&key) {
                self.found.push(word(&path.text()));
            }
            map.next_value_seed(Walk { path: &path, found: self.found })?;
            keys.insert(key);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let path = Path::Index(self.path, index);
            if list.next_element_seed(Walk { path: &path, found: self.found })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_keys_are_named_by_their_path() {
        let body = br#"{"metadata":{"name":"a","name":"b"},"spec":{"list":[{"x":1,"x":2}]}}"#;
        assert_eq!(
            in_json(body),
            ["duplicate field \"metadata.name\"", "duplicate field \"spec.list[0].x\""]
        );
    }

    #[test]
    fn a_long_key_over_a_long_list_costs_its_own_length() {
        let list = vec!["{\"x\":1,\"x\":2}"; 20_000].join(",");
        let body = format!("{{\"{}\":[{list}]}}", "k".repeat(1 << 20));
        let found = in_json(body.as_bytes());
        assert_eq!(found.len(), MOST);
        assert!(found.iter().all(|f| f.len() < 2 * LONGEST_PATH));
    }
}
