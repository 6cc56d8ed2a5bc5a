//! Label selectors, as text (`app=web,tier in (a,b),!old`) and as a field of an object (`matchLabels`,
//! `matchExpressions`).

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::name::{label_key_errors, label_value_errors};
use crate::Error;
use crate::identity;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Operator {
    Equals,
    DoubleEquals,
    In,
    NotEquals,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted, without duplicates.
    values: Vec<String>,
}

impl Requirement {
    /// A condition; keys, values and their number are checked as Kubernetes does.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, Error> {
        if let Some(error) = label_key_errors(key).into_iter().next() {
            return Err(invalid(format!("key: Invalid value: {key:?}: {error}")));
        }
        let values_fit = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Err("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Err("exact-match compatibility requires one single value")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Err("values set must be empty for exists and does not exist")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Err("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            Operator::GreaterThan | Operator::LessThan if values[0].parse::<i64>().is_err() => {
                Err("for 'Gt', 'Lt' operators, the value must be an integer")
            }
            _ => Ok(()),
        };
        if let Err(message) = values_fit {
            return Err(invalid(format!("values: Invalid value: {values:?}: {message}")));
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(error) = label_value_errors(value).into_iter().next() {
                return Err(invalid(format!("values[{index}][{key}]: Invalid value: {value:?}: {error}")));
            }
        }
        let mut values = values;
        values.sort();
        values.dedup();
        Ok(Self { key: key.to_owned(), operator, values })
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How it compares.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// With what it compares, sorted.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let among = |value: &str| self.values.iter().any(|wanted| wanted == value);
        let compare = |holds: fn(&i64, &i64) -> bool| {
            let wanted = self.values.first().and_then(|wanted| wanted.parse().ok());
            value
                .and_then(|value| value.parse().ok())
                .zip(wanted)
                .is_some_and(|(is, wanted)| holds(&is, &wanted))
        };
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(among),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(i64::gt),
            Operator::LessThan => compare(i64::lt),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.operator == Operator::DoesNotExist {
            f.write_str("!")?;
        }
        f.write_str(&self.key)?;
        let values = self.values.join(",");
        match self.operator {
            Operator::Exists | Operator::DoesNotExist => Ok(()),
            Operator::Equals => write!(f, "={values}"),
            Operator::DoubleEquals => write!(f, "=={values}"),
            Operator::NotEquals => write!(f, "!={values}"),
            Operator::GreaterThan => write!(f, ">{values}"),
            Operator::LessThan => write!(f, "<{values}"),
            Operator::In => write!(f, " in ({values})"),
            Operator::NotIn => write!(f, " notin ({values})"),
        }
    }
}

/// Conditions that must all hold. The default one selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    /// Sorted by key.
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects every object.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects no object: what an absent `selector` field means.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// From checked conditions.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// From a `LabelSelector` field (`matchLabels`, `matchExpressions`): null selects nothing, `{}` everything.
    pub fn from_value(selector: &Value) -> Result<Self, Error> {
        let fields = match selector {
            Value::Null => return Ok(Self::nothing()),
            Value::Object(fields) => fields,
            _ => {
                return Err(invalid(
                    "a label selector is a map with matchLabels and matchExpressions".to_owned(),
                ));
            }
        };
        let mut requirements = Vec::new();
        match fields.get("matchLabels") {
            None | Some(Value::Null) => {}
            Some(labels) => requirements.extend(equalities(labels, "matchLabels")?),
        }
        match fields.get("matchExpressions") {
            None | Some(Value::Null) => {}
            Some(Value::Array(expressions)) => {
                for (index, expression) in expressions.iter().enumerate() {
                    requirements.push(requirement_of(expression, index)?);
                }
            }
            Some(_) => return Err(invalid("matchExpressions must be a list".to_owned())),
        }
        Ok(Self::new(requirements))
    }

    /// From a plain map of labels, as `spec.selector` of a Service has it. An empty or absent map selects nothing
    /// there, which is for the caller to decide: here it selects everything.
    pub fn from_labels(labels: &Value) -> Result<Self, Error> {
        Ok(Self::new(equalities(labels, "selector")?))
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Does it select everything?
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Does it select an object with these labels? `label` looks one up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing
            && self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Does it select this object, by its `metadata.labels`?
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(|key| identity::label(object, key))
    }
}

impl fmt::Display for LabelSelector {
    /// The form that [`FromStr`] reads and that goes into `?labelSelector=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

fn invalid(message: String) -> Error {
    Error::Selector { message }
}

fn equalities(labels: &Value, field: &str) -> Result<Vec<Requirement>, Error> {
    let Value::Object(labels) = labels else {
        return Err(invalid(format!("{field} must be a map from label keys to text")));
    };
    labels
        .iter()
        .map(|(key, value)| match value {
            Value::String(value) => Requirement::new(key, Operator::Equals, vec![value.clone()]),
            _ => Err(invalid(format!("{field}[{key}] must be text: put it in quotes"))),
        })
        .collect()
}

fn requirement_of(expression: &Value, index: usize) -> Result<Requirement, Error> {
    let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or_default();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            return Err(invalid(format!(
                "matchExpressions[{index}]: {other:?} is not a valid label selector operator"
            )));
        }
    };
    let values = match expression.get("values") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| value.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| invalid(format!("matchExpressions[{index}].values must be text")))?,
        Some(_) => return Err(invalid(format!("matchExpressions[{index}].values must be a list"))),
    };
    Requirement::new(text("key"), operator, values)
}

impl FromStr for LabelSelector {
    type Err = Error;

    /// The grammar of `?labelSelector=` and `kubectl -l`. The empty text selects everything.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = Vec::new();
        loop {
            match parser.peek() {
                Token::End if requirements.is_empty() => break,
                Token::Word(_) | Token::Not => requirements.push(parser.requirement()?),
                _ => return Err(parser.unexpected("!, identifier, or 'end of string'")),
            }
            match parser.next() {
                Token::End => break,
                Token::Comma if matches!(parser.peek(), Token::Word(_) | Token::Not) => {}
                Token::Comma => return Err(parser.unexpected("identifier after ','")),
                _ => {
                    parser.at -= 1;
                    return Err(parser.unexpected("',' or 'end of string'"));
                }
            }
        }
        Ok(Self::new(requirements))
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// `=`, `==`, `!=`, `>`, `<`
    Operator(Operator, &'static str),
    Not,
    Comma,
    Open,
    Close,
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Word(word) => word,
            Self::Operator(_, text) => text,
            Self::Not => "!",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::End => "",
        })
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            ',' => (Token::Comma, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '>' => (Token::Operator(Operator::GreaterThan, ">"), 1),
            '<' => (Token::Operator(Operator::LessThan, "<"), 1),
            '=' if rest.starts_with("==") => (Token::Operator(Operator::DoubleEquals, "=="), 2),
            '=' => (Token::Operator(Operator::Equals, "="), 1),
            '!' if rest.starts_with("!=") => (Token::Operator(Operator::NotEquals, "!="), 2),
            '!' => (Token::Not, 1),
            _ => {
                let end = rest
                    .find(|c: char| ",()><=!".contains(c) || c.is_ascii_whitespace() || c.is_whitespace())
                    .unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), end)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn unexpected(&self, expected: &str) -> Error {
        let found = self.peek();
        invalid(format!("unable to parse requirement: found '{found}', expected: {expected}"))
    }

    fn requirement(&mut self) -> Result<Requirement, Error> {
        if *self.peek() == Token::Not {
            self.at += 1;
            let key = self.word("identifier")?;
            return parsed(Requirement::new(&key, Operator::DoesNotExist, Vec::new()));
        }
        let key = self.word("identifier")?;
        let (operator, values) = match self.peek().clone() {
            Token::End | Token::Comma => (Operator::Exists, Vec::new()),
            Token::Operator(operator, _) => {
                self.at += 1;
                (operator, vec![self.value()?])
            }
            Token::Word(word) if word == "in" || word == "notin" => {
                self.at += 1;
                (if word == "in" { Operator::In } else { Operator::NotIn }, self.values()?)
            }
            _ => return Err(self.unexpected("in, notin, =, ==, !=, gt, lt")),
        };
        parsed(Requirement::new(&key, operator, values))
    }

    fn word(&mut self, expected: &str) -> Result<String, Error> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// What follows `=`; nothing at all is the empty value.
    fn value(&mut self) -> Result<String, Error> {
        match self.peek() {
            Token::End | Token::Comma => Ok(String::new()),
            _ => self.word("identifier"),
        }
    }

    /// `(a, b)`; what is missing between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, Error> {
        if *self.peek() != Token::Open {
            return Err(self.unexpected("'('"));
        }
        self.at += 1;
        let mut values = Vec::new();
        loop {
            values.push(match self.peek() {
                Token::Comma | Token::Close => String::new(),
                _ => self.word("',', ')' or identifier")?,
            });
            match self.peek() {
                Token::Comma => self.at += 1,
                Token::Close => {
                    self.at += 1;
                    return Ok(values);
                }
                _ => return Err(self.unexpected("',' or ')'")),
            }
        }
    }
}

fn parsed(requirement: Result<Requirement, Error>) -> Result<Requirement, Error> {
    requirement.map_err(|error| match error {
        Error::Selector { message } => invalid(format!("unable to parse requirement: {message}")),
        other => other,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(selector: &str, labels: Value) -> bool {
        selector.parse::<LabelSelector>().unwrap().matches_object(&json!({"metadata": {"labels": labels}}))
    }

    #[test]
    fn every_operator_selects_what_kubernetes_selects() {
        let web = || json!({"app": "web", "tier": "front", "n": "5"});
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("! old", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app=web,tier=back", false),
            ("app!=web", false),
            ("old!=x", true),
            ("app in (web,api)", true),
            ("app in (api)", false),
            ("app notin (api)", true),
            ("old notin (api)", true),
            ("app notin (web)", false),
            ("n>4", true),
            ("n>5", false),
            ("n<6", true),
            ("old<6", false),
            ("app=", false),
            ("in in (in)", false),
        ] {
            assert_eq!(matches(selector, web()), expected, "{selector}");
        }
        assert!(matches("app=", json!({"app": ""})));
        assert!(matches("app in (,a)", json!({"app": ""})));
    }

    #[test]
    fn malformed_selectors_are_refused_with_a_reason() {
        for (selector, reason) in [
            ("app=a||b", "a valid label must be an empty string or consist of"),
            ("app in", "found '', expected: '('"),
            ("app in (a", "found '', expected: ',' or ')'"),
            ("app=web tier=a", "found 'tier', expected: ',' or 'end of string'"),
            ("app,", "found '', expected: identifier after ','"),
            (",app", "found ',', expected: !, identifier, or 'end of string'"),
            ("=web", "expected: !, identifier, or 'end of string'"),
            ("!", "found '', expected: identifier"),
            ("a/b/c", "a qualified name must consist of"),
            ("Bad_Prefix/a", "prefix part a lowercase RFC 1123 subdomain"),
            ("n>x", "the value must be an integer"),
            ("app like x", "found 'like', expected: in, notin, =, ==, !=, gt, lt"),
        ] {
            let error = selector.parse::<LabelSelector>().unwrap_err().to_string();
            assert!(error.contains(reason), "{selector}: {error}");
        }
        let long = format!("app={}", "x".repeat(64));
        assert!(long.parse::<LabelSelector>().is_err());
    }

    #[test]
    fn printed_selectors_are_read_back() {
        for selector in ["", "!c,a=b,b in (x,y),d notin (z),e,f!=g,h>1,i<2,j==k"] {
            let parsed: LabelSelector = selector.parse().unwrap();
            assert_eq!(parsed.to_string().parse::<LabelSelector>().unwrap(), parsed);
        }
        assert_eq!("b,a in (y,x,x)".parse::<LabelSelector>().unwrap().to_string(), "a in (x,y),b");
    }

    #[test]
    fn an_absent_selector_field_selects_nothing_and_an_empty_one_everything() {
        let object = json!({"metadata": {}});
        assert!(!LabelSelector::from_value(&Value::Null).unwrap().matches_object(&object));
        assert!(LabelSelector::from_value(&json!({})).unwrap().matches_object(&object));
    }

    #[test]
    fn match_labels_and_match_expressions_hold_together() {
        let selector = LabelSelector::from_value(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]},
                                 {"key": "old", "operator": "DoesNotExist"}]
        }))
        .unwrap();
        assert_eq!(selector.to_string(), "app=web,!old,tier in (a,b)");
        assert!(selector.matches_object(&json!({"metadata": {"labels": {"app": "web", "tier": "a"}}})));
        assert!(!selector.matches_object(&json!({"metadata": {"labels": {"app": "web", "tier": "c"}}})));
        for broken in [
            json!({"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}),
            json!({"matchLabels": {"a": 1}}),
            json!({"matchLabels": []}),
            json!([]),
        ] {
            assert!(LabelSelector::from_value(&broken).is_err(), "{broken}");
        }
    }
}
