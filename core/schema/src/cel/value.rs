//! Values of expressions. Structures and lists of an object are not copied: their fields get a value when they are
//! looked at.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::Value as Json;

use super::super::formats::{TextFormat, parse_date, parse_date_time, parse_duration};
use super::super::schema::{JsonType, ListType, Schema};
use super::super::url::Url;
use super::library::named::NamedFormat;
use super::library::semver::Semver;
use super::types::{resource_field, unescape};
use super::{Cost, EvalError, Outcome};
use crate::quantity::Quantity;

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `uint`.
    Uint(u64),
    /// `double`.
    Double(f64),
    /// `string`.
    Text(Arc<str>),
    /// `bytes`.
    Bytes(Arc<[u8]>),
    /// A moment.
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    /// The name of a type.
    Type(&'static str),
    /// A list that the expression made.
    List(Rc<Vec<Value<'a>>>),
    /// A map that the expression made.
    Map(Rc<Vec<(Value<'a>, Value<'a>)>>),
    /// A list or a structure of the object.
    Node(Node<'a>),
    /// A value that may be absent.
    Optional(Option<Rc<Value<'a>>>),
    /// A URL.
    Url(Rc<Url>),
    /// An address.
    Ip(IpAddr),
    /// A network, and how many of its bits are fixed.
    Cidr(IpAddr, u8),
    /// An amount of a resource.
    Quantity(Quantity),
    /// A version.
    Semver(Rc<Semver>),
    /// A format of texts.
    Format(NamedFormat),
}

/// A list or a structure, with its schema if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    pub(crate) json: &'a Json,
    /// Without one, structures are maps: their keys are as they stand there.
    pub(crate) schema: Option<&'a Schema>,
    /// Whether it is a whole object, with apiVersion, kind and metadata.
    pub(crate) is_resource: bool,
}

fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(EvalError::Failed(text.into()))
}

impl<'a> Value<'a> {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Value::Text(Arc::from(text.as_ref()))
    }

    pub(crate) fn list(items: Vec<Value<'a>>) -> Self {
        Value::List(Rc::new(items))
    }

    /// A value that might have been absent.
    pub fn some(value: Value<'a>) -> Self {
        Value::Optional(Some(Rc::new(value)))
    }

    /// The value of a part of an object that a schema describes.
    ///
    /// # Errors
    /// When the schema wants something else there.
    pub fn of(json: &'a Json, schema: &'a Schema, is_resource: bool) -> Outcome<Self> {
        if json.is_null() {
            return if schema.nullable {
                Ok(Value::Null)
            } else {
                fail("invalid data, got null for schema with nullable=false")
            };
        }
        if schema.int_or_string {
            return match json {
                Json::String(text) => Ok(Value::text(text)),
                Json::Number(number) if number.is_i64() => {
                    Ok(Value::Int(number.as_i64().unwrap_or_default()))
                }
                _ => fail("invalid data, expected XIntOrString value to be either a string or integer"),
            };
        }
        let expected = |what: &str| fail(format!("invalid data, expected {what}"));
        match (schema.json_type, json) {
            (Some(JsonType::Object), Json::Object(_)) | (Some(JsonType::Array), Json::Array(_)) => {
                Ok(Value::Node(Node {
                    json,
                    schema: Some(schema),
                    is_resource: is_resource || schema.embedded,
                }))
            }
            (Some(JsonType::String), Json::String(text)) => text_of(text, schema),
            (Some(JsonType::Boolean), Json::Bool(value)) => Ok(Value::Bool(*value)),
            (Some(JsonType::Integer), Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
                (Some(value), _) => Ok(Value::Int(value)),
                // 1.0 is a whole number.
                (None, Some(value)) if value.fract() == 0.0 && value.abs() < 9e18 => {
                    Ok(Value::Int(value as i64))
                }
                _ => expected("int"),
            },
            (Some(JsonType::Number), Json::Number(number)) => {
                Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN)))
            }
            (Some(wanted), _) => expected(wanted.name()),
            (None, _) => fail("invalid type, the schema does not say what the value is"),
        }
    }

    /// The value of JSON that no schema describes: objects are maps, whole numbers are `int`, others `double`.
    ///
    /// # Errors
    /// When there are not enough steps left for a long text.
    pub fn untyped(json: &'a Json, cost: &mut Cost) -> Outcome<Self> {
        Ok(match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Value::Int(value),
                (None, Some(value)) => Value::Uint(value),
                (None, None) => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            // It is copied.
            Json::String(text) => {
                cost.charge_text(text.len())?;
                Value::text(text)
            }
            Json::Array(_) | Json::Object(_) => Value::Node(Node { json, schema: None, is_resource: false }),
        })
    }

    /// The name of the value's type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::Text(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::Type(_) => "type",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Node(node) if node.json.is_array() => "list",
            Value::Node(_) => "map",
            Value::Optional(_) => "optional_type",
            Value::Url(_) => "kubernetes.URL",
            Value::Ip(_) => "net.IP",
            Value::Cidr(..) => "net.CIDR",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Format(_) => "kubernetes.NamedFormat",
        }
    }

    /// The number of items or entries; `None` for values that have none.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Value::List(items) => Some(items.len()),
            Value::Map(entries) => Some(entries.len()),
            Value::Node(Node { json: Json::Array(items), .. }) => Some(items.len()),
            Value::Node(Node { json: Json::Object(fields), .. }) => Some(fields.len()),
            _ => None,
        }
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Value::List(_) | Value::Node(Node { json: Json::Array(_), .. }))
    }

    /// The items of a list.
    pub(crate) fn items(&self, cost: &mut Cost) -> Outcome<Vec<Value<'a>>> {
        cost.charge(self.length().unwrap_or(0))?;
        match self {
            Value::List(items) => Ok(items.to_vec()),
            Value::Node(node) => match node.json {
                Json::Array(items) => items.iter().map(|item| node.item(item, cost)).collect(),
                _ => fail("no such overload"),
            },
            _ => fail("no such overload"),
        }
    }

    /// Keys and values of a map, indexes and items of a list.
    pub(crate) fn entries(&self, cost: &mut Cost) -> Outcome<Vec<(Value<'a>, Value<'a>)>> {
        match self {
            Value::Map(entries) => {
                cost.charge(entries.len())?;
                Ok(entries.to_vec())
            }
            Value::Node(node @ Node { json: Json::Object(fields), .. }) => {
                cost.charge(fields.len())?;
                let mut entries = Vec::with_capacity(fields.len());
                for (name, json) in fields {
                    if let Some(value) = node.child(name, json, cost) {
                        entries.push((Value::text(name), value?));
                    }
                }
                Ok(entries)
            }
            list if list.is_list() => {
                let items = list.items(cost)?;
                let index = |index: usize| Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                Ok(items.into_iter().enumerate().map(|(at, item)| (index(at), item)).collect())
            }
            _ => fail("no such overload"),
        }
    }

    /// The field or entry of a name; `None` when there is none.
    pub(crate) fn field(&self, name: &str, cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
        match self {
            Value::Node(node) => node.field(name, cost),
            Value::Map(_) => self.entry(&Value::text(name), cost),
            Value::Optional(Some(inner)) => inner.field(name, cost),
            Value::Optional(None) => Ok(None),
            _ => fail("no such overload"),
        }
    }

    /// The item at an index or the entry of a key; `None` when there is none.
    pub(crate) fn entry(&self, key: &Value<'a>, cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
        match self {
            Value::Optional(Some(inner)) => inner.entry(key, cost),
            Value::Optional(None) => Ok(None),
            Value::Map(entries) => {
                cost.charge(entries.len() / 8)?;
                for (known, value) in entries.iter() {
                    if equal(known, key, cost)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
            Value::Node(Node { json: Json::Object(_), .. }) => match key {
                Value::Text(name) => self.field(name, cost),
                _ => Ok(None),
            },
            list if list.is_list() => {
                let index = match key {
                    Value::Int(index) => usize::try_from(*index).ok(),
                    Value::Uint(index) => usize::try_from(*index).ok(),
                    Value::Double(index) if index.fract() == 0.0 && *index >= 0.0 => Some(*index as usize),
                    _ => return fail("no such overload"),
                };
                match (list, index) {
                    (Value::List(items), Some(index)) => Ok(items.get(index).cloned()),
                    (Value::Node(node), Some(index)) => {
                        let item = node.json.as_array().and_then(|items| items.get(index));
                        item.map(|item| node.item(item, cost)).transpose()
                    }
                    _ => Ok(None),
                }
            }
            _ => fail("no such overload"),
        }
    }

    /// How a value reads in texts.
    pub fn shown(&self) -> String {
        match self {
            Value::Text(text) => text.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Uint(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Double(value) => super::super::numbers::float(*value),
            other => other.type_name().to_owned(),
        }
    }

    /// Whether a value is what its type begins with: empty, zero, false.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::Text(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::Duration(value) => *value == 0,
            Value::Optional(inner) => inner.is_none(),
            other => other.length() == Some(0),
        }
    }
}

fn text_of<'a>(text: &str, schema: &Schema) -> Outcome<Value<'a>> {
    Ok(match schema.format.as_ref().and_then(|format| format.text) {
        Some(TextFormat::Duration) => match parse_duration(text) {
            Some(nanoseconds) => Value::Duration(nanoseconds),
            None => return fail(format!("Invalid duration {text}")),
        },
        Some(TextFormat::Date) => {
            match parse_date(text).and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok()) {
                Some(zoned) => Value::Timestamp(zoned.timestamp()),
                None => return fail(format!("Invalid date formatted string {text}")),
            }
        }
        Some(TextFormat::DateTime) => match parse_date_time(text) {
            Some(moment) => Value::Timestamp(moment),
            None => return fail(format!("Invalid date-time formatted string {text}")),
        },
        Some(TextFormat::Byte) => match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) => Value::Bytes(Arc::from(bytes)),
            Err(_) => return fail(format!("Invalid byte formatted string {text}")),
        },
        _ => Value::text(text),
    })
}

impl<'a> Node<'a> {
    fn item(&self, item: &'a Json, cost: &mut Cost) -> Outcome<Value<'a>> {
        let Some(schema) = self.schema else { return Value::untyped(item, cost) };
        match &schema.items {
            Some(schema) => Value::of(item, schema, false),
            None => fail("invalid array type, expected Items with a non-empty Schema"),
        }
    }

    /// Whether fields have names of rules, not keys as they are.
    fn is_structure(&self) -> bool {
        self.is_resource || self.schema.is_some_and(|schema| schema.each().is_none())
    }

    /// The schema of a property.
    fn field_schema(&self, name: &str) -> Option<&'a Schema> {
        if self.is_resource
            && let Some(schema) = resource_field(name)
        {
            return Some(schema);
        }
        self.schema?.field(name)
    }

    /// The value of the property `name`, which is `json`; `None` when rules cannot see it.
    fn child(&self, name: &str, json: &'a Json, cost: &mut Cost) -> Option<Outcome<Value<'a>>> {
        if self.schema.is_none() {
            return Some(Value::untyped(json, cost));
        }
        Some(Value::of(json, self.field_schema(name)?, false))
    }

    fn field(&self, name: &str, cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
        let name = if self.is_structure() { unescape(name) } else { name.to_owned() };
        let Some(json) = self.json.get(&name) else { return Ok(None) };
        self.child(&name, json, cost).transpose()
    }
}

/// Whether two values are the same. Numbers compare across their types; values of other types differ.
pub(crate) fn equal(one: &Value<'_>, other: &Value<'_>, cost: &mut Cost) -> Outcome<bool> {
    cost.charge(1)?;
    Ok(match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Text(one), Value::Text(other)) => {
            cost.charge_text(one.len().min(other.len()))?;
            one == other
        }
        (Value::Bytes(one), Value::Bytes(other)) => {
            cost.charge_text(one.len().min(other.len()))?;
            one == other
        }
        (Value::Timestamp(one), Value::Timestamp(other)) => one == other,
        (Value::Duration(one), Value::Duration(other)) => one == other,
        (Value::Type(one), Value::Type(other)) => one == other,
        (Value::Url(one), Value::Url(other)) => one == other,
        (Value::Ip(one), Value::Ip(other)) => one == other,
        (Value::Cidr(one, bits), Value::Cidr(other, other_bits)) => (one, bits) == (other, other_bits),
        (Value::Quantity(one), Value::Quantity(other)) => one == other,
        (Value::Semver(one), Value::Semver(other)) => one == other,
        (Value::Format(one), Value::Format(other)) => one == other,
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(one)), Value::Optional(Some(other))) => equal(one, other, cost)?,
        (
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
            Value::Int(_) | Value::Uint(_) | Value::Double(_),
        ) => compare(one, other, cost)? == Some(Ordering::Equal),
        (one, other) if one.is_list() && other.is_list() => equal_lists(one, other, cost)?,
        (Value::Node(one), Value::Node(other)) => equal_nodes(one, other, cost)?,
        (Value::Map(_) | Value::Node(_), Value::Map(_) | Value::Node(_)) => {
            if one.length() != other.length() || one.is_list() != other.is_list() {
                return Ok(false);
            }
            for (key, value) in one.entries(cost)? {
                match other.entry(&key, cost)? {
                    Some(found) if equal(&value, &found, cost)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => false,
    })
}

/// Structures: also what a schema does not know.
fn equal_nodes(one: &Node<'_>, other: &Node<'_>, cost: &mut Cost) -> Outcome<bool> {
    let (Json::Object(fields), Json::Object(others)) = (one.json, other.json) else {
        return Ok(false);
    };
    cost.charge(fields.len())?;
    if fields.len() != others.len() {
        return Ok(false);
    }
    for (name, json) in fields {
        let Some(other_json) = others.get(name) else { return Ok(false) };
        let same = match (one.child(name, json, cost), other.child(name, other_json, cost)) {
            (Some(Ok(value)), Some(Ok(other_value))) => equal(&value, &other_value, cost)?,
            (Some(Err(error @ (EvalError::RuleCost | EvalError::ObjectCost))), _)
            | (_, Some(Err(error @ (EvalError::RuleCost | EvalError::ObjectCost)))) => return Err(error),
            _ => json == other_json,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

fn list_type(value: &Value<'_>) -> Option<ListType> {
    match value {
        Value::Node(node) => node.schema?.list_type,
        _ => None,
    }
}

/// Sets and map lists are equal in any order.
fn equal_lists(one: &Value<'_>, other: &Value<'_>, cost: &mut Cost) -> Outcome<bool> {
    if one.length() != other.length() {
        return Ok(false);
    }
    let (items, others) = (one.items(cost)?, other.items(cost)?);
    let unordered = [list_type(one), list_type(other)]
        .iter()
        .any(|kind| matches!(kind, Some(ListType::Set | ListType::Map)));
    if !unordered {
        for (item, other) in items.iter().zip(&others) {
            if !equal(item, other, cost)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    for item in &items {
        if !contains(&others, item, cost)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a list has an item.
pub(crate) fn contains(items: &[Value<'_>], wanted: &Value<'_>, cost: &mut Cost) -> Outcome<bool> {
    for item in items {
        if equal(item, wanted, cost)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The list of both: sets take what is new, map lists let the second one win by key.
pub(crate) fn concat<'a>(one: &Value<'a>, other: &Value<'a>, cost: &mut Cost) -> Outcome<Value<'a>> {
    let mut all = one.items(cost)?;
    let added = other.items(cost)?;
    match one {
        Value::Node(Node { schema: Some(Schema { list_type: Some(ListType::Set), .. }), .. }) => {
            for item in added {
                if !contains(&all, &item, cost)? {
                    all.push(item);
                }
            }
        }
        Value::Node(Node { schema: Some(schema), .. }) if schema.list_type == Some(ListType::Map) => {
            for item in added {
                let mut place = None;
                for (index, known) in all.iter().enumerate() {
                    if same_keys(known, &item, &schema.list_map_keys, cost)? {
                        place = Some(index);
                        break;
                    }
                }
                match place {
                    Some(index) => all[index] = item,
                    None => all.push(item),
                }
            }
        }
        _ => all.extend(added),
    }
    Ok(Value::list(all))
}

fn same_keys(one: &Value<'_>, other: &Value<'_>, keys: &[String], cost: &mut Cost) -> Outcome<bool> {
    for key in keys {
        let key = super::types::escape(key).unwrap_or_else(|| key.clone());
        let same = match (one.field(&key, cost)?, other.field(&key, cost)?) {
            (Some(one), Some(other)) => equal(&one, &other, cost)?,
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two values; `None` for numbers that have none.
pub(crate) fn compare(one: &Value<'_>, other: &Value<'_>, cost: &mut Cost) -> Outcome<Option<Ordering>> {
    cost.charge(1)?;
    Ok(match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Uint(one), Value::Uint(other)) => Some(one.cmp(other)),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Int(one), Value::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Uint(one), Value::Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Int(one), Value::Double(other)) => compare_double(i128::from(*one), *other),
        (Value::Uint(one), Value::Double(other)) => compare_double(i128::from(*one), *other),
        (Value::Double(one), Value::Int(other)) => {
            compare_double(i128::from(*other), *one).map(Ordering::reverse)
        }
        (Value::Double(one), Value::Uint(other)) => {
            compare_double(i128::from(*other), *one).map(Ordering::reverse)
        }
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        (Value::Text(one), Value::Text(other)) => {
            cost.charge_text(one.len().min(other.len()))?;
            Some(one.cmp(other))
        }
        (Value::Bytes(one), Value::Bytes(other)) => {
            cost.charge_text(one.len().min(other.len()))?;
            Some(one.cmp(other))
        }
        (Value::Timestamp(one), Value::Timestamp(other)) => Some(one.cmp(other)),
        (Value::Duration(one), Value::Duration(other)) => Some(one.cmp(other)),
        _ => return fail("no such overload"),
    })
}

fn compare_double(whole: i128, number: f64) -> Option<Ordering> {
    if number.is_nan() {
        return None;
    }
    if number >= 1e20 {
        return Some(Ordering::Less);
    }
    if number <= -1e20 {
        return Some(Ordering::Greater);
    }
    // Within these limits the whole part is exact.
    let floor = number.floor();
    Some(whole.cmp(&(floor as i128)).then(if number > floor { Ordering::Less } else { Ordering::Equal }))
}
