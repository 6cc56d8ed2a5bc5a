//! Validation of custom resources against their structural schema (OpenAPI v3 as Kubernetes restricts it).

use serde_json::Value;

use crate::status::Cause;

/// What a custom object does wrong.
pub(crate) fn validate(schema: &Value, _before: Option<&Value>, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            if matches!(name.as_str(), "metadata" | "apiVersion" | "kind") {
                continue;
            }
            if let Some(value) = object.get(name) {
                check(property, value, name, &mut causes);
            }
        }
    }
    required(schema, object, "", &mut causes);
    causes
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn required(schema: &Value, object: &Value, path: &str, causes: &mut Vec<Cause>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if object.get(name).is_none() {
            causes.push(Cause {
                reason: "FieldValueRequired",
                message: "Required value".into(),
                field: join(path, name),
            });
        }
    }
}

fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let shown = match value {
        Value::String(s) => format!("{s:?}"),
        other => other.to_string(),
    };
    let mut refuse = |reason: &'static str, message: String| {
        causes.push(Cause { reason, message, field: path.to_owned() });
    };
    if let Some(options) = schema["enum"].as_array()
        && !options.contains(value)
    {
        let supported: Vec<String> = options.iter().map(Value::to_string).collect();
        refuse(
            "FieldValueNotSupported",
            format!("Unsupported value: {shown}: supported values: {}", supported.join(", ")),
        );
    }
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if let Some(most) = schema["maxLength"].as_u64().filter(|m| length > *m) {
                refuse("FieldValueTooLong", format!("Too long: may not be more than {most} bytes"));
            }
            if let Some(least) = schema["minLength"].as_u64().filter(|m| length < *m) {
                refuse(
                    "FieldValueInvalid",
                    format!("Invalid value: {shown}: {path} in body should be at least {least} chars long"),
                );
            }
            if let Some(pattern) = schema["pattern"].as_str()
                && regex::RegexBuilder::new(pattern)
                    .size_limit(1 << 20)
                    .build()
                    .is_ok_and(|r| !r.is_match(text))
            {
                refuse(
                    "FieldValueInvalid",
                    format!("Invalid value: {shown}: {path} in body should match '{pattern}'"),
                );
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            if let Some(least) = schema["minimum"].as_f64().filter(|m| number < *m) {
                refuse(
                    "FieldValueInvalid",
                    format!(
                        "Invalid value: {shown}: {path} in body should be greater than or equal to {least}"
                    ),
                );
            }
            if let Some(most) = schema["maximum"].as_f64().filter(|m| number > *m) {
                refuse(
                    "FieldValueInvalid",
                    format!("Invalid value: {shown}: {path} in body should be less than or equal to {most}"),
                );
            }
        }
        Value::Array(items) => {
            if let Some(least) = schema["minItems"].as_u64().filter(|m| (items.len() as u64) < *m) {
                refuse(
                    "FieldValueInvalid",
                    format!(
                        "Invalid value: {}: {path} in body should have at least {least} items",
                        items.len()
                    ),
                );
            }
            if let Some(most) = schema["maxItems"].as_u64().filter(|m| (items.len() as u64) > *m) {
                refuse(
                    "FieldValueTooMany",
                    format!("Too many: {}: must have at most {most} items", items.len()),
                );
            }
            for (i, item) in items.iter().enumerate() {
                check(&schema["items"], item, &format!("{path}[{i}]"), causes);
            }
        }
        Value::Object(fields) => {
            required(schema, value, path, causes);
            for (name, field) in fields {
                let property = &schema["properties"][name];
                if property.is_object() {
                    check(property, field, &join(path, name), causes);
                } else if schema["additionalProperties"].is_object() {
                    check(&schema["additionalProperties"], field, &join(path, name), causes);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
