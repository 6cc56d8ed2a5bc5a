//! From OpenAPI schemas to types.

use super::{
    Field, ListKind, ListType, ObjectType, Patch, Schemas, Shape, Type, TypeRef, object_meta, untyped,
};
use crate::Error;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A structural schema nested deeper than this is refused. (The real server's limit is the request's size.)
const MAX_DEPTH: usize = 256;

/// The name of the definition that a `$ref` points at.
const REF_PREFIX: &str = "#/components/schemas/";

/// The type of an embedded definition. The facts are checked by tests; what could not be understood is deduced.
pub(super) fn definition(schemas: &Schemas, name: &str, schema: &Value) -> Type {
    let special = match name.rsplit('.').next().unwrap_or(name) {
        "Quantity" => Some(Shape::Quantity),
        "IntOrString" => Some(Shape::IntOrString),
        // Free-form JSON: a change anywhere is a change of the whole.
        "JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray" => {
            Some(Shape::Any)
        }
        _ => None,
    };
    match special {
        Some(shape) => Type::new(shape),
        None => Reader { schemas: Some(schemas) }
            .schema(schema, &mut Vec::new())
            .unwrap_or_else(|_| Type::new(Shape::Deduced)),
    }
}

/// The type of a custom resource.
pub(super) fn structural(schema: &Value) -> Result<TypeRef, Error> {
    let mut ty = Reader { schemas: None }.schema(schema, &mut Vec::new())?;
    if let Shape::Object(object) = &mut ty.shape {
        make_resource(object);
    }
    Ok(TypeRef::owned(ty))
}

/// A whole object has `apiVersion`, `kind` and `metadata`, whatever its schema says of them.
fn make_resource(object: &mut ObjectType) {
    let field = |ty: TypeRef| Field { ty, default: None, required: false, patch: Patch::default() };
    for name in ["apiVersion", "kind"] {
        object.fields.insert(name.to_owned(), field(TypeRef::owned(Type::new(Shape::String))));
    }
    object.fields.insert("metadata".to_owned(), field(object_meta()));
}

/// `schemas` is where references point; structural schemas have none.
struct Reader<'a> {
    schemas: Option<&'a Schemas>,
}

impl Reader<'_> {
    fn reference(&self, schema: &Map<String, Value>) -> Option<TypeRef> {
        let schemas = self.schemas?;
        let name = schema.get("$ref")?.as_str()?.strip_prefix(REF_PREFIX)?;
        // A field may override how the type it uses merges.
        if let (Some(map_type), Some(Value::Object(target))) =
            (schema.get("x-kubernetes-map-type"), schemas.value_of(name))
        {
            let mut target = target.clone();
            target.insert("x-kubernetes-map-type".to_owned(), map_type.clone());
            return Some(TypeRef::owned(definition(schemas, "", &Value::Object(target))));
        }
        schemas.for_definition(name)
    }

    fn type_ref(&self, schema: &Value, path: &mut Vec<String>) -> Result<TypeRef, Error> {
        if let Some(target) = schema.as_object().and_then(|schema| self.reference(schema)) {
            return Ok(target);
        }
        self.schema(schema, path).map(TypeRef::owned)
    }

    fn schema(&self, schema: &Value, path: &mut Vec<String>) -> Result<Type, Error> {
        let Value::Object(schema) = schema else {
            return Err(problem(path, "a schema must be an object"));
        };
        if path.len() > MAX_DEPTH {
            return Err(problem(path, "the schema is nested too deeply"));
        }
        let shape = self.shape(schema, path)?;
        Ok(Type {
            shape,
            nullable: schema.get("nullable") == Some(&Value::Bool(true)),
            default: schema.get("default").cloned(),
            format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
        })
    }

    fn shape(&self, schema: &Map<String, Value>, path: &mut Vec<String>) -> Result<Shape, Error> {
        let flag = |name: &str| schema.get(name) == Some(&Value::Bool(true));
        if flag("x-kubernetes-int-or-string") {
            return Ok(Shape::IntOrString);
        }
        let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        let preserve_unknown = flag("x-kubernetes-preserve-unknown-fields");
        match kind {
            "string" => Ok(Shape::String),
            "integer" => Ok(Shape::Integer),
            "number" => Ok(Shape::Number),
            "boolean" => Ok(Shape::Boolean),
            "array" => self.list(schema, path),
            "object" => self.object(schema, preserve_unknown, path),
            "" if schema.contains_key("properties") => self.object(schema, preserve_unknown, path),
            "" if preserve_unknown => Ok(Shape::Deduced),
            "" => Ok(Shape::Any),
            other => Err(problem(path, &format!("unknown type {other:?}"))),
        }
    }

    fn list(&self, schema: &Map<String, Value>, path: &mut Vec<String>) -> Result<Shape, Error> {
        let element = match schema.get("items") {
            Some(items) => within(path, "items", |path| self.type_ref(items, path))?,
            None => untyped(),
        };
        let kind = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            None | Some("atomic") => ListKind::Atomic,
            Some("set") => ListKind::Set,
            Some("map") => {
                let keys: Vec<String> = schema
                    .get("x-kubernetes-list-map-keys")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(|key| key.as_str().map(str::to_owned))
                    .collect();
                if keys.is_empty() {
                    return Err(problem(path, "x-kubernetes-list-type map needs x-kubernetes-list-map-keys"));
                }
                ListKind::Map(keys)
            }
            Some(other) => return Err(problem(path, &format!("unknown x-kubernetes-list-type {other:?}"))),
        };
        Ok(Shape::List(ListType { element, kind }))
    }

    fn object(
        &self,
        schema: &Map<String, Value>,
        preserve_unknown: bool,
        path: &mut Vec<String>,
    ) -> Result<Shape, Error> {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut fields = BTreeMap::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let ty =
                within(path, "properties", |path| within(path, name, |path| self.type_ref(property, path)))?;
            fields.insert(
                name.clone(),
                Field {
                    ty,
                    default: property.get("default").cloned(),
                    required: required.contains(&name.as_str()),
                    patch: patch_of(property),
                },
            );
        }
        let additional = match schema.get("additionalProperties") {
            Some(additional @ Value::Object(_)) => {
                Some(within(path, "additionalProperties", |path| self.type_ref(additional, path))?)
            }
            Some(Value::Bool(true)) => Some(untyped()),
            // A built-in object that declares nothing (RawExtension, FieldsV1) holds anything.
            None if self.schemas.is_some() && fields.is_empty() => Some(untyped()),
            _ => None,
        };
        let atomic = match schema.get("x-kubernetes-map-type").and_then(Value::as_str) {
            None | Some("granular") => false,
            Some("atomic") => true,
            Some(other) => return Err(problem(path, &format!("unknown x-kubernetes-map-type {other:?}"))),
        };
        let embedded_resource = schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
        let mut object = ObjectType { fields, additional, atomic, preserve_unknown, embedded_resource };
        if embedded_resource {
            make_resource(&mut object);
        }
        Ok(Shape::Object(object))
    }
}

fn patch_of(property: &Value) -> Patch {
    let strategies = property.get("x-kubernetes-patch-strategy").and_then(Value::as_str).unwrap_or_default();
    let has = |name: &str| strategies.split(',').any(|strategy| strategy == name);
    Patch {
        merge_key: property.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(str::to_owned),
        merge: has("merge"),
        retain_keys: has("retainKeys"),
        replace: has("replace"),
    }
}

fn within<T>(
    path: &mut Vec<String>,
    name: &str,
    inner: impl FnOnce(&mut Vec<String>) -> Result<T, Error>,
) -> Result<T, Error> {
    path.push(name.to_owned());
    let result = inner(path);
    path.pop();
    result
}

fn problem(path: &[String], problem: &str) -> Error {
    Error::Schema { path: format!(".{}", path.join(".")), problem: problem.to_owned() }
}
