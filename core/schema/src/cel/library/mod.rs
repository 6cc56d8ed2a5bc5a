//! What the functions do. Which of them exist, and with which types, the signatures tell.

mod convert;
mod format;
mod lists;
pub(super) mod named;
mod network;
pub(super) mod semver;
mod text;
mod time;

use std::collections::HashMap;
use std::rc::Rc;

use regex::Regex;

use super::value::Value;
use super::{Cost, EvalError, Outcome};
use crate::quantity::Quantity;

fn fail<T>(text: impl Into<String>) -> Outcome<T> {
    Err(EvalError::Failed(text.into()))
}

/// A whole number from a length.
fn whole<'a>(length: usize) -> Value<'a> {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

/// Calls a function; of a method, the target is the first argument.
pub(super) fn call<'a>(
    name: &str,
    is_method: bool,
    arguments: &[Value<'a>],
    patterns: &HashMap<String, Regex>,
    cost: &mut Cost,
) -> Outcome<Value<'a>> {
    let found = match name {
        "size" => size(arguments, cost)?,
        "type" => arguments.first().map(|value| Value::Type(value.type_name())),
        "dyn" => arguments.first().cloned(),
        "int" | "uint" | "double" | "string" | "bytes" | "bool" | "timestamp" | "duration" => {
            convert::call(name, arguments, cost)?
        }
        "value"
        | "hasValue"
        | "or"
        | "orValue"
        | "optional.of"
        | "optional.none"
        | "optional.ofNonZeroValue" => optional(name, arguments)?,
        _ if name.starts_with("get") && !matches!(arguments.first(), Some(Value::Url(_))) => {
            time::call(name, arguments)?
        }
        "quantity" | "isQuantity" | "sign" | "isInteger" | "asInteger" | "asApproximateFloat" | "add"
        | "sub" => quantity(name, arguments)?,
        "isLessThan" | "isGreaterThan" | "compareTo" => order(name, arguments),
        "semver" | "isSemver" | "major" | "minor" | "patch" => semver::call(name, arguments)?,
        "validate" => named::validate(arguments)?,
        _ if name.starts_with("format.") => named::call(name, arguments),
        "isSorted" | "sum" | "min" | "max" | "sets.contains" | "sets.intersects" | "sets.equivalent" => {
            lists::call(name, arguments, cost)?
        }
        "indexOf" | "lastIndexOf" if arguments.first().is_some_and(Value::is_list) => {
            lists::call(name, arguments, cost)?
        }
        "ip" if is_method => network::call("cidr.ip", arguments)?,
        _ => match network::call(name, arguments)? {
            Some(found) => Some(found),
            None => text::call(name, arguments, patterns, cost)?,
        },
    };
    found.map_or_else(|| fail("no such overload"), Ok)
}

fn size<'a>(arguments: &[Value<'a>], cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
    Ok(match arguments {
        [Value::Text(text)] => {
            cost.charge_text(text.len())?;
            Some(whole(text.chars().count()))
        }
        [Value::Bytes(bytes)] => Some(whole(bytes.len())),
        [value] => value.length().map(whole),
        _ => None,
    })
}

fn optional<'a>(name: &str, arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    Ok(match (name, arguments) {
        ("optional.none", []) => Some(Value::Optional(None)),
        ("optional.of", [value]) => Some(Value::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) if value.is_zero() => Some(Value::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => Some(Value::some(value.clone())),
        ("hasValue", [Value::Optional(inner)]) => Some(Value::Bool(inner.is_some())),
        ("value", [Value::Optional(Some(inner))]) => Some((**inner).clone()),
        ("value", [Value::Optional(None)]) => return fail("optional.none() dereference"),
        ("or", [Value::Optional(None), other]) => Some(other.clone()),
        ("or", [one @ Value::Optional(_), _]) => Some(one.clone()),
        ("orValue", [Value::Optional(Some(inner)), _]) => Some((**inner).clone()),
        ("orValue", [Value::Optional(None), other]) => Some(other.clone()),
        _ => None,
    })
}

fn quantity<'a>(name: &str, arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    Ok(match (name, arguments) {
        ("quantity", [Value::Text(text)]) => match Quantity::parse(text) {
            Ok(quantity) => Some(Value::Quantity(quantity)),
            Err(error) => return fail(error.to_string()),
        },
        ("isQuantity", [Value::Text(text)]) => Some(Value::Bool(Quantity::parse(text).is_ok())),
        ("sign", [Value::Quantity(one)]) => Some(Value::Int(one.sign().into())),
        ("isInteger", [Value::Quantity(one)]) => Some(Value::Bool(as_integer(one).is_some())),
        ("asInteger", [Value::Quantity(one)]) => match as_integer(one) {
            Some(value) => Some(Value::Int(value)),
            None => return fail("cannot convert value to integer"),
        },
        ("asApproximateFloat", [Value::Quantity(one)]) => Some(Value::Double(one.approximate())),
        ("add", [Value::Quantity(one), Value::Quantity(other)]) => Some(Value::Quantity(one.plus(other))),
        ("sub", [Value::Quantity(one), Value::Quantity(other)]) => Some(Value::Quantity(one.minus(other))),
        ("add", [Value::Quantity(one), Value::Int(other)]) => {
            Some(Value::Quantity(one.plus(&Quantity::from_integer(*other))))
        }
        ("sub", [Value::Quantity(one), Value::Int(other)]) => {
            Some(Value::Quantity(one.minus(&Quantity::from_integer(*other))))
        }
        _ => None,
    })
}

/// The amount, if it is a whole number of 64 bits.
fn as_integer(quantity: &Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::from_integer(value) == *quantity).then_some(value)
}

fn order<'a>(name: &str, arguments: &[Value<'a>]) -> Option<Value<'a>> {
    let order = match arguments {
        [Value::Quantity(one), Value::Quantity(other)] => one.cmp(other),
        [Value::Semver(one), Value::Semver(other)] => Rc::as_ref(one).cmp(other),
        _ => return None,
    };
    Some(match name {
        "isLessThan" => Value::Bool(order.is_lt()),
        "isGreaterThan" => Value::Bool(order.is_gt()),
        _ => Value::Int(order as i64),
    })
}
