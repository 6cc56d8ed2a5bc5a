//! The keywords of a schema against a value.
//!
//! On an update, what did not change is not checked again (KEP-4008): an object that a stricter schema would refuse
//! today can still be written. Fields are compared with the same field before, items of a map list with the item that
//! has the same keys, items of other lists only as part of their list. Inside `allOf`, `anyOf`, `oneOf` and `not`
//! nothing is tolerated.

use seaway_schema::numbers;
use seaway_schema::schema::{Additional, Bound, Schema};
use serde_json::{Number, Value};

use crate::field_error::{ErrorKind, FieldError, Path};

/// What a schema says of a value.
#[derive(Debug, Default)]
struct Outcome {
    problems: Vec<Problem>,
    /// How many checks were made: of several alternatives that fail, the one with most checks is told.
    checks: usize,
}

#[derive(Debug)]
struct Problem {
    error: FieldError,
    /// The sentence by which equal problems are told once.
    text: String,
}

impl Outcome {
    fn add(&mut self, problem: Problem) {
        if self.problems.iter().all(|known| known.text != problem.text) {
            self.problems.push(problem);
        }
    }

    fn merge(&mut self, other: Outcome) {
        self.checks += other.checks;
        for problem in other.problems {
            self.add(problem);
        }
    }

    fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks a value, with its former state when it is an update. `path` is empty for the object itself.
pub(crate) fn validate(schema: &Schema, path: &str, old: Option<&Value>, value: &Value) -> Vec<FieldError> {
    correlated(schema, path, old, value).problems.into_iter().map(|problem| problem.error).collect()
}

/// A value that has an identity of its own: unchanged, it is not checked.
fn correlated(schema: &Schema, path: &str, old: Option<&Value>, value: &Value) -> Outcome {
    if old == Some(value) {
        return Outcome { problems: Vec::new(), checks: 1 };
    }
    check(schema, path, old, value)
}

fn check(schema: &Schema, path: &str, old: Option<&Value>, value: &Value) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(problem) = wrong_type(schema, path, value) {
        outcome.add(problem);
    }
    outcome.checks += 1;
    if value.is_null() {
        check_options(&mut outcome, schema, path, value);
        return outcome;
    }
    check_junctors(&mut outcome, schema, path, value);
    match value {
        Value::String(text) => {
            outcome.checks += 2;
            if let Some(problem) = check_text(schema, path, text) {
                outcome.add(problem);
            }
            if let Some(format) = &schema.format
                && format.text.is_some_and(|known| !known.matches(text))
            {
                outcome.add(type_problem(path, &format.name, text));
            }
        }
        Value::Number(number) => {
            outcome.checks += 1;
            check_number(&mut outcome, schema, path, number);
        }
        Value::Array(items) => check_items(&mut outcome, schema, path, old, items),
        Value::Null | Value::Bool(_) | Value::Object(_) => {}
    }
    check_options(&mut outcome, schema, path, value);
    if let Value::Object(fields) = value {
        let old = old.and_then(Value::as_object);
        outcome.merge(check_fields(schema, path, old, fields));
    }
    outcome.checks += 1;
    outcome
}

/// The path of a field of the value at `path`.
fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn field_path(path: &str) -> Path {
    if path.is_empty() { Path::root() } else { Path::new(path) }
}

fn invalid(path: &str, value: Value, text: String) -> Problem {
    Problem { error: FieldError::invalid(&field_path(path), value, text.clone()), text }
}

fn type_problem(path: &str, expected: &str, got: &str) -> Problem {
    let text = format!("{path} in body must be of type {expected}: {got:?}");
    let error = FieldError {
        kind: ErrorKind::TypeInvalid,
        field: field_path(path).to_string(),
        bad_value: got.into(),
        detail: text.clone(),
    };
    Problem { error, text }
}

/// The name of a value's type, and the format that its Go type has.
fn type_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::String(_) => ("string", ""),
        Value::Number(number) if number.is_f64() => ("number", "float64"),
        Value::Number(_) => ("integer", "int64"),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn wrong_type(schema: &Schema, path: &str, value: &Value) -> Option<Problem> {
    let types = schema.types();
    let (got, got_format) = type_of(value);
    if value.is_null() {
        let wrong = !types.is_empty() && !schema.nullable;
        return wrong.then(|| type_problem(path, &types.join(","), got));
    }
    if types.is_empty() && schema.format.is_none() {
        return None;
    }
    let whole = value.as_f64().is_some_and(numbers::is_whole);
    let right = types.contains(&got)
        || (got == "number" && whole && types.contains(&"integer"))
        || (got == "integer" && types.contains(&"number"));
    if right {
        return None;
    }
    match &schema.format {
        Some(format) if !matches!(value, Value::String(_) | Value::Array(_)) => {
            (format.name != got_format).then(|| type_problem(path, &format.name, got_format))
        }
        // Without a type, a format says nothing of lists, and of texts the format's own check does.
        Some(_) if types.is_empty() => None,
        _ => Some(type_problem(path, &types.join(","), got)),
    }
}

/// A value as an error shows it: Go prints 3.0 as 3.
fn shown(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && numbers::is_whole(number) && number.abs() < 1e15 => {
            // Exact below 2^53.
            Value::from(number as i64)
        }
        _ => value.clone(),
    }
}

fn check_options(outcome: &mut Outcome, schema: &Schema, path: &str, value: &Value) {
    let same = |option: &Value| match (option.as_f64(), value.as_f64()) {
        (Some(option), Some(value)) => option == value,
        _ => option == value && !value.is_null(),
    };
    if schema.options.is_empty() || schema.options.iter().any(same) {
        return;
    }
    let supported: Vec<String> = schema
        .options
        .iter()
        .map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned))
        .collect();
    let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
    outcome.add(Problem {
        error: FieldError::not_supported(&field_path(path), shown(value), &supported),
        text: format!("{path} in body should be one of [{}]", supported.join(" ")),
    });
}

/// Length and pattern; only the first of them that fails is told.
fn check_text(schema: &Schema, path: &str, text: &str) -> Option<Problem> {
    if schema.max_length.is_some() || schema.min_length.is_some() {
        let length = text.chars().count() as u64;
        if let Some(most) = schema.max_length.filter(|most| length > *most) {
            return Some(Problem {
                error: FieldError::too_long(&field_path(path), usize::try_from(most).unwrap_or(usize::MAX)),
                text: format!("{path} in body should be at most {most} chars long"),
            });
        }
        if let Some(least) = schema.min_length.filter(|least| length < *least) {
            let detail = format!("{path} in body should be at least {least} chars long");
            return Some(invalid(path, text.into(), detail));
        }
    }
    let pattern = schema.pattern.as_ref()?;
    let broken = match &pattern.regex {
        Ok(regex) if regex.is_match(text) => return None,
        Ok(_) => String::new(),
        Err(error) => format!(", but pattern is invalid: {error}"),
    };
    Some(invalid(path, text.into(), format!("{path} in body should match '{}{broken}'", pattern.source)))
}

/// A whole number without loss, or what is nearest to the number.
enum Amount {
    Whole(i64),
    Float(f64),
}

impl Amount {
    fn of(number: &Number) -> Amount {
        match number.as_i64() {
            Some(whole) => Amount::Whole(whole),
            None => Amount::Float(number.as_f64().unwrap_or_default()),
        }
    }

    /// How the number relates to a limit, and the limit as it is told: whole numbers have whole limits.
    fn compare(&self, limit: f64) -> (Option<std::cmp::Ordering>, String) {
        match self {
            // Truncation is what the real server does.
            Amount::Whole(value) => (Some(value.cmp(&(limit as i64))), (limit as i64).to_string()),
            Amount::Float(value) => (value.partial_cmp(&limit), numbers::float(limit)),
        }
    }

    fn is_multiple_of(&self, factor: f64) -> bool {
        match self {
            Amount::Whole(value) if numbers::is_whole(factor) && factor >= 1.0 => {
                value.checked_rem(factor as i64).is_none_or(|rest| rest == 0)
            }
            Amount::Whole(value) => is_multiple(*value as f64, factor),
            Amount::Float(value) => is_multiple(*value, factor),
        }
    }
}

fn is_multiple(value: f64, factor: f64) -> bool {
    if factor <= 0.0 {
        return true;
    }
    let quotient = if factor < 1.0 { 1.0 / factor * value } else { value / factor };
    // Decimal fractions are not exact: a difference of 1e-9 is none.
    let nearest = quotient.round();
    (quotient - nearest).abs() <= 1e-9 * quotient.abs().max(nearest.abs()).max(1.0)
}

fn check_number(outcome: &mut Outcome, schema: &Schema, path: &str, number: &Number) {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let amount = Amount::of(number);
    let value = || shown(&Value::Number(number.clone()));
    if let Some(factor) = schema.multiple_of.filter(|factor| !amount.is_multiple_of(*factor)) {
        let factor = numbers::float(factor);
        outcome.add(invalid(path, value(), format!("{path} in body should be a multiple of {factor}")));
    }
    let mut bound = |bound: Option<Bound>, beyond: std::cmp::Ordering, words: [&str; 2]| {
        let Some(Bound { limit, exclusive }) = bound else { return };
        let (order, limit) = amount.compare(limit);
        if order == Some(beyond) || (exclusive && order == Some(Equal)) {
            let words = words[usize::from(exclusive)];
            outcome.add(invalid(path, value(), format!("{path} in body should be {words} {limit}")));
        }
    };
    bound(schema.minimum, Less, ["greater than or equal to", "greater than"]);
    bound(schema.maximum, Greater, ["less than or equal to", "less than"]);
}

fn check_items(outcome: &mut Outcome, schema: &Schema, path: &str, old: Option<&Value>, items: &[Value]) {
    let old = old.and_then(Value::as_array);
    if let Some(each) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            let former = old.and_then(|old| schema.former_item(old, item));
            outcome.merge(correlated(each, &format!("{path}[{index}]"), former, item));
        }
    }
    let count = items.len() as u64;
    if let Some(least) = schema.min_items.filter(|least| count < *least) {
        let text = format!("{path} in body should have at least {least} items");
        outcome.add(invalid(path, count.into(), text));
    }
    if let Some(most) = schema.max_items.filter(|most| count > *most) {
        outcome.add(too_many(path, items.len(), most, "items"));
    }
    outcome.checks += 1;
}

fn too_many(path: &str, found: usize, most: u64, what: &str) -> Problem {
    Problem {
        error: FieldError::too_many(&field_path(path), found, usize::try_from(most).unwrap_or(usize::MAX)),
        text: format!("{path} in body should have at most {most} {what}"),
    }
}

fn check_fields(
    schema: &Schema,
    path: &str,
    old: Option<&serde_json::Map<String, Value>>,
    fields: &serde_json::Map<String, Value>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let count = fields.len() as u64;
    if let Some(least) = schema.min_properties.filter(|least| count < *least) {
        let text = format!("{path} in body should have at least {least} properties");
        outcome.add(invalid(path, count.into(), text));
        return outcome;
    }
    if let Some(most) = schema.max_properties.filter(|most| count > *most) {
        outcome.add(too_many(path, fields.len(), most, "properties"));
        return outcome;
    }
    let former = |name: &str| old.and_then(|old| old.get(name));
    match &schema.additional {
        Some(Additional::Nothing) => {
            for name in fields.keys().filter(|name| !schema.properties.contains_key(*name)) {
                let text = format!("{path}.{name} in body is a forbidden property");
                outcome.add(invalid(path, name.as_str().into(), text));
            }
        }
        Some(Additional::Each(each)) => {
            for (name, value) in fields.iter().filter(|(name, _)| !schema.properties.contains_key(*name)) {
                outcome.merge(correlated(each, &child(path, name), former(name), value));
            }
        }
        Some(Additional::Any) | None => {}
    }
    for (name, property) in &schema.properties {
        if let Some(value) = fields.get(name) {
            outcome.merge(correlated(property, &child(path, name), former(name), value));
        }
    }
    for name in schema.required.iter().filter(|name| !fields.contains_key(*name)) {
        let path = child(path, name);
        outcome.add(Problem {
            error: FieldError::required(&field_path(&path), ""),
            text: format!("{path} in body is required"),
        });
    }
    outcome
}

fn check_junctors(outcome: &mut Outcome, schema: &Schema, path: &str, value: &Value) {
    let mut whole = |text: String| {
        outcome.add(Problem { error: FieldError::invalid(&Path::root(), "", text.clone()), text });
    };
    let mut merged = Vec::new();
    if !schema.any_of.is_empty() {
        let (valid, best) = alternatives(&schema.any_of, path, value, true);
        if valid == 0 {
            whole(format!("{path:?} must validate at least one schema (anyOf)"));
        }
        merged.extend(best);
    }
    if !schema.one_of.is_empty() {
        let (valid, best) = alternatives(&schema.one_of, path, value, false);
        match valid {
            1 => merged.extend(best),
            0 => {
                whole(format!("{path:?} must validate one and only one schema (oneOf). Found none valid"));
                merged.extend(best);
            }
            _ => whole(format!(
                "{path:?} must validate one and only one schema (oneOf). Found {valid} valid alternatives"
            )),
        }
    }
    if !schema.all_of.is_empty() {
        let all: Vec<Outcome> = schema.all_of.iter().map(|one| check(one, path, None, value)).collect();
        let valid = all.iter().filter(|one| one.is_valid()).count();
        if valid < all.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            whole(format!("{path:?} must validate all the schemas (allOf){none}"));
        }
        merged.extend(all);
    }
    if let Some(not) = &schema.not
        && check(not, path, None, value).is_valid()
    {
        whole(format!("{path:?} must not validate the schema (not)"));
    }
    for one in merged {
        outcome.merge(one);
    }
    outcome.checks += 1;
}

/// How many alternatives are valid, and the one to tell of: the first valid one, or the one that came furthest.
fn alternatives(all: &[Schema], path: &str, value: &Value, stop: bool) -> (usize, Option<Outcome>) {
    let mut valid = 0;
    let mut best: Option<Outcome> = None;
    for one in all {
        let outcome = check(one, path, None, value);
        if outcome.is_valid() {
            valid += 1;
            if valid == 1 {
                best = Some(outcome);
            }
            if stop {
                break;
            }
        } else if valid == 0 && best.as_ref().is_none_or(|best| outcome.checks > best.checks) {
            best = Some(outcome);
        }
    }
    (valid, best)
}
