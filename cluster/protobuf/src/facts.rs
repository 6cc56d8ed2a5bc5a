//! The messages: which field has which number, name and type. Written by `cargo xtask protobuf`, parsed at first use.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

const TEXT: &str = include_str!("../facts/kubernetes-1.37.json");

static FACTS: LazyLock<Facts> =
    LazyLock::new(|| Facts::parse(TEXT).expect("the embedded facts are checked by this crate's tests"));

/// The fields of a message by number.
pub(crate) type Message = BTreeMap<u32, Field>;

/// One field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its JSON name; empty if the message's fields are those of the message around it.
    pub(crate) name: String,
    pub(crate) ty: Type,
    /// Left out if it is zero.
    pub(crate) omit_empty: bool,
    /// Left out if it is zero, also as a message.
    pub(crate) omit_zero: bool,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Bool,
    Int32,
    Int64,
    Float64,
    String,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// A message whose field 1 is JSON text (RawExtension, FieldsV1).
    Json,
    /// A message whose field 1 is this list (ExtraValue).
    Wrapped(Box<Type>),
    Pointer(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>),
    Message(usize),
}

/// The facts.
#[derive(Debug)]
pub(crate) struct Facts {
    messages: Vec<Message>,
    /// `apps/v1/Deployment`, `/v1/Pod`
    kinds: HashMap<String, usize>,
}

impl Facts {
    pub(crate) fn get() -> &'static Facts {
        &FACTS
    }

    pub(crate) fn message(&self, index: usize) -> Option<&Message> {
        self.messages.get(index)
    }

    /// The message of a kind. Options (DeleteOptions) belong to every group.
    pub(crate) fn kind(&self, api_version: &str, kind: &str) -> Option<usize> {
        let group = if api_version.contains('/') { "" } else { "/" };
        let own = self.kinds.get(&format!("{group}{api_version}/{kind}"));
        let any = || {
            let options = kind.ends_with("Options");
            options.then(|| self.kinds.get(&format!("meta.k8s.io/v1/{kind}"))).flatten()
        };
        own.or_else(any).copied()
    }

    fn parse(text: &str) -> Result<Facts, String> {
        let document: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let listed = document["messages"].as_object().ok_or("no messages")?;
        let index: HashMap<&str, usize> =
            listed.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
        let mut messages = Vec::with_capacity(listed.len());
        for (name, fields) in listed {
            let mut message = Message::new();
            for (number, field) in fields.as_object().ok_or_else(|| format!("{name}: no fields"))? {
                let text = |slot: usize| field[slot].as_str();
                let (Ok(number), Some(json), Some(ty)) = (number.parse(), text(0), text(1)) else {
                    return Err(format!("{name}.{number}: {field}"));
                };
                let ty = Type::parse(ty, &index).ok_or_else(|| format!("{name}.{json}: type {ty}"))?;
                let (omit_empty, omit_zero) = (text(2).is_some(), text(2) == Some("omitzero"));
                message.insert(number, Field { name: json.to_owned(), ty, omit_empty, omit_zero });
            }
            messages.push(message);
        }
        let mut kinds = HashMap::new();
        for (kind, message) in document["kinds"].as_object().ok_or("no kinds")? {
            let message = message.as_str().and_then(|name| index.get(name));
            kinds.insert(kind.clone(), *message.ok_or_else(|| format!("{kind}: no message"))?);
        }
        Ok(Facts { messages, kinds })
    }
}

impl Type {
    fn parse(text: &str, messages: &HashMap<&str, usize>) -> Option<Type> {
        let inner = |rest: &str| Type::parse(rest, messages).map(Box::new);
        if let Some(rest) = text.strip_prefix('*') {
            return inner(rest).map(Type::Pointer);
        }
        if let Some(rest) = text.strip_prefix("[]") {
            return inner(rest).map(Type::List);
        }
        if let Some(rest) = text.strip_prefix("map[string]") {
            return inner(rest).map(Type::Map);
        }
        if let Some(rest) = text.strip_prefix("{[]").and_then(|rest| rest.strip_suffix('}')) {
            return inner(rest).map(Type::Wrapped);
        }
        Some(match text {
            "bool" => Type::Bool,
            "int32" => Type::Int32,
            "int64" => Type::Int64,
            "float64" => Type::Float64,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "Time" => Type::Time,
            "MicroTime" => Type::MicroTime,
            "Quantity" => Type::Quantity,
            "IntOrString" => Type::IntOrString,
            "JSON" => Type::Json,
            name => Type::Message(*messages.get(name)?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_embedded_facts_are_whole() {
        let facts = Facts::parse(TEXT).unwrap();
        assert!(facts.messages.len() > 500 && facts.kinds.len() > 140);
        let pod = facts.message(facts.kind("v1", "Pod").unwrap()).unwrap();
        assert_eq!(pod[&1].name, "metadata");
        let deployment = facts.message(facts.kind("apps/v1", "Deployment").unwrap()).unwrap();
        let Type::Message(spec) = deployment[&2].ty else { panic!("{:?}", deployment[&2]) };
        assert_eq!(facts.message(spec).unwrap()[&1].ty, Type::Pointer(Box::new(Type::Int32)));
    }

    #[test]
    fn options_belong_to_every_group() {
        let facts = Facts::get();
        assert_eq!(facts.kind("policy/v1", "DeleteOptions"), facts.kind("meta.k8s.io/v1", "DeleteOptions"));
        assert!(facts.kind("v1", "DeleteOptions").is_some());
        assert_eq!(facts.kind("example.com/v1", "Widget"), None);
    }
}
