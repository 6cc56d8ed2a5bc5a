//! What a definition's schema is refused for, beyond its shape: texts of rules, rules that do not compile, defaults
//! that do not validate.

use seaway_schema::cel::Type;
use seaway_schema::schema::{Additional, ListType, RuleText, Schema};
use serde_json::{Value, json};

use super::rules::{Rule, Rules, field_path};
use super::{lists, metadata, values};
use crate::field_error::{ErrorKind, FieldError, Path};

const RULES: &str = "x-kubernetes-validations";

/// Checks the texts of the rules of one node.
pub(crate) fn check_rule_texts(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    if !schema.get(RULES).is_some_and(Value::is_array) {
        return;
    }
    let node = Schema::read(schema);
    let has_lines = |text: &str| text.contains(['\n', '\r']);
    for (index, text) in node.rules.iter().enumerate() {
        let path = path.child(RULES).index(index);
        let (rule, message) = (text.rule.trim(), text.message.trim());
        let mut invalid = |field: &str, value: &str, detail: &str| {
            errors.push(FieldError::invalid(&path.child(field), value, detail));
        };
        if !text.message.is_empty() && message.is_empty() && !rule.is_empty() {
            invalid("message", &text.message, "message must be non-empty if specified");
        } else if has_lines(message) && !rule.is_empty() {
            invalid("message", &text.message, "message must not contain line breaks");
        }
        if !text.field_path.is_empty() {
            if text.field_path.trim().is_empty() {
                invalid("fieldPath", &text.field_path, "fieldPath must be non-empty if specified");
            }
            if has_lines(&text.field_path) {
                invalid("fieldPath", &text.field_path, "fieldPath must not contain line breaks");
            }
            if field_path(&text.field_path, &node).is_err() {
                invalid("fieldPath", &text.field_path, "fieldPath must be a valid path");
            }
        }
        if rule.is_empty() {
            errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
        } else if has_lines(rule) && message.is_empty() {
            let detail = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&path.child("message"), detail));
        }
        if !text.message_expression.is_empty() && text.message_expression.trim().is_empty() {
            let detail = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&path.child("messageExpression"), detail));
        }
        const REASONS: [&str; 4] =
            ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
        if let Some(reason) = text.reason.as_deref().filter(|reason| !REASONS.contains(reason)) {
            errors.push(FieldError::not_supported(&path.child("reason"), reason, &REASONS));
        }
    }
}

/// Checks the defaults of a structural schema.
pub(crate) fn check_defaults(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    check_default(errors, schema, path, true, false);
}

fn check_default(
    errors: &mut Vec<FieldError>,
    json: &Value,
    path: &Path,
    is_resource: bool,
    inside_meta: bool,
) {
    let embedded = json.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    let is_resource = is_resource || embedded;
    let inside_meta = inside_meta && !embedded;
    if let Some(default) = json.get("default") {
        let schema = Schema::read(json);
        let path = path.child("default");
        if !inside_meta && has_unknown(&schema, default) {
            errors.push(FieldError::invalid(&path, default.clone(), "must not have unknown fields"));
        }
        check_default_value(errors, &schema, default, &path);
    }
    if let Some(items) = json.get("items").filter(|items| items.is_object()) {
        check_default(errors, items, &path.child("items"), false, inside_meta);
    }
    for (name, property) in crate::fields::entries(json, "properties") {
        let is_meta = is_resource && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        check_default(errors, property, &path.child("properties").key(name), false, inside_meta || is_meta);
    }
}

fn check_default_value(errors: &mut Vec<FieldError>, schema: &Schema, default: &Value, path: &Path) {
    let mut found = metadata::validate(schema, path, default);
    if found.is_empty() {
        found.extend(values::validate(schema, "", None, default).into_iter().map(|error| below(path, error)));
    }
    if found.is_empty() {
        found.extend(lists::validate(schema, path, default));
    }
    if found.is_empty()
        && let Some(rules) = Rules::compile_part(schema)
    {
        found.extend(rules.validate(schema, path, None, default));
    }
    errors.extend(found);
}

/// The error of a value as one of the place where the value stands.
fn below(path: &Path, mut error: FieldError) -> FieldError {
    error.field = match error.field.as_str() {
        "<nil>" => path.to_string(),
        field => path.child(field).to_string(),
    };
    error
}

/// Whether a value has fields that its schema does not know.
fn has_unknown(schema: &Schema, value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, field)| {
            let of_every_object =
                schema.embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
            match (schema.properties.get(name), &schema.additional) {
                (Some(property), _) => has_unknown(property, field),
                (None, Some(Additional::Each(each))) => has_unknown(each, field),
                (None, Some(Additional::Any)) => false,
                (None, Some(Additional::Nothing) | None) => !schema.preserve_unknown && !of_every_object,
            }
        }),
        Value::Array(items) => {
            schema.items.as_ref().is_some_and(|each| items.iter().any(|item| has_unknown(each, item)))
        }
        _ => false,
    }
}

/// Compiles every rule of a schema that has no other errors.
pub(crate) fn check_rules(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    let schema = Schema::read(schema);
    if schema.has_rules() {
        check_node(errors, &schema, &schema, path, true, None);
    }
}

/// `uncorrelated` is the path of the list or map whose parts have no former state.
fn check_node(
    errors: &mut Vec<FieldError>,
    said: &Schema,
    node: &Schema,
    path: &Path,
    is_resource: bool,
    uncorrelated: Option<&Path>,
) {
    if !said.rules.is_empty() {
        let path = path.child(RULES);
        match Type::of_schema(node, is_resource) {
            Some(self_type) => {
                for (index, text) in said.rules.iter().enumerate() {
                    let rule = Rule::compile(text, node, &self_type);
                    check_rule(errors, text, &rule, &path.index(index), uncorrelated);
                }
            }
            None => errors.push(FieldError {
                kind: ErrorKind::InternalError,
                field: path.to_string(),
                bad_value: Value::Null,
                detail: "internal error: failed to retrieve type information for x-kubernetes-validations"
                    .to_owned(),
            }),
        }
    }
    for (index, one) in said.all_of.iter().enumerate().filter(|(_, one)| one.has_rules()) {
        check_node(errors, one, node, &path.child("allOf").index(index), is_resource, uncorrelated);
    }
    for (name, said) in said.properties.iter().filter(|(_, said)| said.has_rules()) {
        if let Some(node) = node.properties.get(name) {
            let path = path.child("properties").key(name);
            check_node(errors, said, node, &path, node.embedded, uncorrelated);
        }
    }
    if let (Some(said), Some(node)) = (said.each().filter(|said| said.has_rules()), node.each()) {
        check_node(errors, said, node, &path.child("additionalProperties"), node.embedded, uncorrelated);
    }
    if let (Some(said), Some(items)) = (said.items.as_ref().filter(|said| said.has_rules()), &node.items) {
        let correlated = node.list_type == Some(ListType::Map);
        let uncorrelated = uncorrelated.or((!correlated).then_some(path));
        check_node(errors, said, items, &path.child("items"), items.embedded, uncorrelated);
    }
}

fn check_rule(
    errors: &mut Vec<FieldError>,
    text: &RuleText,
    rule: &Rule,
    path: &Path,
    uncorrelated: Option<&Path>,
) {
    let shown = || {
        json!({
            "Rule": text.rule,
            "Message": text.message,
            "MessageExpression": text.message_expression,
            "Reason": text.reason,
            "FieldPath": text.field_path,
            "OptionalOldSelf": text.optional_old_self,
        })
    };
    if let Some(error) = rule.rule_error() {
        errors.push(FieldError::invalid(&path.child("rule"), shown(), error));
    }
    if let Some(error) = rule.message_error() {
        errors.push(FieldError::invalid(&path.child("messageExpression"), shown(), error));
    }
    if rule.uses_old_self() {
        if let Some(uncorrelated) = uncorrelated {
            let detail = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            );
            errors.push(FieldError::invalid(&path.child("rule"), text.rule.as_str(), detail));
        }
    } else if rule.rule_error().is_none()
        && let Some(optional) = text.optional_old_self
    {
        let detail = "may not be set if oldSelf is not used in rule";
        errors.push(FieldError::invalid(&path.child("optionalOldSelf"), optional, detail));
    }
}
