//! Types of expressions, and the types that schemas have in rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::super::formats::TextFormat;
use super::super::schema::{JsonType, Schema, plain_text, visible_metadata};

/// The type of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Known only when the rule runs.
    Dyn,
    /// `null`.
    Null,
    /// `bool`.
    Bool,
    /// `int`: 64 bits.
    Int,
    /// `uint`: 64 bits.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    Text,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// The type of types.
    Meta,
    /// Of items of a type.
    List(Arc<Type>),
    /// Of keys and values of two types.
    Map(Arc<Type>, Arc<Type>),
    /// A structure with known fields.
    Object(Arc<ObjectType>),
    /// A value that may be absent.
    Optional(Arc<Type>),
    /// Types of Kubernetes' libraries, by their name.
    Library(&'static str),
    /// A type that a call decides: `A` in `list<A>`.
    Variable(char),
}

/// A structure with known fields.
#[derive(Debug, PartialEq)]
pub struct ObjectType {
    /// By their names in rules.
    pub(crate) fields: BTreeMap<String, Type>,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Dyn => f.write_str("dyn"),
            Type::Null => f.write_str("null"),
            Type::Bool => f.write_str("bool"),
            Type::Int => f.write_str("int"),
            Type::Uint => f.write_str("uint"),
            Type::Double => f.write_str("double"),
            Type::Text => f.write_str("string"),
            Type::Bytes => f.write_str("bytes"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Duration => f.write_str("duration"),
            Type::Meta => f.write_str("type"),
            Type::List(item) => write!(f, "list({item})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Object(_) => f.write_str("object"),
            Type::Optional(value) => write!(f, "optional_type({value})"),
            Type::Library(name) => f.write_str(name),
            Type::Variable(name) => write!(f, "{name}"),
        }
    }
}

impl Type {
    pub(crate) fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    pub(crate) fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new(key), Arc::new(value))
    }

    /// The type of a value that may be absent.
    pub fn optional(value: Type) -> Type {
        Type::Optional(Arc::new(value))
    }

    /// Whether a value of one type may be one of the other.
    pub(crate) fn agrees(&self, other: &Type) -> bool {
        match (self, other) {
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::List(one), Type::List(other)) | (Type::Optional(one), Type::Optional(other)) => {
                one.agrees(other)
            }
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                key.agrees(other_key) && value.agrees(other_value)
            }
            (Type::Object(one), Type::Object(other)) => Arc::ptr_eq(one, other) || one == other,
            (
                Type::Null,
                Type::Object(_) | Type::Timestamp | Type::Duration | Type::Library(_) | Type::Optional(_),
            )
            | (
                Type::Object(_) | Type::Timestamp | Type::Duration | Type::Library(_) | Type::Optional(_),
                Type::Null,
            ) => true,
            (one, other) => one == other,
        }
    }

    /// The type of the two that says more.
    pub(crate) fn common(&self, other: &Type) -> Type {
        match (self, other) {
            (Type::Dyn, other) => other.clone(),
            (Type::List(one), Type::List(other)) => Type::list(one.common(other)),
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                Type::map(key.common(other_key), value.common(other_value))
            }
            (Type::Optional(one), Type::Optional(other)) => Type::optional(one.common(other)),
            (Type::Null, other) => other.clone(),
            (one, _) => one.clone(),
        }
    }

    /// The type that rules see for a schema; `None` for values that they cannot see.
    pub fn of_schema(schema: &Schema, is_resource: bool) -> Option<Type> {
        if schema.int_or_string {
            return Some(Type::Dyn);
        }
        match schema.json_type? {
            JsonType::Array => {
                let items = schema.items.as_ref()?;
                Some(Type::list(Type::of_schema(items, items.embedded)?))
            }
            JsonType::Object => {
                let is_resource = is_resource || schema.embedded;
                if let Some(each) = schema.each()
                    && !is_resource
                {
                    return Some(Type::map(Type::Text, Type::of_schema(each, each.embedded)?));
                }
                let mut fields: BTreeMap<String, Type> = schema
                    .properties
                    .iter()
                    .filter_map(|(name, one)| Some((escape(name)?, Type::of_schema(one, one.embedded)?)))
                    .collect();
                if is_resource {
                    for name in ["apiVersion", "kind", "metadata"] {
                        if let Some(schema) = resource_field(name)
                            && let Some(visible) = Type::of_schema(schema, false)
                        {
                            fields.insert(name.to_owned(), visible);
                        }
                    }
                }
                Some(Type::Object(Arc::new(ObjectType { fields })))
            }
            JsonType::String => Some(match schema.format.as_ref().and_then(|format| format.text) {
                Some(TextFormat::Byte) => Type::Bytes,
                Some(TextFormat::Duration) => Type::Duration,
                Some(TextFormat::Date | TextFormat::DateTime) => Type::Timestamp,
                _ => Type::Text,
            }),
            JsonType::Boolean => Some(Type::Bool),
            JsonType::Number => Some(Type::Double),
            JsonType::Integer => Some(Type::Int),
        }
    }
}

/// The schema that rules see for what every object has.
pub(crate) fn resource_field(name: &str) -> Option<&'static Schema> {
    match name {
        "apiVersion" | "kind" => Some(plain_text()),
        "metadata" => Some(visible_metadata()),
        _ => None,
    }
}

/// Words that cannot be names of fields in rules.
const KEYWORDS: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name that a property has in rules; `None` for one that rules cannot name.
pub(crate) fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if KEYWORDS.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            escaped.push_str("__underscores__");
            rest = after;
            continue;
        }
        match c {
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => escaped.push(c),
            _ => return None,
        }
        rest = &rest[c.len_utf8()..];
    }
    Some(escaped)
}

/// The property that a name in rules means.
pub(crate) fn unescape(name: &str) -> String {
    if !name.contains("__") {
        return name.to_owned();
    }
    if let Some(word) = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"))
        && KEYWORDS.contains(&word)
    {
        return word.to_owned();
    }
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    'next: while let Some(c) = rest.chars().next() {
        for (escape, means) in
            [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")]
        {
            if let Some(after) = rest.strip_prefix(escape) {
                plain.push_str(means);
                rest = after;
                continue 'next;
            }
        }
        plain.push(c);
        rest = &rest[c.len_utf8()..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_in_kubernetes() {
        for (name, escaped) in [
            ("a", "a"),
            ("my_field", "my_field"),
            ("a-b", "a__dash__b"),
            ("a.b/c", "a__dot__b__slash__c"),
            ("a__b", "a__underscores__b"),
            ("namespace", "__namespace__"),
            ("in", "__in__"),
            ("_", "_"),
        ] {
            assert_eq!(escape(name).as_deref(), Some(escaped));
            assert_eq!(unescape(escaped), name);
        }
        for name in ["", "1a", "a b", "ä", "$ref"] {
            assert_eq!(escape(name), None);
        }
    }
}
