//! Semantic versions (semver.org, 2.0.0).

use std::cmp::Ordering;
use std::rc::Rc;

use super::super::Outcome;
use super::super::value::Value;
use super::fail;

/// `1.2.3-rc.1+build`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Identifier>,
}

/// Numbers come before words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(String),
}

impl Semver {
    fn parse(text: &str) -> Option<Semver> {
        let (rest, build) = match text.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (text, None),
        };
        let (core, pre) = match rest.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (rest, None),
        };
        let mut parts = core.split('.').map(number);
        let mut next = || parts.next().flatten();
        let numbers = [next()?, next()?, next()?];
        if parts.next().is_some() {
            return None;
        }
        let word =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if build.is_some_and(|build| !build.split('.').all(word)) {
            return None;
        }
        let pre = match pre {
            None => Vec::new(),
            Some(pre) => pre
                .split('.')
                .map(|part| match part {
                    part if !word(part) => None,
                    part if part.bytes().all(|b| b.is_ascii_digit()) => number(part).map(Identifier::Number),
                    part => Some(Identifier::Word(part.to_owned())),
                })
                .collect::<Option<_>>()?,
        };
        Some(Semver { numbers, pre })
    }

    /// Also `v1.2`, `01.2.3`: what a leading `v`, missing parts and zeros leave.
    fn parse_tolerant(text: &str) -> Option<Semver> {
        let text = text.trim().trim_start_matches('v');
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (core, rest) = text.split_at(end);
        let mut parts: Vec<&str> = core.split('.').collect();
        for part in &mut parts {
            let plain = part.trim_start_matches('0');
            *part = if plain.is_empty() && !part.is_empty() { "0" } else { plain };
        }
        if parts.len() < 3 && !rest.is_empty() {
            return None;
        }
        while parts.len() < 3 {
            parts.push("0");
        }
        Semver::parse(&format!("{}{rest}", parts.join(".")))
    }
}

/// Digits without a leading zero.
fn number(text: &str) -> Option<u64> {
    let right = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if right { text.parse().ok() } else { None }
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        // A release comes after what led to it.
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => self.pre.cmp(&other.pre),
        })
    }
}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(super) fn call<'a>(name: &str, arguments: &[Value<'a>]) -> Outcome<Option<Value<'a>>> {
    let part = |index: usize, version: &Semver| {
        Value::Int(i64::try_from(version.numbers[index]).unwrap_or(i64::MAX))
    };
    let (text, tolerant) = match arguments {
        [Value::Semver(version)] => {
            return Ok(match name {
                "major" => Some(part(0, version)),
                "minor" => Some(part(1, version)),
                "patch" => Some(part(2, version)),
                _ => None,
            });
        }
        [Value::Text(text)] => (text, false),
        [Value::Text(text), Value::Bool(tolerant)] => (text, *tolerant),
        _ => return Ok(None),
    };
    let found = if tolerant { Semver::parse_tolerant(text) } else { Semver::parse(text) };
    Ok(match (name, found) {
        ("isSemver", found) => Some(Value::Bool(found.is_some())),
        ("semver", Some(version)) => Some(Value::Semver(Rc::new(version))),
        ("semver", None) => return fail(format!("semver parse error: {text:?}")),
        _ => None,
    })
}
