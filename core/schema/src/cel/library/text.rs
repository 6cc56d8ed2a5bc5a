//! Texts, and patterns in them. Positions count characters.

use std::collections::HashMap;

use regex::Regex;

use super::super::super::patterns::compile;
use super::super::value::Value;
use super::super::{Cost, Outcome};
use super::{fail, format, whole};

pub(super) fn call<'a>(
    name: &str,
    arguments: &[Value<'a>],
    patterns: &HashMap<String, Regex>,
    cost: &mut Cost,
) -> Outcome<Option<Value<'a>>> {
    use Value::{Int, Text};
    Ok(match (name, arguments) {
        ("contains", [Text(text), Text(part)]) => {
            search(text, part, cost)?;
            Some(Value::Bool(text.contains(&**part)))
        }
        ("startsWith", [Text(text), Text(part)]) => {
            cost.charge_text(part.len())?;
            Some(Value::Bool(text.starts_with(&**part)))
        }
        ("endsWith", [Text(text), Text(part)]) => {
            cost.charge_text(part.len())?;
            Some(Value::Bool(text.ends_with(&**part)))
        }
        ("matches", [Text(text), Text(pattern)]) => {
            Some(Value::Bool(matched(text, pattern, patterns, cost, |regex| regex.is_match(text))?))
        }
        ("find", [Text(text), Text(pattern)]) => {
            let found = matched(text, pattern, patterns, cost, |regex| {
                regex.find(text).map(|found| found.as_str().to_owned())
            })?;
            Some(Value::text(found.unwrap_or_default()))
        }
        ("findAll", [Text(text), Text(pattern)]) => Some(find_all(text, pattern, -1, patterns, cost)?),
        ("findAll", [Text(text), Text(pattern), Int(most)]) => {
            Some(find_all(text, pattern, *most, patterns, cost)?)
        }
        ("charAt", [Text(text), Int(index)]) => Some(Value::text(char_at(text, *index, cost)?)),
        ("indexOf", [Text(text), Text(part)]) => Some(index_of(text, part, 0, cost)?),
        ("indexOf", [Text(text), Text(part), Int(from)]) => Some(index_of(text, part, *from, cost)?),
        ("lastIndexOf", [Text(text), Text(part)]) => Some(last_index_of(text, part, None, cost)?),
        ("lastIndexOf", [Text(text), Text(part), Int(from)]) => {
            Some(last_index_of(text, part, Some(*from), cost)?)
        }
        ("substring", [Text(text), Int(from)]) => Some(substring(text, *from, None, cost)?),
        ("substring", [Text(text), Int(from), Int(to)]) => Some(substring(text, *from, Some(*to), cost)?),
        ("lowerAscii", [Text(text)]) => {
            cost.charge_text(text.len())?;
            Some(Value::text(text.to_ascii_lowercase()))
        }
        ("upperAscii", [Text(text)]) => {
            cost.charge_text(text.len())?;
            Some(Value::text(text.to_ascii_uppercase()))
        }
        ("trim", [Text(text)]) => {
            cost.charge_text(text.len())?;
            Some(Value::text(text.trim()))
        }
        ("replace", [Text(text), Text(old), Text(new)]) => Some(replace(text, old, new, -1, cost)?),
        ("replace", [Text(text), Text(old), Text(new), Int(most)]) => {
            Some(replace(text, old, new, *most, cost)?)
        }
        ("split", [Text(text), Text(separator)]) => Some(split(text, separator, -1, cost)?),
        ("split", [Text(text), Text(separator), Int(most)]) => Some(split(text, separator, *most, cost)?),
        ("join", [list]) if list.is_list() => join(list, "", cost)?,
        ("join", [list, Text(separator)]) if list.is_list() => join(list, separator, cost)?,
        ("strings.quote", [Text(text)]) => {
            cost.charge_text(text.len() * 2)?;
            Some(Value::text(quote(text)))
        }
        ("format", [Text(template), list]) if list.is_list() => {
            let values = list.items(cost)?;
            Some(Value::text(format::format(template, &values, cost)?))
        }
        _ => None,
    })
}

fn search(text: &str, part: &str, cost: &mut Cost) -> Outcome<()> {
    cost.charge_text(text.len() + part.len())
}

/// Matches a pattern; those that the rule writes out are compiled already.
fn matched<T>(
    text: &str,
    pattern: &str,
    patterns: &HashMap<String, Regex>,
    cost: &mut Cost,
    run: impl FnOnce(&Regex) -> T,
) -> Outcome<T> {
    cost.charge((text.len() + 1) * (pattern.len() / 4 + 1) / 10)?;
    if let Some(regex) = patterns.get(pattern) {
        return Ok(run(regex));
    }
    // Compiling takes far longer than matching.
    cost.charge(1000 + pattern.len() * 100)?;
    match compile(pattern) {
        Ok(regex) => Ok(run(&regex)),
        Err(error) => fail(error.to_string()),
    }
}

fn find_all<'a>(
    text: &str,
    pattern: &str,
    most: i64,
    patterns: &HashMap<String, Regex>,
    cost: &mut Cost,
) -> Outcome<Value<'a>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found = matched(text, pattern, patterns, cost, |regex| {
        regex.find_iter(text).take(most).map(|one| Value::text(one.as_str())).collect::<Vec<_>>()
    })?;
    cost.charge(found.len())?;
    Ok(Value::list(found))
}

fn char_at(text: &str, index: i64, cost: &mut Cost) -> Outcome<String> {
    cost.charge_text(text.len())?;
    let length = text.chars().count();
    match usize::try_from(index) {
        Ok(index) if index <= length => Ok(text.chars().nth(index).map(String::from).unwrap_or_default()),
        _ => fail(format!("index out of range: {index}")),
    }
}

/// The byte at which a character begins; the text's end for the one after the last.
fn byte_at(text: &str, index: i64) -> Outcome<usize> {
    let wrong = || fail(format!("index out of range: {index}"));
    let Ok(wanted) = usize::try_from(index) else { return wrong() };
    match text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(wanted) {
        Some(at) => Ok(at),
        None => wrong(),
    }
}

fn index_of<'a>(text: &str, part: &str, from: i64, cost: &mut Cost) -> Outcome<Value<'a>> {
    search(text, part, cost)?;
    let start = byte_at(text, from)?;
    Ok(match text[start..].find(part) {
        Some(at) => whole(text[..start + at].chars().count()),
        None => Value::Int(-1),
    })
}

fn last_index_of<'a>(text: &str, part: &str, from: Option<i64>, cost: &mut Cost) -> Outcome<Value<'a>> {
    search(text, part, cost)?;
    // The part may begin at the given character, and end after it.
    let end = match from {
        None => text.len(),
        Some(from) => (byte_at(text, from)? + part.len()).min(text.len()),
    };
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    Ok(match text[..end].rfind(part) {
        Some(at) => whole(text[..at].chars().count()),
        None => Value::Int(-1),
    })
}

fn substring<'a>(text: &str, from: i64, to: Option<i64>, cost: &mut Cost) -> Outcome<Value<'a>> {
    cost.charge_text(text.len())?;
    let start = byte_at(text, from)?;
    let end = to.map_or(Ok(text.len()), |to| byte_at(text, to))?;
    if start > end {
        return fail(format!("invalid substring range. start: {from}, end: {}", to.unwrap_or_default()));
    }
    Ok(Value::text(&text[start..end]))
}

fn replace<'a>(text: &str, old: &str, new: &str, most: i64, cost: &mut Cost) -> Outcome<Value<'a>> {
    search(text, old, cost)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // What comes out is paid for before it is made.
    let times = text.matches(old).count().min(most);
    cost.charge_text(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(old, new, times)))
}

fn split<'a>(text: &str, separator: &str, most: i64, cost: &mut Cost) -> Outcome<Value<'a>> {
    search(text, separator, cost)?;
    if most == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<Value<'a>> = if separator.is_empty() {
        cost.charge(text.len().min(most))?;
        let mut rest = text;
        let mut parts = Vec::new();
        while let Some(c) = rest.chars().next() {
            if parts.len() + 1 == most {
                parts.push(Value::text(rest));
                break;
            }
            parts.push(Value::text(&rest[..c.len_utf8()]));
            rest = &rest[c.len_utf8()..];
        }
        parts
    } else {
        cost.charge(text.len() / separator.len() + 1)?;
        text.splitn(most, separator).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}

fn join<'a>(list: &Value<'a>, separator: &str, cost: &mut Cost) -> Outcome<Option<Value<'a>>> {
    let items = list.items(cost)?;
    let mut texts = Vec::with_capacity(items.len());
    for item in &items {
        match item {
            Value::Text(text) => texts.push(&**text),
            _ => return Ok(None),
        }
    }
    let separators = texts.len().saturating_mul(separator.len());
    cost.charge_text(texts.iter().map(|text| text.len()).sum::<usize>().saturating_add(separators))?;
    Ok(Some(Value::text(texts.join(separator))))
}

/// In double quotes, with escapes.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
