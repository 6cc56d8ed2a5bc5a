//! Differences between two answers, and which of them are explained.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::client::Answer;
use crate::normal::normalise;
use crate::scenario::Scenario;

/// One place where the servers disagree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    scenario: String,
    step: String,
    path: String,
    real: Option<Value>,
    ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |v: &Option<Value>| v.as_ref().map_or_else(|| "(nothing)".to_owned(), Value::to_string);
        let step = match self.step.char_indices().nth(400) {
            Some((end, _)) => &self.step[..end],
            None => &self.step,
        };
        write!(
            f,
            "{}: {step}\n    {}\n      real: {}\n      ours: {}",
            self.scenario,
            self.path,
            show(&self.real),
            show(&self.ours)
        )
    }
}

/// Compares all answers of a scenario.
pub(crate) fn scenario(scenario: &Scenario, real: &[Answer], ours: &[Answer]) -> Vec<Difference> {
    let mut found = vec![];
    for (index, (step, (real, ours))) in scenario.steps.iter().zip(real.iter().zip(ours)).enumerate() {
        let mut push = |path: &str, real: Option<&Value>, ours: Option<&Value>| {
            found.push(Difference {
                scenario: scenario.name.clone(),
                step: format!("{}: {}", index + 1, step.title),
                path: path.to_owned(),
                real: real.cloned(),
                ours: ours.cloned(),
            });
        };
        if real.code != ours.code {
            push("code", Some(&real.code.into()), Some(&ours.code.into()));
            // Two different outcomes are one difference; their words help to understand it.
            push("message", Some(&real.body["message"]), Some(&ours.body["message"]));
            continue;
        }
        let ignored = |path: &str| {
            step.ignore
                .iter()
                .any(|i| path.strip_prefix("body.").is_some_and(|p| glob(i, p) || glob(&format!("{i}.*"), p)))
        };
        let (mut theirs, mut mine) = (normalise(&real.body), normalise(&ours.body));
        if scenario.unordered {
            sort_lists(&mut theirs);
            sort_lists(&mut mine);
        }
        differences("body", Some(&theirs), Some(&mine), &mut |path, r, o| {
            if !ignored(path) {
                push(path, r, o);
            }
        });
    }
    found
}

/// Lists in an order of their own.
fn sort_lists(value: &mut Value) {
    match value {
        Value::Array(list) => {
            list.iter_mut().for_each(sort_lists);
            list.sort_by_cached_key(Value::to_string);
        }
        Value::Object(map) => map.values_mut().for_each(sort_lists),
        // Places in a list, as errors name them.
        Value::String(text) if text.contains('[') => {
            let mut parts = text.split('[');
            let mut out = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                out.push('[');
                out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
            }
            *text = out;
        }
        _ => {}
    }
}

fn differences(
    path: &str,
    real: Option<&Value>,
    ours: Option<&Value>,
    push: &mut impl FnMut(&str, Option<&Value>, Option<&Value>),
) {
    match (real, ours) {
        (r, o) if r == o => {}
        (Some(Value::Object(r)), Some(Value::Object(o))) => {
            let keys: BTreeSet<&String> = r.keys().chain(o.keys()).collect();
            for key in keys {
                differences(&format!("{path}.{key}"), r.get(key), o.get(key), push);
            }
        }
        // Sets of owned paths are compared as sets: one difference for each path.
        (Some(Value::Array(r)), Some(Value::Array(o))) if path.contains(".managedFields.") => {
            for one in r.iter().filter(|v| !o.contains(v)) {
                push(path, Some(one), None);
            }
            for one in o.iter().filter(|v| !r.contains(v)) {
                push(path, None, Some(one));
            }
        }
        (Some(Value::Array(r)), Some(Value::Array(o))) if r.len() == o.len() => {
            for (i, (r, o)) in r.iter().zip(o).enumerate() {
                differences(&format!("{path}.{i}"), Some(r), Some(o), push);
            }
        }
        (r, o) => push(path, r, o),
    }
}

/// A rule of `accepted.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Names of scenarios (`*` stands for anything).
    scenario: String,
    /// Which steps, by their text; all when absent.
    step: Option<String>,
    /// Which fields.
    path: String,
    /// What the real one says there, as JSON.
    real: Option<String>,
    /// What the embedded one says there.
    ours: Option<String>,
    /// What changed in Kubernetes since the real server's release.
    reason: String,
    /// KEP, changelog or documentation that says so.
    link: String,
    /// The difference comes and goes (an order that is not fixed).
    #[serde(default)]
    sometimes: bool,
    #[serde(skip)]
    used: bool,
}

/// All rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accepted {
    #[serde(default)]
    rule: Vec<Rule>,
}

impl Accepted {
    pub(crate) fn read() -> Self {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/accepted.toml");
        let accepted: Self = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for rule in &accepted.rule {
            assert!(rule.reason.len() > 10 && !rule.link.is_empty(), "{rule:?} explains nothing");
        }
        accepted
    }

    pub(crate) fn explains(&mut self, difference: &Difference) -> bool {
        let text = |v: &Option<Value>| v.as_ref().map_or_else(String::new, Value::to_string);
        let (real, ours) = (text(&difference.real), text(&difference.ours));
        let fits = |pattern: &Option<String>, text: &str| pattern.as_ref().is_none_or(|p| glob(p, text));
        let rule = self.rule.iter_mut().find(|rule| {
            glob(&rule.scenario, &difference.scenario)
                && fits(&rule.step, &difference.step)
                && glob(&rule.path, &difference.path)
                && fits(&rule.real, &real)
                && fits(&rule.ours, &ours)
        });
        rule.map(|rule| rule.used = true).is_some()
    }

    /// Rules that explained nothing.
    pub(crate) fn unused(&self) -> Vec<String> {
        self.rule
            .iter()
            .filter(|r| !r.used && !r.sometimes)
            .map(|r| format!("{} {} {}", r.scenario, r.step.as_deref().unwrap_or("*"), r.path))
            .collect()
    }
}

/// `*` stands for any text, `|` separates alternatives.
fn glob(pattern: &str, text: &str) -> bool {
    pattern.split('|').any(|p| one_glob(p, text))
}

fn one_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
