//! `'%s has %d'.format([…])`

use std::fmt::Write as _;

use super::super::value::Value;
use super::super::{Cost, Outcome};
use super::convert::plain;
use super::fail;

/// Decimal places when none are given, and the most there can be.
const PLACES: usize = 6;
const MAX_PLACES: usize = 100;

pub(super) fn format(template: &str, values: &[Value<'_>], cost: &mut Cost) -> Outcome<String> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (places, after) = precision(after)?;
        let Some(verb) = after.chars().next() else {
            return fail("unexpected end of string");
        };
        rest = &after[verb.len_utf8()..];
        let Some(value) = values.get(next) else {
            return fail(format!("index {next} out of range"));
        };
        next += 1;
        let text = clause(verb, places, value, cost)?;
        cost.charge_text(out.len().min(text.len()) + text.len())?;
        out.push_str(&text);
    }
    out.push_str(rest);
    cost.charge_text(out.len())?;
    Ok(out)
}

/// `.3` before a verb.
fn precision(text: &str) -> Outcome<(usize, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Ok((PLACES, text));
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..end].parse::<usize>() {
        Ok(places) if places <= MAX_PLACES => Ok((places, &digits[end..])),
        _ => fail("error while parsing precision"),
    }
}

fn clause(verb: char, places: usize, value: &Value<'_>, cost: &mut Cost) -> Outcome<String> {
    let wrong = |expected: &str| {
        fail(format!(
            "error during formatting: {expected} clause can only be used on numbers, was given {}",
            value.type_name()
        ))
    };
    let number = match value {
        Value::Double(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        _ => None,
    };
    Ok(match (verb, value) {
        ('s', value) => shown(value, cost)?,
        ('d', Value::Int(_) | Value::Uint(_) | Value::Double(_)) => plain(value).unwrap_or_default(),
        ('d', _) => return wrong("decimal"),
        ('f', _) => match number {
            Some(number) if number.is_finite() => format!("{number:.places$}"),
            Some(number) => not_finite(number),
            None => return wrong("fixed-point"),
        },
        ('e', _) => match number {
            Some(number) if number.is_finite() => scientific(number, places),
            Some(number) => not_finite(number),
            None => return wrong("scientific"),
        },
        ('b', Value::Bool(value)) => u8::from(*value).to_string(),
        ('b', Value::Int(value)) => signed(*value, format!("{:b}", value.unsigned_abs())),
        ('b', Value::Uint(value)) => format!("{value:b}"),
        ('o', Value::Int(value)) => signed(*value, format!("{:o}", value.unsigned_abs())),
        ('o', Value::Uint(value)) => format!("{value:o}"),
        ('x' | 'X', value) => {
            let hex = match value {
                Value::Int(value) => signed(*value, format!("{:x}", value.unsigned_abs())),
                Value::Uint(value) => format!("{value:x}"),
                Value::Text(text) => bytes(text.as_bytes(), cost)?,
                Value::Bytes(data) => bytes(data, cost)?,
                _ => return wrong("hexadecimal"),
            };
            if verb == 'X' { hex.to_uppercase() } else { hex }
        }
        ('b' | 'o', _) => return wrong("integer"),
        _ => {
            return fail(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{verb}\""
            ));
        }
    })
}

fn signed(value: i64, digits: String) -> String {
    if value < 0 { format!("-{digits}") } else { digits }
}

fn bytes(data: &[u8], cost: &mut Cost) -> Outcome<String> {
    cost.charge_text(data.len() * 2)?;
    let mut hex = String::with_capacity(data.len() * 2);
    for byte in data {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

fn not_finite(number: f64) -> String {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
    .to_owned()
}

fn scientific(number: f64, places: usize) -> String {
    let text = format!("{number:.places$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// A value of any type.
fn shown(value: &Value<'_>, cost: &mut Cost) -> Outcome<String> {
    cost.charge(1)?;
    if let Some(text) = plain(value) {
        cost.charge_text(text.len())?;
        return Ok(text);
    }
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Type(name) => (*name).to_owned(),
        Value::Bytes(data) => {
            cost.charge_text(data.len())?;
            String::from_utf8_lossy(data).into_owned()
        }
        list if list.is_list() => {
            let mut parts = Vec::new();
            for item in list.items(cost)? {
                parts.push(shown(&item, cost)?);
            }
            format!("[{}]", parts.join(", "))
        }
        Value::Map(_) | Value::Node(_) => {
            let mut parts = Vec::new();
            for (key, value) in value.entries(cost)? {
                parts.push(format!("{}: {}", shown(&key, cost)?, shown(&value, cost)?));
            }
            parts.sort();
            format!("{{{}}}", parts.join(", "))
        }
        other => {
            return fail(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
                other.type_name()
            ));
        }
    })
}
