//! From a request body to an object of its kind: JSON, YAML or protobuf, its unknown fields, its types.

use seaway_kinds::quantity::{Quantity, QuantityError};
use seaway_merge::check;
use seaway_merge::schema::{Shape, TypeRef};
use serde_json::{Map, Value};

use crate::api::{Context, media_type};
use crate::catalog::Served;
use crate::status::{ApiError, Cause, Result};

/// What to do with fields that the schema does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

impl FieldValidation {
    fn of(context: &Context) -> Result<Self> {
        match context.query.get("fieldValidation") {
            None | Some("Warn") => Ok(Self::Warn),
            Some("Ignore") => Ok(Self::Ignore),
            Some("Strict") => Ok(Self::Strict),
            Some(other) => Err(ApiError::bad_request(format!(
                "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// An object as the client sent it, its unknown fields reported and dropped.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
}

/// Reads a request body as the object of this resource.
pub(crate) fn decode(context: &Context, body: &[u8]) -> Result<Decoded> {
    let (value, duplicates) = parse(media_type(&context.headers), body)?;
    check_object(context, value, duplicates)
}

/// The binary form in which Go's typed clients send built-in kinds.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Parses JSON, YAML or protobuf; also tells which keys occurred twice.
pub(crate) fn parse(media_type: &str, body: &[u8]) -> Result<(Value, Vec<String>)> {
    match media_type {
        ""
        | "application/json"
        | "application/merge-patch+json"
        | "application/strategic-merge-patch+json" => {
            let value = serde_json::from_slice(body)
                .map_err(|e| ApiError::bad_request(format!("the object provided is not valid JSON: {e}")))?;
            Ok((value, crate::duplicates::in_json(body)))
        }
        "application/yaml" | "application/apply-patch+yaml" => {
            let text = std::str::from_utf8(body)
                .map_err(|e| ApiError::bad_request(format!("the object provided is not UTF-8: {e}")))?;
            crate::duplicates::in_yaml(text)
        }
        PROTOBUF => {
            let value = seaway_protobuf::decode(body).map_err(|e| {
                ApiError::bad_request(format!("the object provided is not valid protobuf: {e}"))
            })?;
            Ok((value, vec![]))
        }
        _ => Err(ApiError::unsupported_media_type(&["application/json", "application/yaml", PROTOBUF])),
    }
}

/// Checks kind, types and fields of a parsed object.
pub(crate) fn check_object(context: &Context, mut value: Value, duplicates: Vec<String>) -> Result<Decoded> {
    let served = &context.served;
    let expected = (served.api_version(), served.kind());
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    if !value.is_object() {
        return Err(ApiError::bad_request(format!(
            "the object provided is not an object: expected {}, Kind={}",
            expected.0, expected.1
        )));
    }
    for (field, wanted) in [("apiVersion", expected.0.as_str()), ("kind", expected.1)] {
        match &value[field] {
            // Custom objects have no type of their own that would say it.
            Value::Null if served.custom.is_some() => {
                return Err(ApiError::bad_request(format!("Object '{field}' is missing in the data")));
            }
            Value::String(found) if found != wanted && field == "kind" && served.custom.is_some() => {
                let cause = Cause {
                    reason: "FieldValueInvalid",
                    message: format!("Invalid value: {found:?}: must be {wanted}"),
                    field: "kind".into(),
                };
                let name = value["metadata"]["name"].as_str().unwrap_or_default();
                return Err(ApiError::invalid(served.group(), found, name, vec![cause]));
            }
            Value::Null => value[field] = wanted.into(),
            Value::String(found) if found == wanted => {}
            found => {
                return Err(ApiError::bad_request(format!(
                    "the {field} in the data ({}) does not match the expected {field} ({wanted})",
                    found.as_str().map_or_else(|| found.to_string(), str::to_owned)
                )));
            }
        }
    }
    if !value["metadata"].is_object() {
        if !value["metadata"].is_null() {
            return Err(ApiError::bad_request("metadata: expected an object"));
        }
        value["metadata"] = Value::Object(Map::new());
    }
    let mode = FieldValidation::of(context)?;
    let mut problems = duplicates;
    if mode != FieldValidation::Ignore {
        problems.extend(check::unknown_fields(&value, &served.schema));
    } else {
        problems.clear();
    }
    if mode == FieldValidation::Strict && !problems.is_empty() {
        return Err(ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            served.kind(),
            served.resource.version,
            served.kind(),
            problems.join(", ")
        )));
    }
    check::prune(&mut value, &served.schema);
    undecodable_bytes(served, &value)?;
    wrong_types(served, &value)?;
    if served.custom.is_none()
        && let Err(error) = quantities(&value, &served.schema)
    {
        return Err(ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {error}",
            served.kind(),
            served.resource.version,
            served.kind()
        )));
    }
    match &served.custom {
        None => check::normalize(&mut value, &served.schema),
        // Of a custom object every client reads the metadata alike; the rest is as its schema has it.
        Some(_) => check::normalize(&mut value["metadata"], &seaway_merge::schema::object_meta()),
    }
    Ok(Decoded { value, warnings: problems })
}

/// Bytes are base64 in JSON.
fn undecodable_bytes(served: &Served, value: &Value) -> Result<()> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let field = match (served.group(), served.kind()) {
        ("", "Secret") => "data",
        ("", "ConfigMap") => "binaryData",
        _ => return Ok(()),
    };
    let entries = value[field].as_object().into_iter().flatten();
    for (key, text) in entries.filter_map(|(key, text)| Some((key, text.as_str()?))) {
        // Go's decoder passes over line breaks.
        if STANDARD.decode(text.replace(['\r', '\n'], "")).is_err() {
            return Err(ApiError::bad_request(format!(
                "{} in version \"{}\" cannot be handled as a {}: {field}[{key}]: illegal base64 data",
                served.kind(),
                served.resource.version,
                served.kind()
            )));
        }
    }
    Ok(())
}

/// Quantities have a syntax of their own, which Go checks while decoding.
pub(crate) fn quantities(value: &Value, ty: &TypeRef) -> Result<(), QuantityError> {
    match (&ty.shape, value) {
        (Shape::Quantity, Value::String(_) | Value::Number(_)) => Quantity::from_value(value).map(drop),
        (Shape::Object(object), Value::Object(map)) => map.iter().try_for_each(|(name, child)| {
            let ty = object.fields.get(name).map(|field| &field.ty).or(object.additional.as_ref());
            ty.map_or(Ok(()), |ty| quantities(child, ty))
        }),
        (Shape::List(list), Value::Array(items)) => {
            items.iter().try_for_each(|item| quantities(item, &list.element))
        }
        _ => Ok(()),
    }
}

/// A wrong type is refused while decoding, as Go's decoder does. Of custom objects only `metadata` has types then;
/// the rest is validated against their schema.
fn wrong_types(served: &Served, value: &Value) -> Result<()> {
    let problems = check::wrong_types(value, &served.schema);
    let typed = |path: &str| served.custom.is_none() || path.starts_with("metadata");
    let Some(first) = problems.iter().find(|problem| typed(&problem.path)) else { return Ok(()) };
    Err(ApiError::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: json: cannot unmarshal {} into Go struct field {}.{} of type {}",
        served.kind(),
        served.resource.version,
        served.kind(),
        go_type(first.got),
        served.kind(),
        first.path,
        first.expected
    )))
}

/// JSON's types as Go's decoder calls them.
fn go_type(got: &str) -> &str {
    match got {
        "boolean" => "bool",
        "integer" => "number",
        other => other,
    }
}

#[cfg(test)]
mod tests;
