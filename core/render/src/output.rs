//! Objects as text.

use seaway_object::{identity, yaml};
use serde_json::Value;

use crate::Rendered;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// YAML documents, as `kustomize build` prints them.
    Yaml,
    /// One JSON object of kind `List`.
    Json,
    /// A line per object: `kind.group/name`, behind its namespace if it has one.
    Names,
}

impl Rendered {
    /// The objects as text, ending with a line break unless there are none.
    pub fn to_text(&self, format: Format) -> String {
        let values = || self.objects.iter().map(|object| &object.value);
        match format {
            Format::Yaml => yaml::write_documents(values()),
            Format::Json => {
                let items: Vec<&Value> = values().collect();
                let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
                format!("{list:#}\n")
            }
            Format::Names => values().map(|value| name(value) + "\n").collect(),
        }
    }
}

fn name(value: &Value) -> String {
    let (group, _) = identity::api_version(value).split_once('/').unwrap_or_default();
    let dot = if group.is_empty() { "" } else { "." };
    let name = format!("{}{dot}{group}/{}", identity::kind(value).to_lowercase(), identity::name(value));
    match identity::namespace(value) {
        Some(namespace) if !namespace.is_empty() => format!("{namespace} {name}"),
        _ => name,
    }
}
