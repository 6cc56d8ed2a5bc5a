//! The part of jq's path expressions that names fields: what people write to leave fields to others.
//!
//! Fields (`.a.b`, `."x/y"`, `.["x/y"]`), elements (`[0]`, `[]`) and choices of elements
//! (`| select(.name == "x")`, also with `!=`), one after the other. Everything else is refused by name: a whole language
//! would be one more thing that may run for ever.

use serde_json::Value;

/// Longest expression, in bytes.
const LONGEST: usize = 1024;

/// A path expression.
#[derive(Debug, Clone, PartialEq)]
pub struct JqPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    Each,
    Select { path: Vec<Step>, equal: bool, to: Value },
}

impl JqPath {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is not understood, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST {
            return Err(format!("an expression has at most {LONGEST} bytes"));
        }
        let mut reader = Reader { text, at: 0 };
        let mut steps = reader.path()?;
        while reader.takes("|") {
            if reader.takes("select") {
                steps.push(reader.select()?);
            } else {
                steps.extend(reader.path()?);
            }
        }
        reader.space();
        match reader.rest() {
            "" if steps.is_empty() => Err("it names no field".to_owned()),
            "" => Ok(Self(steps)),
            _ => Err(reader.problem()),
        }
    }

    /// What it leads to in a document: each time the fields and indexes on the way.
    pub fn find(&self, document: &Value) -> Vec<Vec<String>> {
        find(&self.0, document).into_iter().map(|(way, _)| way).collect()
    }
}

fn find<'a>(steps: &[Step], document: &'a Value) -> Vec<(Vec<String>, &'a Value)> {
    let mut found = vec![(Vec::new(), document)];
    for step in steps {
        found = found.into_iter().flat_map(|(way, value)| next(step, way, value)).collect();
    }
    found
}

fn next<'a>(step: &Step, way: Vec<String>, value: &'a Value) -> Vec<(Vec<String>, &'a Value)> {
    let below = |name: String, value: &'a Value| {
        let mut way = way.clone();
        way.push(name);
        (way, value)
    };
    match step {
        Step::Field(name) => value.get(name).map(|value| below(name.clone(), value)).into_iter().collect(),
        Step::Index(index) => {
            value.get(index).map(|value| below(index.to_string(), value)).into_iter().collect()
        }
        Step::Each => match value {
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, item)| below(index.to_string(), item)).collect()
            }
            Value::Object(fields) => fields.iter().map(|(name, field)| below(name.clone(), field)).collect(),
            _ => Vec::new(),
        },
        Step::Select { path, equal, to } => {
            let found = find(path, value);
            // What is not there is null, as in jq.
            let is = found.iter().any(|(_, found)| *found == to) || found.is_empty() && to.is_null();
            if is == *equal { vec![(way, value)] } else { Vec::new() }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, word: &str) -> bool {
        self.space();
        let there = self.rest().starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    fn problem(&self) -> String {
        let rest: String = self.rest().chars().take(40).collect();
        let what = if rest.is_empty() { "its end".to_owned() } else { format!("{rest:?}") };
        format!(
            "{what} is not understood: fields, indexes, [] and select(PATH == VALUE) are, one after the other with |"
        )
    }

    fn expect(&mut self, word: &str) -> Result<(), String> {
        if self.takes(word) { Ok(()) } else { Err(self.problem()) }
    }

    /// Fields and elements; a lone dot is what one is at.
    fn path(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        self.space();
        if !self.rest().starts_with('.') {
            return Err(self.problem());
        }
        loop {
            let rest = self.rest();
            if let Some(after) = rest.strip_prefix('.') {
                self.at += 1;
                let name = after.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
                let name = name.unwrap_or_default();
                if after.starts_with('"') {
                    steps.push(Step::Field(self.string()?));
                } else if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
                    self.at += name.len();
                    steps.push(Step::Field(name.to_owned()));
                } else if after.starts_with('.') {
                    return Err(self.problem());
                }
            } else if rest.starts_with('[') {
                self.at += 1;
                self.space();
                let digits = self.rest().split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
                if self.rest().starts_with('"') {
                    steps.push(Step::Field(self.string()?));
                } else if let Ok(index) = digits.parse() {
                    self.at += digits.len();
                    steps.push(Step::Index(index));
                } else {
                    steps.push(Step::Each);
                }
                self.expect("]")?;
            } else if rest.starts_with('?') {
                // What is not there is no error here anyway.
                self.at += 1;
            } else {
                return Ok(steps);
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        match self.literal()? {
            Value::String(text) => Ok(text),
            _ => Err(self.problem()),
        }
    }

    fn literal(&mut self) -> Result<Value, String> {
        self.space();
        if !self.rest().starts_with('"') {
            let word = self.rest().split(|c: char| c == ')' || c.is_whitespace()).next().unwrap_or_default();
            return match serde_json::from_str::<Value>(word) {
                Ok(value) if !value.is_object() && !value.is_array() => {
                    self.at += word.len();
                    Ok(value)
                }
                _ => Err(self.problem()),
            };
        }
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            _ => Err(self.problem()),
        }
    }

    fn select(&mut self) -> Result<Step, String> {
        self.expect("(")?;
        let path = self.path()?;
        let equal = self.takes("==");
        if !equal {
            self.expect("!=")?;
        }
        let to = self.literal()?;
        self.expect(")")?;
        Ok(Step::Select { path, equal, to })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_elements_and_choices_are_found() {
        let document = json!({
            "metadata": {"annotations": {"example.com/x": "1"}},
            "spec": {"containers": [
                {"name": "web", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                {"name": "sidecar", "image": "b"},
            ]},
        });
        for (text, wanted) in [
            (".spec.containers[0].image", vec!["spec/containers/0/image"]),
            (".spec.containers[].image", vec!["spec/containers/0/image", "spec/containers/1/image"]),
            (r#".spec.containers[] | select(.name == "sidecar")"#, vec!["spec/containers/1"]),
            (r#".spec.containers[]|select(.name!="sidecar")|.image"#, vec!["spec/containers/0/image"]),
            (
                r#".spec.containers[] | select(.name == "web") | .env[]? | select(.name == "B") | .value"#,
                vec!["spec/containers/0/env/1/value"],
            ),
            (r#".metadata.annotations["example.com/x"]"#, vec!["metadata/annotations/example.com/x"]),
            (r#".metadata.annotations."example.com/x""#, vec!["metadata/annotations/example.com/x"]),
            (r#".spec.containers[] | select(.env == null)"#, vec!["spec/containers/1"]),
            (".spec.absent[].x", vec![]),
            (".spec.containers[7]", vec![]),
        ] {
            let found = JqPath::parse(text).unwrap().find(&document);
            let found: Vec<String> = found.iter().map(|way| way.join("/")).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (text, part) in [
            ("", "its end"),
            (".", "names no field"),
            ("spec", "\"spec\""),
            ("..", "\".\""),
            (".a[", "its end"),
            (".a | map(.b)", "map(.b)"),
            (r#".a[] | select(.b | test("x"))"#, "| test"),
            (".a[] | select(.b == )", "\")\""),
            (".a[] | select(.b == {})", "{})"),
            (".a[-1]", "-1"),
            (".a as $x", "as $x"),
            (r#".a."b"#, r#""\"b""#),
            (&"é".repeat(600), "at most 1024"),
            (".é", "é"),
        ] {
            let problem = JqPath::parse(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}
