//! Field selectors: `metadata.name=web,status.phase!=Running`, with `\,`, `\=` and `\\` for the characters themselves.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::Error;

/// How a field is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldOperator {
    /// `=` and `==`
    Equals,
    /// `!=`
    NotEquals,
}

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// The field, with dots: `metadata.name`.
    pub field: String,
    /// How it is compared.
    pub operator: FieldOperator,
    /// With what.
    pub value: String,
}

/// Conditions that must all hold; without any it selects everything. Which fields a kind supports is for the caller
/// to check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    /// The conditions in the order of the text.
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Does it select everything?
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that a field must have, if the selector demands one: `metadata.name` turns a list into a get.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.requirements
            .iter()
            .find(|requirement| requirement.field == field && requirement.operator == FieldOperator::Equals)
            .map(|requirement| requirement.value.as_str())
    }

    /// Does it select an object whose fields `value` looks up? An absent field is the empty text.
    pub fn matches(&self, value: impl Fn(&str) -> String) -> bool {
        self.requirements.iter().all(|requirement| {
            (value(&requirement.field) == requirement.value)
                == (requirement.operator == FieldOperator::Equals)
        })
    }

    /// Does it select this object, each field being a path of keys? Absent fields are the empty text, numbers and
    /// booleans are compared as they are printed.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(|field| {
            let value = field.split('.').try_fold(object, |value, key| value.get(key));
            match value {
                Some(Value::String(text)) => text.clone(),
                Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
                _ => String::new(),
            }
        })
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let operator = match requirement.operator {
                FieldOperator::Equals => "=",
                FieldOperator::NotEquals => "!=",
            };
            let comma = if index > 0 { "," } else { "" };
            let value = requirement.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{operator}{value}", requirement.field)?;
        }
        Ok(())
    }
}

impl FromStr for FieldSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut requirements = Vec::new();
        for term in split_terms(text) {
            if term.is_empty() {
                continue;
            }
            let (field, operator, value) = split_term(term).ok_or_else(|| Error::Selector {
                message: format!("invalid selector: '{text}'; can't understand '{term}'"),
            })?;
            requirements.push(FieldRequirement {
                field: field.to_owned(),
                operator,
                value: unescape(value)?,
            });
        }
        Ok(Self { requirements })
    }
}

/// At the commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// At the first operator.
fn split_term(term: &str) -> Option<(&str, FieldOperator, &str)> {
    term.char_indices().find_map(|(index, _)| {
        [("!=", FieldOperator::NotEquals), ("==", FieldOperator::Equals), ("=", FieldOperator::Equals)]
            .into_iter()
            .find_map(|(sign, operator)| {
                term[index..].strip_prefix(sign).map(|value| (&term[..index], operator, value))
            })
    })
}

fn unescape(value: &str) -> Result<String, Error> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(c @ ('\\' | ',' | '=')) => text.push(c),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    let message = format!("invalid field selector: invalid escape sequence: \\{other}");
                    return Err(Error::Selector { message });
                }
            },
            ',' | '=' => {
                let message = format!("invalid field selector: unescaped character in value: {c}");
                return Err(Error::Selector { message });
            }
            c => text.push(c),
        }
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_compared_as_text() {
        let pod = json!({"metadata": {"name": "web"}, "status": {"phase": "Running"}, "spec": {"n": 3}});
        for (selector, expected) in [
            ("", true),
            ("metadata.name=web", true),
            ("metadata.name==web,status.phase!=Pending", true),
            ("metadata.name=web,status.phase!=Running", false),
            ("metadata.namespace=", true),
            ("metadata.namespace!=", false),
            ("spec.n=3", true),
            (",metadata.name=web,", true),
        ] {
            assert_eq!(
                selector.parse::<FieldSelector>().unwrap().matches_object(&pod),
                expected,
                "{selector}"
            );
        }
    }

    #[test]
    fn escapes_stand_for_the_characters_themselves() {
        let selector: FieldSelector = r"a=x\,y\=z\\".parse().unwrap();
        assert_eq!(selector.required("a"), Some(r"x,y=z\"));
        assert_eq!(selector.to_string(), r"a=x\,y\=z\\");
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for selector in ["a", "a=b,c", r"a=\x", "a=b=c", r"a=b\"] {
            assert!(selector.parse::<FieldSelector>().is_err(), "{selector}");
        }
    }
}
