//! Schemas of custom resources: they must be structural, so that every field is known by one type.
//!
//! Defaults and rules in CEL are checked by [`crate::structural::definition`], once the rest is right.

use seaway_schema::patterns;
use serde_json::{Value, json};

use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, is_true, items, text};
use crate::structural::definition;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Where in a schema a part of it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Field,
    Item,
}

/// Checks the schema of a version.
pub(super) fn validate_root(errors: &mut Vec<FieldError>, schema: &Value, has_status: bool, path: &Path) {
    if has_status && text(schema, "type") != "object" && !text(schema, "type").is_empty() {
        errors.push(FieldError::invalid(
            &path.child("type"),
            text(schema, "type"),
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled",
        ));
    }
    if is_true(schema, "nullable") {
        errors.push(FieldError::forbidden(&path.child("nullable"), "nullable cannot be true at the root"));
    }
    let before = errors.len();
    validate_keywords(errors, schema, path, &Place { is_root: true, ..Place::default() });
    let mut structural = Vec::new();
    validate_part(&mut structural, schema, Level::Root, path);
    validate_completeness(&mut structural, schema, path);
    structural.sort_by_key(ToString::to_string);
    if structural.is_empty() {
        definition::check_defaults(&mut structural, schema, path);
    }
    errors.extend(structural);
    // Rules about a schema that is wrong would only confuse.
    if errors.len() == before {
        definition::check_rules(errors, schema, path);
    }
}

/// What the place of a part allows.
#[derive(Clone, Default)]
struct Place {
    is_root: bool,
    /// Inside of `metadata` and the like, of the object or an embedded one.
    inside_meta: bool,
    /// Why there can be no default.
    no_default: Option<String>,
}

/// The parts below a schema with their paths.
fn children<'a>(schema: &'a Value, path: &Path, place: &Place) -> Vec<(&'a Value, Path, Place)> {
    let mut children = Vec::new();
    let here = Place { is_root: false, ..place.clone() };
    if let Some(extra) = at(schema, "additionalProperties").filter(|extra| extra.is_object()) {
        let mut below = here.clone();
        if here.inside_meta {
            below.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
        }
        children.push((extra, path.child("additionalProperties"), below));
    }
    let embedded = schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    for (name, property) in crate::fields::entries(schema, "properties") {
        let mut below = here.clone();
        if (place.is_root || embedded) && matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
            below.inside_meta = true;
            if place.is_root {
                below.no_default = Some(format!("in top-level {name}"));
            }
        }
        children.push((property, path.child("properties").key(name), below));
    }
    if let Some(not) = at(schema, "not") {
        children.push((not, path.child("not"), here.clone()));
    }
    for list in ["allOf", "oneOf", "anyOf"] {
        for (index, one) in items(schema, list).iter().enumerate() {
            children.push((one, path.child(list).index(index), here.clone()));
        }
    }
    if let Some(item) = at(schema, "items").filter(|item| item.is_object()) {
        children.push((item, path.child("items"), here));
    }
    children
}

/// Keywords that Kubernetes does not have, and what its own must look like.
fn validate_keywords(errors: &mut Vec<FieldError>, schema: &Value, path: &Path, place: &Place) {
    let kind = text(schema, "type");
    if let (Some(reason), Some(_)) = (&place.no_default, schema.get("default")) {
        errors.push(FieldError::forbidden(&path.child("default"), format!("must not be set {reason}")));
    }
    if place.inside_meta && schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(
            &path.child("x-kubernetes-embedded-resource"),
            "must not be used inside of resource meta",
        ));
    }
    let mut forbid = |field: &str, detail: &str| {
        errors.push(FieldError::forbidden(&path.child(field), detail));
    };
    for field in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        if at(schema, field).is_some() {
            forbid(field, &format!("{field} is not supported"));
        }
    }
    if is_true(schema, "uniqueItems") {
        forbid(
            "uniqueItems",
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    if kind == "null" {
        forbid("type", "type cannot be set to null, use nullable as an alternative");
    }
    if at(schema, "items").is_some_and(Value::is_array) {
        forbid("items", "items must be a schema object and not an array");
    }
    // Typed clients could not read the definition otherwise.
    if at(schema, "additionalProperties").is_some_and(|extra| !extra.is_object() && !extra.is_boolean()) {
        forbid("additionalProperties", "boolean or JSON schema expected");
    }
    if at(schema, "items").is_some_and(|items| !items.is_object() && !items.is_array()) {
        forbid("items", "a JSON schema is expected");
    }
    let open = at(schema, "additionalProperties").is_some_and(|extra| extra != &Value::Bool(true));
    if open && count(schema, "properties") > 0 {
        forbid("additionalProperties", "additionalProperties and properties are mutual exclusive");
    }
    if !kind.is_empty() && kind != "null" && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
    }
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if schema.get(preserve) == Some(&Value::Bool(false)) {
        errors.push(FieldError::invalid(&path.child(preserve), false, "must be true or undefined"));
    }
    validate_map_type(errors, schema, path);
    validate_list_type(errors, schema, path);
    definition::check_rule_texts(errors, schema, path);
    for (child, path, place) in children(schema, path, place) {
        validate_keywords(errors, child, &path, &place);
    }
}

fn expect_type(errors: &mut Vec<FieldError>, schema: &Value, expected: &str, keyword: &str, path: &Path) {
    let kind = text(schema, "type");
    let detail = format!("must be {expected} if {keyword} is specified");
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), detail));
    } else if kind != expected {
        errors.push(FieldError::invalid(&path.child("type"), kind, detail));
    }
}

fn validate_map_type(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    const KEYWORD: &str = "x-kubernetes-map-type";
    let Some(kind) = schema.get(KEYWORD).and_then(Value::as_str) else {
        return;
    };
    expect_type(errors, schema, "object", KEYWORD, path);
    if !matches!(kind, "atomic" | "granular") {
        errors.push(FieldError::not_supported(&path.child(KEYWORD), kind, &["atomic", "granular"]));
    }
}

fn validate_list_type(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    const KEYWORD: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    let kind = schema.get(KEYWORD).and_then(Value::as_str);
    let keys: &[Value] = schema.get(KEYS).and_then(Value::as_array).map_or(&[], Vec::as_slice);
    if let Some(kind) = kind {
        expect_type(errors, schema, "array", KEYWORD, path);
        if !matches!(kind, "atomic" | "set" | "map") {
            errors.push(FieldError::not_supported(&path.child(KEYWORD), kind, &["atomic", "set", "map"]));
        }
    }
    if kind == Some("set")
        && let Some(item) = at(schema, "items").filter(|item| item.is_object())
    {
        validate_set_item(errors, item, &path.child("items"));
    }
    if !keys.is_empty() && kind != Some("map") {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match kind {
            None => FieldError::required(&path.child(KEYWORD), detail),
            Some(kind) => FieldError::invalid(&path.child(KEYWORD), kind, detail),
        });
    }
    if matches!(kind, Some("map" | "set")) && is_true(schema, "items.nullable") {
        errors.push(FieldError::forbidden(
            &path.child("items.nullable"),
            format!("cannot be nullable when x-kubernetes-list-type is {}", kind.unwrap_or_default()),
        ));
    }
    if kind != Some("map") {
        return;
    }
    if keys.is_empty() {
        errors.push(FieldError::required(
            &path.child(KEYS),
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    let items_path = path.child("items");
    let Some(item) = at(schema, "items") else {
        errors.push(FieldError::required(&items_path, "must have a schema if x-kubernetes-list-type is map"));
        return;
    };
    if text(item, "type") != "object" {
        errors.push(FieldError::invalid(
            &items_path.child("type"),
            text(item, "type"),
            "must be object if parent array's x-kubernetes-list-type is map",
        ));
    }
    let required = items(item, "required");
    let mut seen: Vec<&Value> = Vec::new();
    for key in keys {
        if seen.contains(&key) {
            errors.push(FieldError::invalid(
                &path.child(KEYS),
                keys.to_vec(),
                "must not contain duplicate entries",
            ));
        }
        seen.push(key);
        let name = key.as_str().unwrap_or_default();
        let Some(property) = at(item, "properties").and_then(|all| all.get(name)) else {
            errors.push(FieldError::invalid(
                &path.child(KEYS),
                keys.to_vec(),
                "entries must all be names of item properties",
            ));
            continue;
        };
        let property_path = items_path.child("properties").key(name);
        if matches!(text(property, "type"), "array" | "object") {
            errors.push(FieldError::invalid(
                &property_path.child("type"),
                text(item, "type"),
                "must be a scalar type if parent array's x-kubernetes-list-type is map",
            ));
        }
        if !required.contains(key) && at(property, "default").is_none() {
            errors.push(FieldError::required(
                &property_path.child("default"),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ));
        }
        if is_true(property, "nullable") {
            errors.push(FieldError::forbidden(
                &property_path.child("nullable"),
                "this property is in x-kubernetes-list-map-keys, so it cannot be nullable",
            ));
        }
    }
}

/// The items of a set are compared as a whole.
fn validate_set_item(errors: &mut Vec<FieldError>, item: &Value, path: &Path) {
    let keyword = match text(item, "type") {
        "array" => "x-kubernetes-list-type",
        "object" => "x-kubernetes-map-type",
        _ => return,
    };
    let given = item.get(keyword).and_then(Value::as_str);
    // Lists are atomic unless they say otherwise, maps are not.
    if given != Some("atomic") && !(given.is_none() && keyword == "x-kubernetes-list-type") {
        errors.push(FieldError::invalid(
            &path.child(keyword),
            given.map_or(Value::Null, Value::from),
            "must be atomic as item of a list with x-kubernetes-list-type=set",
        ));
    }
}

/// Whether `anyOf` is just "an integer or a text".
fn is_int_or_string(any_of: &[Value]) -> bool {
    any_of == [json!({"type": "integer"}), json!({"type": "string"})]
}

/// The structural part of a schema: every field has its type outside of `allOf` and the like.
fn validate_part(errors: &mut Vec<FieldError>, schema: &Value, level: Level, path: &Path) {
    let kind = text(schema, "type");
    if kind == "array" && at(schema, "items").is_none() {
        errors.push(FieldError::required(&path.child("items"), "must be specified"));
    }
    if let Some(item) = at(schema, "items").filter(|item| item.is_object()) {
        validate_part(errors, item, Level::Item, &path.child("items"));
    }
    for (name, property) in crate::fields::entries(schema, "properties") {
        let path = path.child("properties").key(name);
        validate_part(errors, property, Level::Field, &path);
    }
    if let Some(extra) = at(schema, "additionalProperties") {
        let path = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&path, "must not be used at the root"));
        }
        if extra.is_object() {
            validate_part(errors, extra, Level::Field, &path);
        }
    }
    let flag = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
    let int_or_string = flag("x-kubernetes-int-or-string");
    let preserve = flag("x-kubernetes-preserve-unknown-fields");
    let embedded = flag("x-kubernetes-embedded-resource");
    if int_or_string {
        for (set, keyword) in
            [(preserve, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")]
        {
            if set {
                errors.push(FieldError::invalid(
                    &path.child(keyword),
                    true,
                    "must be false if x-kubernetes-int-or-string is true",
                ));
            }
        }
    }
    validate_values(errors, schema, path);
    validate_type(errors, schema, level, path, embedded, int_or_string || preserve);
    validate_meta(errors, schema, level, path, embedded);
    if embedded && !preserve && count(schema, "properties") == 0 {
        errors.push(FieldError::required(
            &path.child("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ));
    }
}

fn validate_type(
    errors: &mut Vec<FieldError>,
    schema: &Value,
    level: Level,
    path: &Path,
    embedded: bool,
    untyped: bool,
) {
    let kind = text(schema, "type");
    let type_path = path.child("type");
    if embedded && kind != "object" {
        let detail = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(&type_path, detail)
        } else {
            FieldError::invalid(&type_path, kind, detail)
        });
    } else if kind.is_empty() && !untyped {
        let place = match level {
            Level::Root => "at the root",
            Level::Item => "for specified array items",
            Level::Field => "for specified object fields",
        };
        errors.push(FieldError::required(&type_path, format!("must not be empty {place}")));
    }
    if embedded && at(schema, "additionalProperties").is_some() {
        errors.push(FieldError::forbidden(
            &path.child("additionalProperties"),
            "must not be used if x-kubernetes-embedded-resource is set",
        ));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&type_path, kind, "must be object at the root"));
    }
}

/// `apiVersion`, `kind` and `metadata` are the server's: a schema can hardly say anything of them.
fn validate_meta(errors: &mut Vec<FieldError>, schema: &Value, level: Level, path: &Path, embedded: bool) {
    if level != Level::Root && !embedded {
        return;
    }
    let properties = path.child("properties");
    for (name, expected) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let Some(property) = at(schema, "properties").and_then(|all| all.get(name)) else {
            continue;
        };
        let kind = text(property, "type");
        if kind != expected {
            errors.push(FieldError::invalid(
                &properties.key(name).child("type"),
                kind,
                format!("must be {expected}"),
            ));
        }
        if name == "metadata" && level == Level::Root {
            let only_names = crate::fields::entries(property, "properties")
                .all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
            let structural_only = property.as_object().is_none_or(|fields| {
                fields
                    .keys()
                    .all(|key| matches!(key.as_str(), "type" | "properties" | "description" | "default"))
            });
            if !only_names || !structural_only {
                errors.push(FieldError::forbidden(
                    &properties.key(name),
                    "must not specify anything other than name and generateName, but metadata is implicitly specified",
                ));
            }
        }
    }
}

/// Patterns, and what stands in `allOf`, `anyOf`, `oneOf` and `not`.
fn validate_values(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    for list in ["anyOf", "allOf", "oneOf"] {
        let all = items(schema, list);
        if list == "anyOf" && is_int_or_string(all) {
            continue;
        }
        for (index, nested) in all.iter().enumerate() {
            let skip = list == "allOf" && index == 0 && is_int_or_string(items(nested, "anyOf"));
            validate_nested(errors, nested, &path.child(list).index(index), skip);
            if list != "allOf" {
                forbid_rules(errors, nested, &path.child(list).index(index));
            }
        }
    }
    if let Some(not) = at(schema, "not") {
        validate_nested(errors, not, &path.child("not"), false);
        forbid_rules(errors, not, &path.child("not"));
    }
    let pattern = text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(error) = patterns::compile(pattern)
    {
        errors.push(FieldError::invalid(
            &path.child("pattern"),
            pattern,
            format!("must be a valid regular expression, but isn't: {error}"),
        ));
    }
}

/// Of the junctors, only `allOf` may have rules.
fn forbid_rules(errors: &mut Vec<FieldError>, nested: &Value, path: &Path) {
    const KEYWORD: &str = "x-kubernetes-validations";
    if count(nested, KEYWORD) > 0 {
        errors.push(FieldError::forbidden(&path.child(KEYWORD), "must be empty to be structural"));
    }
    for (name, property) in crate::fields::entries(nested, "properties") {
        forbid_rules(errors, property, &path.child("properties").key(name));
    }
    if let Some(item) = at(nested, "items").filter(|item| item.is_object()) {
        forbid_rules(errors, item, &path.child("items"));
    }
}

/// A part inside a junctor says nothing of types and of what the server does with fields.
fn validate_nested(errors: &mut Vec<FieldError>, nested: &Value, path: &Path, skip_any_of: bool) {
    if skip_any_of {
        let mut rest = nested.clone();
        crate::fields::remove(&mut rest, "anyOf");
        validate_values(errors, &rest, path);
    } else {
        validate_values(errors, nested, path);
    }
    if let Some(item) = at(nested, "items").filter(|item| item.is_object()) {
        validate_nested(errors, item, &path.child("items"), false);
    }
    for (name, property) in crate::fields::entries(nested, "properties") {
        validate_nested(errors, property, &path.child("properties").key(name), false);
    }
    for (keyword, state) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
    ] {
        let given = match nested.get(keyword) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(flag)) => *flag || state == "undefined",
            Some(Value::String(text)) => !text.is_empty() || state == "undefined",
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        };
        if given {
            errors.push(FieldError::forbidden(
                &path.child(keyword),
                format!("must be {state} to be structural"),
            ));
        }
    }
    if at(nested, "properties").is_some_and(|all| all.get("metadata").is_some()) {
        errors.push(FieldError::forbidden(
            &path.child("properties").key("metadata"),
            "must not be specified in a nested context",
        ));
    }
}

/// Every field named inside a junctor is a field outside of it too.
fn validate_completeness(errors: &mut Vec<FieldError>, schema: &Value, path: &Path) {
    for list in ["anyOf", "allOf", "oneOf"] {
        for (index, nested) in items(schema, list).iter().enumerate() {
            require_outside(errors, nested, schema, path, &path.child(list).index(index));
        }
    }
    if let Some(not) = at(schema, "not") {
        require_outside(errors, not, schema, path, &path.child("not"));
    }
    if let Some(item) = at(schema, "items").filter(|item| item.is_object()) {
        validate_completeness(errors, item, &path.child("items"));
    }
    for (name, property) in crate::fields::entries(schema, "properties") {
        validate_completeness(errors, property, &path.child("properties").key(name));
    }
    if let Some(extra) = at(schema, "additionalProperties").filter(|extra| extra.is_object()) {
        validate_completeness(errors, extra, &path.child("additionalProperties"));
    }
}

fn require_outside(
    errors: &mut Vec<FieldError>,
    nested: &Value,
    schema: &Value,
    path: &Path,
    nested_path: &Path,
) {
    let mut check = |inner: &Value, outer: Option<&Value>, path: Path, nested_path: Path| match outer {
        Some(outer) => require_outside(errors, inner, outer, &path, &nested_path),
        None => errors.push(FieldError::required(&path, format!("because it is defined in {nested_path}"))),
    };
    for (name, property) in crate::fields::entries(nested, "properties") {
        let outer = at(schema, "properties").and_then(|all| all.get(name));
        check(property, outer, path.child("properties").key(name), nested_path.child("properties").key(name));
    }
    if let Some(item) = at(nested, "items").filter(|item| item.is_object()) {
        let outer = at(schema, "items").filter(|item| item.is_object());
        check(item, outer, path.child("items"), nested_path.child("items"));
    }
    for list in ["anyOf", "allOf", "oneOf"] {
        for (index, inner) in items(nested, list).iter().enumerate() {
            let nested_path = nested_path.child(list).index(index);
            require_outside(errors, inner, schema, path, &nested_path);
        }
    }
    if let Some(not) = at(nested, "not") {
        require_outside(errors, not, schema, path, &nested_path.child("not"));
    }
}
