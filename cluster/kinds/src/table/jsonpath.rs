//! The part of Kubernetes' JSONPath that printer columns use: fields, quoted fields, indexes, `[*]` and filters.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// `.name`, `['name']`; a dot in the name is `\.`
    Field(String),
    /// `[2]`, `[-1]` from the end
    Index(i64),
    /// `[*]`, `.*`
    All,
    /// `[?(@.path == "literal")]`
    Filter(Path, Option<(Comparison, Literal)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Text(String),
    Number(f64),
    Boolean(bool),
}

/// A path inside a filter is read by the same parser; deeper nesting than this is refused.
const MAX_DEPTH: usize = 4;

impl Path {
    /// Parses a path such as `.status.conditions[?(@.type=="Ready")].status`; `None` when it is not one.
    pub(super) fn parse(text: &str) -> Option<Path> {
        let text = text.trim();
        let text = text.strip_prefix('$').unwrap_or(text);
        parse_steps(text, 0)
    }

    /// All values at the path, in order. A missing key gives nothing.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![value], |values, step| {
            values.into_iter().flat_map(|value| step.apply(value)).collect()
        })
    }
}

fn parse_steps(text: &str, depth: usize) -> Option<Path> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let end = closing_bracket(after)?;
            steps.extend(bracket(after[..end].trim(), depth)?);
            rest = &after[end + 1..];
        } else {
            // The first dot may be left out.
            let after = rest.strip_prefix('.').unwrap_or(rest);
            if after.starts_with('[') {
                rest = after;
                continue;
            }
            let (field, after) = field(after)?;
            steps.push(if field == "*" { Step::All } else { Step::Field(field) });
            rest = after;
        }
    }
    Some(Path(steps))
}

/// A field name and what follows it; a backslash takes the next character as it is (`.a\.b`).
fn field(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => return (!name.is_empty()).then_some((name, &text[at..])),
            _ => name.push(character),
        }
    }
    (!name.is_empty()).then_some((name, ""))
}

/// The place of the bracket that closes one that was just opened.
fn closing_bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Some(at),
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn bracket(inside: &str, depth: usize) -> Option<Vec<Step>> {
    if let Some(name) = quoted(inside) {
        // Kubernetes reads it as if it stood behind a dot: a dot in a name is escaped here as well.
        return if name.is_empty() { None } else { parse_steps(name, depth + 1).map(|path| path.0) };
    }
    let step = if inside == "*" {
        Step::All
    } else if let Some(filter) = inside.strip_prefix("?(") {
        self::filter(filter.trim_end().strip_suffix(')')?.trim(), depth)?
    } else {
        Step::Index(inside.parse().ok()?)
    };
    Some(vec![step])
}

fn quoted(text: &str) -> Option<&str> {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

fn filter(text: &str, depth: usize) -> Option<Step> {
    const OPERATORS: [(&str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let operator = OPERATORS
        .iter()
        .filter_map(|&(sign, comparison)| Some((text.find(sign)?, sign, comparison)))
        .min_by_key(|&(at, sign, _)| (at, std::cmp::Reverse(sign.len())));
    let path = |text: &str| parse_steps(text.trim().strip_prefix('@')?, depth + 1);
    match operator {
        None => Some(Step::Filter(path(text)?, None)),
        Some((at, sign, comparison)) => {
            let literal = literal(text[at + sign.len()..].trim())?;
            Some(Step::Filter(path(&text[..at])?, Some((comparison, literal))))
        }
    }
}

fn literal(text: &str) -> Option<Literal> {
    if let Some(text) = quoted(text) {
        return Some(Literal::Text(text.to_owned()));
    }
    match text {
        "true" => Some(Literal::Boolean(true)),
        "false" => Some(Literal::Boolean(false)),
        _ => text.parse().ok().map(Literal::Number),
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => {
                let Some(items) = value.as_array() else { return Vec::new() };
                let index =
                    if *index < 0 { index.checked_add_unsigned(items.len() as u64) } else { Some(*index) };
                let index = index.and_then(|index| usize::try_from(index).ok());
                index.and_then(|index| items.get(index)).into_iter().collect()
            }
            Step::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Step::Filter(path, comparison) => {
                let items = value.as_array().into_iter().flatten();
                items.filter(|item| holds(&path.find(item), comparison.as_ref())).collect()
            }
        }
    }
}

fn holds(found: &[&Value], comparison: Option<&(Comparison, Literal)>) -> bool {
    let Some(left) = found.first() else { return false };
    let Some((comparison, literal)) = comparison else { return true };
    let order = match (left, literal) {
        (Value::String(left), Literal::Text(right)) => left.partial_cmp(right),
        (Value::Number(left), Literal::Number(right)) => {
            left.as_f64().and_then(|left| left.partial_cmp(right))
        }
        (Value::Bool(left), Literal::Boolean(right)) => left.partial_cmp(right),
        _ => None,
    };
    // Values of different types are not comparable, and the filter does not hold.
    let Some(order) = order else { return false };
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn find(path: &str, value: &Value) -> Vec<Value> {
        Path::parse(path).unwrap().find(value).into_iter().cloned().collect()
    }

    #[test]
    fn fields_indexes_wildcards_and_filters_are_followed() {
        let value = json!({
            "a": {"b": [{"c": 1}, {"c": 2}]},
            "metadata": {"annotations": {"x.y/z": "v"}},
            "conditions": [{"type": "Ready", "status": "True", "n": 3}, {"type": "A]b", "status": "False"}],
        });
        assert_eq!(find(".a.b[1].c", &value), [json!(2)]);
        assert_eq!(find("a.b[-1].c", &value), [json!(2)]);
        assert_eq!(find(".a.b[*].c", &value), [json!(1), json!(2)]);
        assert_eq!(find(r".metadata.annotations['x\.y/z']", &value), [json!("v")]);
        assert_eq!(find(".metadata.annotations['x.y/z']", &value), Vec::<Value>::new());
        assert_eq!(find(".a['b'][1]['c']", &value), [json!(2)]);
        assert_eq!(find(r".metadata.annotations.x\.y/z", &value), [json!("v")]);
        assert_eq!(find(r#".conditions[?(@.type=="Ready")].status"#, &value), [json!("True")]);
        assert_eq!(find(".conditions[?(@.type == 'A]b')].status", &value), [json!("False")]);
        assert_eq!(find(".conditions[?(@.n >= 3)].type", &value), [json!("Ready")]);
        assert_eq!(find(".conditions[?(@.n)].type", &value), [json!("Ready")]);
        assert_eq!(find(".nothing.here[0]", &value), Vec::<Value>::new());
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [".a[", ".a[x]", ".a..b", ".a[?(b==1)]", ".a[?(@.b==)]", r".a\"] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }
}
