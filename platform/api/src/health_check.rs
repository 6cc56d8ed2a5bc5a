//! Health rules in CEL, in the shape and with the meaning of Flux's `spec.healthCheckExprs`, so that they move as they are.

use std::collections::BTreeSet;

use seaway_schema::cel::{self, Program, Type};
use serde::{Deserialize, Serialize};

use crate::FieldError;

/// Most rules of a stack, and the longest of their expressions, in characters.
const MOST: usize = 64;
const LONGEST: usize = 2048;

/// How objects of a kind are judged, in place of the built-in rule: the first expression that holds decides, in the order
/// of the fields. When none holds, the object is in progress.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheckExpr {
    /// `GROUP/VERSION`, or `v1`. The version says nothing: objects are judged in whatever version they are read.
    pub api_version: String,
    /// Absent: every kind of the group that no other rule names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Holds while the object is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress: Option<String>,
    /// Holds once the object has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Holds once the object does what it should.
    pub current: String,
    /// A text that says why; Flux does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A rule, ready to run. Its expressions see the fields of the object as variables, and the whole object as `self`.
#[derive(Debug)]
pub struct HealthRule {
    /// API group; empty: the core group.
    pub group: String,
    /// Absent: every kind of the group.
    pub kind: Option<String>,
    /// Gives a bool.
    pub in_progress: Option<Program>,
    /// Gives a bool.
    pub failed: Option<Program>,
    /// Gives a bool.
    pub current: Program,
    /// Gives a string.
    pub message: Option<Program>,
}

impl HealthCheckExpr {
    /// The API group that the rule is about.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Compiles the rule, or says of each field that is wrong why.
    fn compile(&self) -> Result<HealthRule, Vec<(&'static str, String)>> {
        let mut errors = Vec::new();
        if !is_api_version(&self.api_version) {
            let message = format!("{:?} is neither GROUP/VERSION nor VERSION", self.api_version);
            errors.push(("apiVersion", message));
        }
        if self.kind.as_deref().is_some_and(str::is_empty) {
            errors.push(("kind", "name a kind, or leave it out for every kind of the group".to_owned()));
        }
        let mut compiled = |field: &'static str, text: Option<&str>, wanted: &Type| {
            let result = expression(text?, wanted);
            result.map_err(|problem| errors.push((field, problem))).ok()
        };
        let in_progress = compiled("inProgress", self.in_progress.as_deref(), &Type::Bool);
        let failed = compiled("failed", self.failed.as_deref(), &Type::Bool);
        let current = compiled("current", Some(&self.current), &Type::Bool);
        let message = compiled("message", self.message.as_deref(), &Type::Text);
        match current {
            Some(current) if errors.is_empty() => Ok(HealthRule {
                group: self.group().to_owned(),
                kind: self.kind.clone(),
                in_progress,
                failed,
                current,
                message,
            }),
            _ => Err(errors),
        }
    }
}

/// Compiles the rules of a stack, in their order.
///
/// # Errors
/// Everything that is wrong with them, by fields such as `[0].current`.
pub fn compile_health_checks(rules: &[HealthCheckExpr]) -> Result<Vec<HealthRule>, Vec<FieldError>> {
    if rules.len() > MOST {
        let message = format!("there are {} health rules, and may be {MOST}", rules.len());
        return Err(vec![FieldError { field: String::new(), message }]);
    }
    let (mut compiled, mut errors, mut seen) = (Vec::with_capacity(rules.len()), Vec::new(), BTreeSet::new());
    for (index, rule) in rules.iter().enumerate() {
        match rule.compile() {
            Ok(rule) => compiled.push(rule),
            Err(problems) => errors.extend(
                problems
                    .into_iter()
                    .map(|(field, message)| FieldError { field: format!("[{index}].{field}"), message }),
            ),
        }
        if !seen.insert((rule.group(), rule.kind.as_deref())) {
            let message = "another rule is about the same group and kind".to_owned();
            errors.push(FieldError { field: format!("[{index}]"), message });
        }
    }
    if errors.is_empty() { Ok(compiled) } else { Err(errors) }
}

fn expression(text: &str, wanted: &Type) -> Result<Program, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    if text.chars().count() > LONGEST {
        return Err(format!("an expression has at most {LONGEST} characters"));
    }
    let program = cel::compile_untyped(text).map_err(|error| error.to_string())?;
    if program.result != *wanted && program.result != Type::Dyn {
        return Err(format!("it gives {}, and must give {wanted}", program.result));
    }
    Ok(program)
}

/// `apps/v1`, `v1`
fn is_api_version(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    };
    match text.split_once('/') {
        Some((group, version)) => part(group) && part(version),
        None => part(text),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rule(current: &str) -> HealthCheckExpr {
        HealthCheckExpr {
            api_version: "example.com/v1".into(),
            current: current.into(),
            ..HealthCheckExpr::default()
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field_and_place() {
        let long = format!("'{}' == ''", "x".repeat(LONGEST));
        for (current, message) in [
            ("", "it is empty"),
            ("status.phase ==", "line 1, column 16: Syntax error"),
            ("true &&\n  nothing(", "line 2, column"),
            ("status.unknownFunction()", "column 23: undeclared reference to 'unknownFunction'"),
            ("1 + 1", "it gives int, and must give bool"),
            ("'a' + 1 == 'b'", "found no matching overload for '_+_'"),
            ("status.name.matches('[')", "invalid matches argument"),
            (long.as_str(), "at most 2048 characters"),
        ] {
            let errors = rule(current).compile().unwrap_err();
            assert_eq!(errors[0].0, "current");
            assert!(errors[0].1.contains(message), "{current}: {}", errors[0].1);
        }
        let several = HealthCheckExpr {
            api_version: "a/b/c".into(),
            kind: Some(String::new()),
            in_progress: Some("'x'".into()),
            failed: Some("(".into()),
            message: Some("1".into()),
            ..rule("true")
        };
        let fields: Vec<&str> = several.compile().unwrap_err().iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["apiVersion", "kind", "inProgress", "failed", "message"]);
    }

    #[test]
    fn deep_and_long_expressions_are_refused_before_they_run() {
        let nested = format!("{}true{}", "(".repeat(1000), ")".repeat(1000));
        let lists = format!("{}{} == []", "[".repeat(900), "]".repeat(900));
        let chain = format!("1{} == 1", "+1".repeat(900));
        let calls = format!("status{} == ''", ".trim()".repeat(250));
        for text in [nested, lists, chain, calls] {
            let errors = rule(&text).compile().unwrap_err();
            assert!(errors[0].1.contains("recursion limit"), "{}", errors[0].1);
        }
        let pattern = format!("status.x.matches('{}')", "(a{1000}){1000}".repeat(3));
        assert!(rule(&pattern).compile().unwrap_err()[0].1.contains("invalid matches argument"));
    }

    #[test]
    fn the_group_is_that_of_the_version() {
        assert_eq!(rule("true").compile().unwrap().group, "example.com");
        let core = HealthCheckExpr { api_version: "v1".into(), ..rule("true") };
        assert_eq!(core.compile().unwrap().group, "");
    }
}
