//! Swagger 2.0 from OpenAPI v3 documents.

use serde_json::{Map, Value, json};

use super::{KUBERNETES_VERSION, REFERENCE};

/// One Swagger document of several OpenAPI v3 documents. Schemas of one name are the same in each.
pub(super) fn from_v3(documents: impl IntoIterator<Item = Value>) -> Value {
    let mut paths = Map::new();
    let mut definitions = Map::new();
    for mut document in documents {
        if let Some(Value::Object(of_document)) = document.get_mut("paths").map(Value::take) {
            paths.extend(of_document.into_iter().map(|(path, entry)| (path, path_item(entry))));
        }
        if let Some(Value::Object(schemas)) = document.pointer_mut("/components/schemas").map(Value::take) {
            for (name, mut schema) in schemas {
                // Wide definitions are shared by most group versions.
                if !definitions.contains_key(&name) {
                    convert_schema(&mut schema);
                    definitions.insert(name, schema);
                }
            }
        }
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "in": "header", "name": "authorization"}},
        "security": [{"BearerToken": []}],
    })
}

fn path_item(entry: Value) -> Value {
    let Value::Object(entry) = entry else { return entry };
    let converted = entry.into_iter().map(|(key, value)| {
        let value = if key == "parameters" { parameters(value, None) } else { operation(value) };
        (key, value)
    });
    Value::Object(converted.collect())
}

fn operation(mut operation: Value) -> Value {
    let Some(map) = operation.as_object_mut() else { return operation };
    let body = map.remove("requestBody");
    if let Some(content) = body.as_ref().and_then(|body| body["content"].as_object()) {
        map.insert("consumes".to_owned(), content.keys().cloned().collect());
    }
    let given = map.remove("parameters").unwrap_or_else(|| json!([]));
    map.insert("parameters".to_owned(), parameters(given, body.as_ref()));
    let mut produces = Vec::new();
    for response in
        map.get_mut("responses").and_then(Value::as_object_mut).into_iter().flat_map(|r| r.values_mut())
    {
        let content = response.as_object_mut().and_then(|response| response.remove("content"));
        if let Some((kind, media)) = content.as_ref().and_then(Value::as_object).and_then(|c| c.iter().next())
        {
            let mut schema = media["schema"].clone();
            convert_schema(&mut schema);
            response["schema"] = schema;
            if !produces.contains(kind) {
                produces.push(kind.clone());
            }
        }
    }
    map.insert("produces".to_owned(), produces.into());
    operation
}

/// Parameters carry their type themselves; the body is one of them.
fn parameters(given: Value, body: Option<&Value>) -> Value {
    let mut converted = Vec::new();
    if let Some(body) = body {
        let media = body["content"].as_object().and_then(|content| content.values().next());
        let mut schema = media.map_or(Value::Null, |media| media["schema"].clone());
        convert_schema(&mut schema);
        let mut parameter = json!({"name": "body", "in": "body", "schema": schema});
        if body["required"] == true {
            parameter["required"] = true.into();
        }
        converted.push(parameter);
    }
    let given = if let Value::Array(given) = given { given } else { Vec::new() };
    converted.extend(given.into_iter().map(|mut parameter| {
        if let Some(map) = parameter.as_object_mut()
            && let Some(Value::Object(schema)) = map.remove("schema")
        {
            map.extend(schema);
        }
        parameter
    }));
    converted.into()
}

/// What Swagger 2.0 cannot say is left out: it describes less, and never something else.
fn convert_schema(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    // A reference with something beside it stands in an allOf of its own, see the v3 schemas.
    let wrapped = match map.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => one.get("$ref").cloned(),
        _ => None,
    };
    if let Some(target) = wrapped {
        map.insert("$ref".to_owned(), target);
    }
    if let Some(Value::String(target)) = map.get_mut("$ref") {
        *target = target.replacen(REFERENCE, "#/definitions/", 1);
    }
    // IntOrString and Quantity are strings to Swagger clients.
    if map.contains_key("oneOf") && !map.contains_key("type") {
        map.insert("type".to_owned(), "string".into());
    }
    let any_type = map.get("nullable") == Some(&Value::Bool(true))
        || map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    let open = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    for key in ["allOf", "anyOf", "oneOf", "not", "nullable", "x-kubernetes-validations"] {
        map.remove(key);
    }
    if any_type {
        for key in ["type", "items", "properties", "additionalProperties"] {
            map.remove(key);
        }
    }
    if open && !map.contains_key("x-kubernetes-group-version-kind") {
        map.remove("properties");
    }
    for key in ["items", "additionalProperties"] {
        if let Some(schema) = map.get_mut(key) {
            convert_schema(schema);
        }
    }
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        properties.values_mut().for_each(convert_schema);
    }
}
