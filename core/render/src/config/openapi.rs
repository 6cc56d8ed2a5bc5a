//! The shape of OpenAPI definitions: what kustomize cannot read it refuses, wherever in a definition it is.

use serde_json::Value;

use crate::error::Problem;

/// A field of a definition, whose name Go matches without regard to case.
pub(super) fn field<'a>(definition: &'a Value, name: &str) -> Option<&'a Value> {
    let object = definition.as_object()?;
    let found = object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value));
    found.filter(|value| !value.is_null())
}

/// Check one definition: a schema, and the names of others.
pub(super) fn check(name: &str, definition: &Value) -> Result<(), Problem> {
    let wrong = |what: &str| {
        Problem(format!(
            "{name} is no OpenAPI definition with a Schema: {what}; see the kustomize field `crds`"
        ))
    };
    if !(definition.is_object() || definition.is_null()) {
        return Err(wrong("it is not a map"));
    }
    if field(definition, "Dependencies").is_some_and(|it| !is_texts(it)) {
        return Err(wrong("Dependencies is a list of names"));
    }
    match field(definition, "Schema") {
        Some(schema) => check_schema(schema, &mut "Schema".to_owned()).map_err(|what| wrong(&what)),
        None => Ok(()),
    }
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| item.is_string() || item.is_null()))
}

/// What is wrong with a schema, and where.
fn check_schema(schema: &Value, path: &mut String) -> Result<(), String> {
    let Value::Object(object) = schema else { return Err(format!("{path} is not a map")) };
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let length = path.len();
        path.push('.');
        path.push_str(key);
        let fits = match key.as_str() {
            "id" | "description" | "title" | "format" | "pattern" | "discriminator" => value.is_string(),
            "type" => value.is_string() || is_texts(value),
            "required" => is_texts(value),
            "enum" => value.is_array(),
            "nullable" | "exclusiveMaximum" | "exclusiveMinimum" | "uniqueItems" | "readOnly" => {
                value.is_boolean()
            }
            "maximum" | "minimum" | "multipleOf" => value.is_number(),
            "maxLength" | "minLength" | "maxItems" | "minItems" | "maxProperties" | "minProperties" => {
                value.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            "properties" | "definitions" | "patternProperties" => match value {
                Value::Object(fields) => {
                    for (name, field) in fields.iter().filter(|(_, field)| !field.is_null()) {
                        let length = path.len();
                        path.push('.');
                        path.push_str(name);
                        check_schema(field, path)?;
                        path.truncate(length);
                    }
                    true
                }
                _ => false,
            },
            "allOf" | "anyOf" | "oneOf" => match value {
                Value::Array(schemas) => {
                    schemas.iter().try_for_each(|schema| check_schema(schema, path))?;
                    true
                }
                _ => false,
            },
            "not" => check_schema(value, path).map(|()| true)?,
            "additionalProperties" | "additionalItems" => match value {
                Value::Object(_) => check_schema(value, path).map(|()| true)?,
                other => other.is_boolean(),
            },
            _ => true,
        };
        if !fits {
            return Err(format!("{path} holds what does not belong there"));
        }
        path.truncate(length);
    }
    Ok(())
}
