//! `x-kubernetes-validations`: rules in CEL, at every node of a schema that has some.
//!
//! A rule sees the value of its node as `self` and, on an update, what it was as `oldSelf`. Fields of structures and
//! maps correspond by name, items of map lists by their keys; items of other lists have no former state.

use std::collections::BTreeMap;

use seaway_schema::cel::{self, Cost, EvalError, Extent, Program, Type, Value};
use seaway_schema::schema::{Additional, RuleText, Schema};
use serde_json::Value as Json;

use crate::field_error::{ErrorKind, FieldError, Path};

/// Longest text that a messageExpression may give.
const MAX_MESSAGE: usize = 5 * 1024;

/// A rule, compiled as far as it can be.
#[derive(Debug)]
pub(crate) struct Rule {
    text: RuleText,
    /// None for an empty rule.
    program: Result<Option<Program>, String>,
    message: Result<Option<Program>, String>,
    uses_old_self: bool,
    /// Where the error belongs, below the node.
    field_path: String,
}

/// The rules of a schema, in its shape; only what has rules is there.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Whether the value is a whole object.
    is_resource: bool,
    rules: Vec<Rule>,
    all_of: Vec<Rules>,
    properties: BTreeMap<String, Rules>,
    each: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
}

impl Rule {
    /// Compiles a rule for values of a type.
    pub(crate) fn compile(text: &RuleText, node: &Schema, self_type: &Type) -> Rule {
        let variables = Rule::variables(text, self_type);
        let program = if text.rule.trim().is_empty() {
            Ok(None)
        } else {
            match cel::compile(&text.rule, &variables) {
                Err(error) => Err(format!("compilation failed: {error}")),
                Ok(program) if program.result != Type::Bool && program.result != Type::Dyn => {
                    Err("cel expression must evaluate to a bool".to_owned())
                }
                Ok(program) => Ok(Some(program)),
            }
        };
        let message = if text.message_expression.trim().is_empty() {
            Ok(None)
        } else {
            match cel::compile(&text.message_expression, &variables) {
                Err(error) => Err(format!("messageExpression compilation failed: {error}")),
                Ok(program) if program.result != Type::Text && program.result != Type::Dyn => {
                    Err("messageExpression must evaluate to a string".to_owned())
                }
                Ok(program) => Ok(Some(program)),
            }
        };
        let uses_old_self = matches!(&program, Ok(Some(program)) if program.uses("oldSelf"));
        let field_path = field_path(&text.field_path, node).unwrap_or_default();
        Rule { text: text.clone(), program, message, uses_old_self, field_path }
    }

    /// The variables of the rule and their types.
    fn variables(text: &RuleText, self_type: &Type) -> [(String, Type); 2] {
        let is_optional = text.optional_old_self == Some(true);
        let old_type = if is_optional { Type::optional(self_type.clone()) } else { self_type.clone() };
        [("self".to_owned(), self_type.clone()), ("oldSelf".to_owned(), old_type)]
    }

    /// Most steps of one run of the rule and, if there is one, of making its message.
    pub(crate) fn costs(&self, text: &RuleText, self_type: &Type, extent: &Extent) -> (u64, Option<u64>) {
        let variables = Rule::variables(text, self_type);
        let most = |program: &Program| program.most_cost(&variables, extent);
        let rule = self.program.as_ref().ok().and_then(Option::as_ref).map_or(0, most);
        (rule, self.message.as_ref().ok().and_then(Option::as_ref).map(most))
    }

    /// What keeps the rule from running.
    pub(crate) fn rule_error(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    /// What keeps its message from being made.
    pub(crate) fn message_error(&self) -> Option<&str> {
        self.message.as_ref().err().map(String::as_str)
    }

    pub(crate) fn uses_old_self(&self) -> bool {
        self.uses_old_self
    }
}

impl Rules {
    /// Compiles the rules of a schema; `None` when it has none.
    pub(crate) fn compile(schema: &Schema) -> Option<Rules> {
        schema.has_rules().then(|| Rules::of(schema, schema, true))
    }

    /// Compiles the rules of a part of a schema.
    pub(crate) fn compile_part(schema: &Schema) -> Option<Rules> {
        schema.has_rules().then(|| Rules::of(schema, schema, schema.embedded))
    }

    /// The rules that stand in `said`, about values of `node`: they differ inside of `allOf`.
    fn of(said: &Schema, node: &Schema, is_resource: bool) -> Rules {
        let mut rules = Rules { is_resource, ..Rules::default() };
        if !said.rules.is_empty() {
            let self_type = Type::of_schema(node, is_resource);
            rules.rules = said
                .rules
                .iter()
                .map(|text| match &self_type {
                    Some(self_type) => Rule::compile(text, node, self_type),
                    None => Rule {
                        text: text.clone(),
                        program: Err("the schema does not say what the value is".to_owned()),
                        message: Ok(None),
                        uses_old_self: false,
                        field_path: String::new(),
                    },
                })
                .collect();
        }
        rules.all_of = said
            .all_of
            .iter()
            .filter(|one| one.has_rules())
            .map(|one| Rules::of(one, node, is_resource))
            .collect();
        for (name, said) in said.properties.iter().filter(|(_, said)| said.has_rules()) {
            if let Some(node) = node.properties.get(name) {
                rules.properties.insert(name.clone(), Rules::of(said, node, node.embedded));
            }
        }
        if let (Some(Additional::Each(said)), Some(node)) = (&said.additional, node.each())
            && said.has_rules()
        {
            rules.each = Some(Box::new(Rules::of(said, node, node.embedded)));
        }
        if let (Some(said), Some(node)) = (&said.items, &node.items)
            && said.has_rules()
        {
            rules.items = Some(Box::new(Rules::of(said, node, node.embedded)));
        }
        rules
    }

    /// Runs all rules on an object, with its former state when it is an update.
    pub(crate) fn validate(
        &self,
        schema: &Schema,
        path: &Path,
        old: Option<&Json>,
        object: &Json,
    ) -> Vec<FieldError> {
        let mut run = Run { cost: Cost::new(), errors: Vec::new() };
        let place = Place {
            schema,
            path: path.clone(),
            is_resource: self.is_resource,
            old,
            former: old,
            parent_unchanged: false,
        };
        // What stopped the run is among the errors.
        let _ = run.node(self, &place, object);
        run.errors
    }
}

/// Where a run is.
struct Place<'a> {
    schema: &'a Schema,
    path: Path,
    is_resource: bool,
    /// The former state that rules see.
    old: Option<&'a Json>,
    /// The former state that decides whether something changed.
    former: Option<&'a Json>,
    /// Whether the nearest part with a former state did not change.
    parent_unchanged: bool,
}

impl<'a> Place<'a> {
    fn unchanged(&self, value: &Json) -> bool {
        self.former.map_or(self.parent_unchanged, |former| former == value)
    }

    fn below(&self, value: &Json, schema: &'a Schema, path: Path, old: Option<&'a Json>) -> Place<'a> {
        Place {
            schema,
            path,
            is_resource: schema.embedded,
            old,
            former: old,
            parent_unchanged: self.unchanged(value),
        }
    }

    /// The type that errors name.
    fn type_name(&self) -> &'static str {
        self.schema.json_type.map_or("", |json_type| json_type.name())
    }
}

/// No further rule may run.
struct Stopped;

struct Run {
    cost: Cost,
    errors: Vec<FieldError>,
}

impl Run {
    fn node(&mut self, rules: &Rules, place: &Place<'_>, value: &Json) -> Result<(), Stopped> {
        if value.is_null() {
            return Ok(());
        }
        for rule in &rules.rules {
            self.rule(rule, place, value)?;
        }
        for one in &rules.all_of {
            // What allOf says is not tolerated when only this node did not change.
            let place = Place { path: place.path.clone(), former: None, ..*place };
            self.node(one, &place, value)?;
        }
        match value {
            Json::Object(fields) => {
                for (name, field) in fields {
                    let old = place.old.and_then(|old| old.get(name));
                    let below = if let Some(below) = rules.properties.get(name) {
                        place
                            .schema
                            .properties
                            .get(name)
                            .map(|schema| (below, schema, place.path.child(name)))
                    } else if place.schema.properties.contains_key(name) {
                        None
                    } else {
                        rules
                            .each
                            .as_deref()
                            .zip(place.schema.each())
                            .map(|(below, schema)| (below, schema, place.path.key(name)))
                    };
                    if let Some((below, schema, path)) = below {
                        self.node(below, &place.below(value, schema, path, old), field)?;
                    }
                }
            }
            Json::Array(items) => {
                let Some((below, schema)) = rules.items.as_deref().zip(place.schema.items.as_deref()) else {
                    return Ok(());
                };
                let old = place.old.and_then(Json::as_array);
                for (index, item) in items.iter().enumerate() {
                    let former = old.and_then(|old| place.schema.former_item(old, item));
                    let path = place.path.index(index);
                    self.node(below, &place.below(value, schema, path, former), item)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn invalid(&mut self, place: &Place<'_>, detail: String) {
        self.errors.push(FieldError::invalid(&place.path, place.type_name(), detail));
    }

    fn rule(&mut self, rule: &Rule, place: &Place<'_>, value: &Json) -> Result<(), Stopped> {
        let program = match &rule.program {
            Ok(Some(program)) => program,
            Ok(None) => return Ok(()),
            Err(error) => {
                self.invalid(place, format!("rule compile error: {error}"));
                return Ok(());
            }
        };
        let is_optional = rule.text.optional_old_self == Some(true);
        if rule.uses_old_self && place.old.is_none() && !is_optional {
            return Ok(());
        }
        let name = rule.text.name();
        let variables = match variables(place, value, is_optional) {
            Ok(variables) => variables,
            Err(EvalError::Failed(error)) => {
                self.invalid(place, format!("{error} evaluating rule: {name}"));
                return Ok(());
            }
            Err(_) => return Err(self.exhausted(place)),
        };
        match program.run(&variables, &mut self.cost) {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(_) => self.refuse(rule, place, value, &variables),
            Err(EvalError::Failed(error)) if error.starts_with("no such overload") => {
                self.invalid(place, format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {name}"
                ));
                Ok(())
            }
            Err(EvalError::Failed(error)) => {
                self.invalid(place, format!("{error} evaluating rule: {name}"));
                Ok(())
            }
            Err(EvalError::RuleCost) => {
                self.invalid(place, format!(
                    "'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: {name}"
                ));
                Err(Stopped)
            }
            Err(EvalError::ObjectCost) => Err(self.exhausted(place)),
        }
    }

    fn exhausted(&mut self, place: &Place<'_>) -> Stopped {
        let detail =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        self.invalid(place, detail.to_owned());
        Stopped
    }

    /// Tells that a rule does not hold.
    fn refuse(
        &mut self,
        rule: &Rule,
        place: &Place<'_>,
        value: &Json,
        variables: &[(&str, Value<'_>)],
    ) -> Result<(), Stopped> {
        // What depends on the former state is a change by itself.
        if !rule.uses_old_self && place.unchanged(value) {
            return Ok(());
        }
        let path =
            if rule.field_path.is_empty() { place.path.clone() } else { place.path.child(&rule.field_path) };
        let made = match &rule.message {
            Ok(Some(program)) => program.run(variables, &mut self.cost),
            _ => Ok(Value::Null),
        };
        let detail = match made {
            Ok(Value::Text(text)) => usable_message(&text),
            Err(EvalError::RuleCost) => {
                let expression = &rule.text.message_expression;
                let detail = format!(
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression: {expression:?}"
                );
                self.errors.push(FieldError::invalid(&path, place.type_name(), detail));
                return Err(Stopped);
            }
            Err(EvalError::ObjectCost) => {
                let detail = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run";
                self.errors.push(FieldError::invalid(&path, place.type_name(), detail));
                return Err(Stopped);
            }
            Ok(_) | Err(EvalError::Failed(_)) => None,
        };
        let detail = detail.unwrap_or_else(|| {
            if rule.text.message.is_empty() {
                format!("failed rule: {}", rule.text.name())
            } else {
                rule.text.message.trim().to_owned()
            }
        });
        let kind = match rule.text.reason.as_deref() {
            Some("FieldValueForbidden") => ErrorKind::Forbidden,
            Some("FieldValueRequired") => ErrorKind::Required,
            Some("FieldValueDuplicate") => ErrorKind::Duplicate,
            _ => ErrorKind::Invalid,
        };
        let mut error = FieldError::invalid(&path, place.type_name(), detail);
        error.kind = kind;
        if kind == ErrorKind::Duplicate {
            error.detail.clear();
        }
        self.errors.push(error);
        Ok(())
    }
}

fn variables<'a>(
    place: &Place<'a>,
    value: &'a Json,
    is_optional: bool,
) -> Result<Vec<(&'static str, Value<'a>)>, EvalError> {
    let mut variables = vec![("self", Value::of(value, place.schema, place.is_resource)?)];
    let old = place.old.filter(|old| !old.is_null());
    let old = old.map(|old| Value::of(old, place.schema, place.is_resource)).transpose()?;
    if is_optional {
        variables.push(("oldSelf", old.map_or(Value::Optional(None), Value::some)));
    } else if let Some(old) = old {
        variables.push(("oldSelf", old));
    }
    Ok(variables)
}

/// A made message, unless it is empty, too long or has several lines.
fn usable_message(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n')).then(|| text.to_owned())
}

/// Reads the path of a field below a node (`.spec.ports`, `.labels['a.b']`).
///
/// # Errors
/// Why it is no such path.
pub(crate) fn field_path(text: &str, node: &Schema) -> Result<String, String> {
    let mut schema = node;
    let mut path = Path::root();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            (after[..end].to_owned(), &after[end..])
        } else if let Some(after) = rest.strip_prefix('[') {
            let (name, after) = single_quoted(after)?;
            let after = after.strip_prefix(']').ok_or_else(|| {
                after
                    .chars()
                    .next()
                    .map_or("unexpected end of JSON path".to_owned(), |c| format!("expected ] but got {c}"))
            })?;
            (name, after)
        } else {
            return Err(format!("expected [ or . but got: {rest}"));
        };
        if name.is_empty() {
            return Err("unexpected end of JSON path".to_owned());
        }
        let unknown = || "does not refer to a valid field".to_owned();
        (schema, path) = if schema.properties.is_empty() {
            (schema.each().ok_or_else(unknown)?, path.key(&name))
        } else {
            (schema.properties.get(&name).ok_or_else(unknown)?, path.child(&name))
        };
        rest = after;
    }
    Ok(if text.is_empty() { String::new() } else { path.to_string() })
}

fn single_quoted(text: &str) -> Result<(String, &str), String> {
    let Some(inner) = text.strip_prefix('\'') else {
        return Err(format!("expected single quoted string but got {text}"));
    };
    let mut name = String::new();
    let mut chars = inner.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '\'' => return Ok((name, &inner[index + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('\'' | '\\'))) => name.push(escaped),
                Some((_, 'n')) => name.push('\n'),
                Some((_, 't')) => name.push('\t'),
                Some((_, other)) => {
                    return Err(format!("invalid string literal: invalid escape char \\{other}"));
                }
                None => break,
            },
            c => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}
