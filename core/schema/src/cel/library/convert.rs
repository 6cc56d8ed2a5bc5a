//! From one type to another.

use std::sync::Arc;

use jiff::Timestamp;

use super::super::super::formats::{parse_date_time, parse_go_duration};
use super::super::super::numbers;
use super::super::value::Value;
use super::super::{Cost, Outcome};
use super::fail;

pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>], cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
    let [value] = arguments else { return Ok(None) };
    match name {
        "int" => integer(value),
        "uint" => unsigned(value),
        "double" => double(value),
        "string" => text(value, cost),
        "bytes" => Ok(match value {
            Value::Bytes(_) => Some(value.clone()),
            Value::Text(text) => {
                cost.charge_text(text.len())?;
                Some(Value::Bytes(Arc::from(text.as_bytes())))
            }
            _ => None,
        }),
        "bool" => boolean(value),
        "timestamp" => timestamp(value),
        _ => duration(value),
    }
}

fn integer<'a>(value: &Value<'a>) -> Outcome<Option<Value<'a>>> {
    Ok(Some(Value::Int(match value {
        Value::Int(value) => *value,
        Value::Uint(value) => match i64::try_from(*value) {
            Ok(value) => value,
            Err(_) => return fail("integer overflow"),
        },
        // Exactly the numbers whose whole part fits.
        Value::Double(value) if *value > -9.223_372_036_854_776e18 && *value < 9.223_372_036_854_775e18 => {
            *value as i64
        }
        Value::Double(_) => return fail("integer overflow"),
        Value::Text(text) => match text.parse() {
            Ok(value) => value,
            Err(_) => return fail(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")),
        },
        Value::Timestamp(moment) => moment.as_second(),
        Value::Duration(nanoseconds) => *nanoseconds,
        _ => return Ok(None),
    })))
}

fn unsigned<'a>(value: &Value<'a>) -> Outcome<Option<Value<'a>>> {
    Ok(Some(Value::Uint(match value {
        Value::Uint(value) => *value,
        Value::Int(value) => match u64::try_from(*value) {
            Ok(value) => value,
            Err(_) => return fail("unsigned integer overflow"),
        },
        Value::Double(value) if *value >= 0.0 && *value < 1.844_674_407_370_955e19 => *value as u64,
        Value::Double(_) => return fail("unsigned integer overflow"),
        Value::Text(text) => match text.parse() {
            Ok(value) => value,
            Err(_) => return fail(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
        },
        _ => return Ok(None),
    })))
}

fn double<'a>(value: &Value<'a>) -> Outcome<Option<Value<'a>>> {
    Ok(Some(Value::Double(match value {
        Value::Double(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        Value::Text(text) => match text.parse() {
            Ok(value) => value,
            Err(_) => return fail(format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        },
        _ => return Ok(None),
    })))
}

fn boolean<'a>(value: &Value<'a>) -> Outcome<Option<Value<'a>>> {
    Ok(Some(Value::Bool(match value {
        Value::Bool(value) => *value,
        Value::Text(text) => match text.as_ref() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
            "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
            _ => return fail(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
        },
        _ => return Ok(None),
    })))
}

fn timestamp<'a>(value: &Value<'a>) -> Outcome<Option<Value<'a>>> {
    let found = match value {
        Value::Timestamp(_) => return Ok(Some(value.clone())),
        Value::Text(text) => parse_date_time(text).ok_or_else(|| format!("invalid timestamp {text:?}")),
        Value::Int(seconds) => Timestamp::from_second(*seconds).map_err(|_| "timestamp overflow".to_owned()),
        _ => return Ok(None),
    };
    found.map_or_else(fail, |moment| Ok(Some(Value::Timestamp(moment))))
}

fn duration<'a>(value: &Value<'a>) -> Outcome<Option<Value<'a>>> {
    Ok(match value {
        Value::Duration(_) => Some(value.clone()),
        Value::Int(nanoseconds) => Some(Value::Duration(*nanoseconds)),
        Value::Text(text) => match parse_go_duration(text) {
            Some(nanoseconds) => Some(Value::Duration(nanoseconds)),
            None => return fail(format!("time: invalid duration {text:?}")),
        },
        _ => None,
    })
}

fn text<'a>(value: &Value<'a>, cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
    Ok(Some(match value {
        Value::Text(_) => value.clone(),
        Value::Bytes(bytes) => {
            cost.charge_text(bytes.len())?;
            match std::str::from_utf8(bytes) {
                Ok(text) => Value::text(text),
                Err(_) => return fail("invalid UTF-8 in bytes, cannot convert to string"),
            }
        }
        Value::Ip(address) => Value::text(address.to_string()),
        Value::Cidr(address, bits) => Value::text(format!("{address}/{bits}")),
        Value::Timestamp(_)
        | Value::Duration(_)
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_) => Value::text(plain(value).unwrap_or_default()),
        _ => return Ok(None),
    }))
}

/// A scalar as `string()` gives it.
pub(super) fn plain(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => numbers::float(*value),
        Value::Timestamp(moment) => moment.to_string(),
        Value::Duration(nanoseconds) => {
            let sign = if *nanoseconds < 0 { "-" } else { "" };
            let whole = nanoseconds.unsigned_abs();
            let fraction = format!("{:09}", whole % 1_000_000_000);
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            format!("{sign}{}{dot}{fraction}s", whole / 1_000_000_000)
        }
        _ => return None,
    })
}
