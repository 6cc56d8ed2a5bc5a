//! A structural schema, read once: what its keywords say, with patterns compiled.
//!
//! Reading never fails. What a definition must not contain is refused when the definition is created; here such
//! parts simply say nothing.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::formats::TextFormat;
use super::patterns::{self, PatternError};

/// A type of the schema language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// A list.
    Array,
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A structure or a map.
    Object,
    /// A text.
    String,
}

impl JsonType {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "array" => Self::Array,
            "boolean" => Self::Boolean,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "object" => Self::Object,
            "string" => Self::String,
            _ => return None,
        })
    }

    /// As schemas name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
            Self::String => "string",
        }
    }
}

/// A `format` that is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Format {
    /// As the schema has it.
    pub name: String,
    /// None for formats of numbers, which only say how they are stored.
    pub text: Option<TextFormat>,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// One value.
    Atomic,
    /// Of values that differ.
    Set,
    /// Of structures that differ in their keys.
    Map,
}

/// What a field without a property of its name may hold.
#[derive(Debug)]
pub enum Additional {
    /// Anything.
    Any,
    /// There is none.
    Nothing,
    /// What this schema allows.
    Each(Box<Schema>),
}

/// A limit of numbers.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// The number.
    pub limit: f64,
    /// Whether the number itself is beyond the limit.
    pub exclusive: bool,
}

/// A pattern with its source.
#[derive(Debug)]
pub struct Pattern {
    /// As it is written.
    pub source: String,
    /// Compiled, or why it cannot be.
    pub regex: Result<Regex, PatternError>,
}

/// One of `x-kubernetes-validations`, as it is written.
#[derive(Debug, Clone, Default)]
pub struct RuleText {
    /// The expression; it gives a bool.
    pub rule: String,
    /// What errors say; empty: the rule itself.
    pub message: String,
    /// An expression that makes the message.
    pub message_expression: String,
    /// Why, in one word of the API.
    pub reason: Option<String>,
    /// The field that errors name, below the node.
    pub field_path: String,
    /// Whether the rule runs without a former state.
    pub optional_old_self: Option<bool>,
}

/// A schema node.
#[derive(Debug, Default)]
pub struct Schema {
    /// `type`.
    pub json_type: Option<JsonType>,
    /// `format`, when it is one that is known.
    pub format: Option<Format>,
    /// Whether `null` is a value.
    pub nullable: bool,
    /// Whether there is a default.
    pub has_default: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`.
    pub embedded: bool,
    /// `enum`; empty: any value.
    pub options: Vec<Value>,
    /// `pattern`.
    pub pattern: Option<Pattern>,
    /// In characters.
    pub max_length: Option<u64>,
    /// In characters.
    pub min_length: Option<u64>,
    /// The largest number.
    pub maximum: Option<Bound>,
    /// The smallest number.
    pub minimum: Option<Bound>,
    /// `multipleOf`.
    pub multiple_of: Option<f64>,
    /// Of lists.
    pub max_items: Option<u64>,
    /// Of lists.
    pub min_items: Option<u64>,
    /// Of structures and maps.
    pub max_properties: Option<u64>,
    /// Of structures and maps.
    pub min_properties: Option<u64>,
    /// Properties that must be there.
    pub required: Vec<String>,
    /// By name.
    pub properties: BTreeMap<String, Schema>,
    /// `additionalProperties`; absent: nothing is said of them.
    pub additional: Option<Additional>,
    /// Of each item of a list.
    pub items: Option<Box<Schema>>,
    /// All of these hold as well.
    pub all_of: Vec<Schema>,
    /// At least one of these holds as well.
    pub any_of: Vec<Schema>,
    /// Exactly one of these holds as well.
    pub one_of: Vec<Schema>,
    /// This one does not hold.
    pub not: Option<Box<Schema>>,
    /// `x-kubernetes-list-type`.
    pub list_type: Option<ListType>,
    /// `x-kubernetes-list-map-keys`.
    pub list_map_keys: Vec<String>,
    /// `x-kubernetes-validations`.
    pub rules: Vec<RuleText>,
}

impl Schema {
    /// Reads a schema; anything but an object is a schema that allows everything.
    pub fn read(json: &Value) -> Schema {
        let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
        let flag = |name: &str| json.get(name).and_then(Value::as_bool).unwrap_or_default();
        let number = |name: &str| json.get(name).and_then(Value::as_f64);
        let all = |name: &str| json.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let texts = |name: &str| all(name).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let schemas = |name: &str| all(name).iter().map(Schema::read).collect();
        let one = |name: &str| json.get(name).filter(|v| v.is_object()).map(|v| Box::new(Schema::read(v)));
        let bound = |name: &str, exclusive: &str| {
            number(name).map(|limit| Bound { limit, exclusive: flag(exclusive) })
        };
        let json_type = JsonType::named(text("type"));
        let pattern = text("pattern");
        Schema {
            json_type,
            format: format(text("format"), json_type),
            nullable: flag("nullable"),
            has_default: json.get("default").is_some_and(|default| !default.is_null()),
            int_or_string: flag("x-kubernetes-int-or-string"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            options: all("enum").to_vec(),
            pattern: (!pattern.is_empty())
                .then(|| Pattern { source: pattern.to_owned(), regex: patterns::compile(pattern) }),
            max_length: limit(json, "maxLength"),
            min_length: limit(json, "minLength"),
            maximum: bound("maximum", "exclusiveMaximum"),
            minimum: bound("minimum", "exclusiveMinimum"),
            multiple_of: number("multipleOf"),
            max_items: limit(json, "maxItems"),
            min_items: limit(json, "minItems"),
            max_properties: limit(json, "maxProperties"),
            min_properties: limit(json, "minProperties"),
            required: texts("required"),
            properties: json
                .get("properties")
                .and_then(Value::as_object)
                .map(|all| all.iter().map(|(name, one)| (name.clone(), Schema::read(one))).collect())
                .unwrap_or_default(),
            additional: json.get("additionalProperties").and_then(|extra| match extra {
                Value::Bool(true) => Some(Additional::Any),
                Value::Bool(false) => Some(Additional::Nothing),
                Value::Object(_) => Some(Additional::Each(Box::new(Schema::read(extra)))),
                _ => None,
            }),
            items: one("items"),
            all_of: schemas("allOf"),
            any_of: schemas("anyOf"),
            one_of: schemas("oneOf"),
            not: one("not"),
            list_type: match text("x-kubernetes-list-type") {
                "atomic" => Some(ListType::Atomic),
                "set" => Some(ListType::Set),
                "map" => Some(ListType::Map),
                _ => None,
            },
            list_map_keys: texts("x-kubernetes-list-map-keys"),
            rules: all("x-kubernetes-validations").iter().map(RuleText::read).collect(),
        }
    }

    /// The names of the types that are allowed, as errors list them.
    pub fn types(&self) -> &'static [&'static str] {
        if self.int_or_string {
            return &["integer", "string"];
        }
        match self.json_type {
            None => &[],
            Some(JsonType::Array) => &["array"],
            Some(JsonType::Boolean) => &["boolean"],
            Some(JsonType::Integer) => &["integer"],
            Some(JsonType::Number) => &["number"],
            Some(JsonType::Object) => &["object"],
            Some(JsonType::String) => &["string"],
        }
    }

    /// The schema of the field `name`, from its property or from those of additional ones.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or_else(|| self.each())
    }

    /// The schema of additional properties, if they have one.
    pub fn each(&self) -> Option<&Schema> {
        match &self.additional {
            Some(Additional::Each(schema)) => Some(schema),
            _ => None,
        }
    }

    /// The item of `old` that is the former state of `item`: in a map list the one with the same keys. Items of
    /// other lists have no identity.
    pub fn former_item<'a>(&self, old: &'a [Value], item: &Value) -> Option<&'a Value> {
        if self.list_type != Some(ListType::Map) || self.list_map_keys.is_empty() || !item.is_object() {
            return None;
        }
        old.iter().find(|one| self.list_map_keys.iter().all(|key| one.get(key) == item.get(key)))
    }

    /// Whether this node or one below has rules, apart from junctors other than `allOf`.
    pub fn has_rules(&self) -> bool {
        !self.rules.is_empty()
            || self.items.as_ref().is_some_and(|items| items.has_rules())
            || self.each().is_some_and(Schema::has_rules)
            || self.properties.values().any(Schema::has_rules)
            || self.all_of.iter().any(Schema::has_rules)
    }
}

impl RuleText {
    fn read(json: &Value) -> RuleText {
        let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        RuleText {
            rule: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: json.get("reason").and_then(Value::as_str).map(str::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: json.get("optionalOldSelf").and_then(Value::as_bool),
        }
    }

    /// What errors call the rule.
    pub fn name(&self) -> &str {
        let message = self.message.trim();
        if self.message.is_empty() { self.rule.trim() } else { message }
    }
}

/// A limit of lengths; a negative one limits nothing from below and refuses everything from above.
fn limit(json: &Value, name: &str) -> Option<u64> {
    let value = json.get(name)?;
    value.as_u64().or_else(|| value.as_i64().map(|_| 0)).or_else(|| {
        let number = value.as_f64()?;
        // Truncation is meant: lengths are whole.
        (number >= 0.0).then_some(number as u64)
    })
}

fn format(name: &str, json_type: Option<JsonType>) -> Option<Format> {
    let known = match json_type {
        None | Some(JsonType::String) => {
            let text = TextFormat::named(name)?;
            return Some(Format { name: name.to_owned(), text: Some(text) });
        }
        Some(JsonType::Integer) => matches!(name, "int32" | "int64"),
        Some(JsonType::Number) => matches!(name, "float" | "double"),
        Some(_) => false,
    };
    known.then(|| Format { name: name.to_owned(), text: None })
}

/// The schema of texts without any rule.
pub fn plain_text() -> &'static Schema {
    static TEXT: LazyLock<Schema> =
        LazyLock::new(|| Schema { json_type: Some(JsonType::String), ..Schema::default() });
    &TEXT
}

/// What rules see of `metadata`.
pub fn visible_metadata() -> &'static Schema {
    static METADATA: LazyLock<Schema> = LazyLock::new(|| {
        let text = || Schema { json_type: Some(JsonType::String), ..Schema::default() };
        Schema {
            json_type: Some(JsonType::Object),
            properties: [("name".to_owned(), text()), ("generateName".to_owned(), text())].into(),
            ..Schema::default()
        }
    });
    &METADATA
}
