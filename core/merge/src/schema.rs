//! Shapes of objects: which fields there are, how lists and maps merge, what the defaults are.
//!
//! The built-in kinds come from `facts/kubernetes-1.37.json`, written by `cargo xtask facts`: one OpenAPI schema a
//! line, stable API versions only, without descriptions. A definition is parsed when it is first used, so that
//! starting costs one pass over the lines.
//!
//! Custom resources come from their structural schema ([`from_structural`]); without one an object's shape is
//! deduced from the object ([`untyped`]).

mod facts;
mod parse;

use crate::Error;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub use facts::Schemas;

/// A type. Cheap to clone; dereferences to [`Type`].
#[derive(Debug, Clone)]
pub struct TypeRef(Inner);

#[derive(Debug, Clone)]
enum Inner {
    /// A definition of [`Schemas::kubernetes`], by its number. Definitions may contain themselves.
    Named(usize),
    Owned(Arc<Type>),
}

/// What a value of this type looks like and how two of them merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Type {
    /// The shape.
    pub shape: Shape,
    /// Whether `null` is a value of its own; otherwise `null` means absent.
    pub nullable: bool,
    /// The value of an absent field (structural default).
    pub default: Option<Value>,
    /// The schema's `format` (`int32`, `date-time`, …).
    pub format: Option<String>,
}

/// The shape of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Anything, and a change anywhere inside is a change of the whole.
    Any,
    /// Anything: lists are atomic, maps merge key by key.
    Deduced,
    /// A string.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// A whole number or a string (`80`, `"25%"`).
    IntOrString,
    /// A quantity (`"100m"`, `2`): a string or a number.
    Quantity,
    /// A list.
    List(ListType),
    /// A map, or an object with fields.
    Object(ObjectType),
}

/// A list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListType {
    /// The type of each element.
    pub element: TypeRef,
    /// How two lists merge.
    pub kind: ListKind,
}

/// How two lists merge (`x-kubernetes-list-type`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// As a whole.
    Atomic,
    /// As a set of scalars.
    Set,
    /// Element by element, identified by these fields.
    Map(Vec<String>),
}

/// A map, or an object with fields.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectType {
    /// The declared fields.
    pub fields: BTreeMap<String, Field>,
    /// The type of every other field, when there may be others by declaration (`additionalProperties`).
    pub additional: Option<TypeRef>,
    /// Whether it merges as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Whether undeclared fields are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// Whether it is a whole Kubernetes object (`x-kubernetes-embedded-resource`).
    pub embedded_resource: bool,
}

/// A declared field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The type.
    pub ty: TypeRef,
    /// The value when the field is absent.
    pub default: Option<Value>,
    /// Whether the schema requires it.
    pub required: bool,
    /// How a strategic merge patch treats it.
    pub patch: Patch,
}

/// How a strategic merge patch treats a field (`x-kubernetes-patch-strategy`, `x-kubernetes-patch-merge-key`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// The field that identifies an element of a list.
    pub merge_key: Option<String>,
    /// Lists merge (by the merge key, or as a set of scalars).
    pub merge: bool,
    /// Only the patch's fields and those it lists under `$retainKeys` stay.
    pub retain_keys: bool,
    /// The value is replaced, also where it is an object.
    pub replace: bool,
}

impl Type {
    fn new(shape: Shape) -> Type {
        Type { shape, nullable: false, default: None, format: None }
    }
}

impl TypeRef {
    fn named(number: usize) -> TypeRef {
        TypeRef(Inner::Named(number))
    }

    fn owned(ty: Type) -> TypeRef {
        TypeRef(Inner::Owned(Arc::new(ty)))
    }

    /// The type of a declared field or of a map's value; `None` when the type knows no such field.
    pub fn field(&self, name: &str) -> Option<TypeRef> {
        match &self.shape {
            Shape::Object(object) => match object.fields.get(name) {
                Some(field) => Some(field.ty.clone()),
                None if object.additional.is_some() => object.additional.clone(),
                None if object.preserve_unknown => Some(untyped()),
                None => None,
            },
            Shape::Deduced => Some(self.clone()),
            Shape::Any => Some(self.clone()),
            _ => None,
        }
    }

    /// An object as the server holds it before anything is set: the structs that are held by value are there, and
    /// required scalars are zero. Ownership of a create is counted against it.
    pub(crate) fn zero(&self) -> Value {
        let Shape::Object(object) = &self.shape else { return Value::Null };
        let mut map = serde_json::Map::new();
        for (name, field) in &object.fields {
            let by_value = matches!(&field.default, Some(Value::Object(o)) if o.is_empty());
            if by_value && matches!(field.ty.shape, Shape::Object(_)) {
                map.insert(name.clone(), field.ty.zero());
            } else if field.required {
                let zero = match field.ty.shape {
                    Shape::String => Value::from(""),
                    Shape::Integer | Shape::Number => Value::from(0),
                    Shape::Boolean => Value::from(false),
                    _ => Value::Null,
                };
                map.insert(name.clone(), zero);
            }
        }
        Value::Object(map)
    }
}

impl std::ops::Deref for TypeRef {
    type Target = Type;

    fn deref(&self) -> &Type {
        match &self.0 {
            Inner::Named(number) => Schemas::kubernetes().by_number(*number),
            Inner::Owned(ty) => ty,
        }
    }
}

impl PartialEq for TypeRef {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Inner::Named(a), Inner::Named(b)) => a == b,
            (Inner::Owned(a), Inner::Owned(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// The type of a built-in kind; the core group is `""`.
pub fn for_kind(group: &str, version: &str, kind: &str) -> Option<TypeRef> {
    Schemas::kubernetes().for_kind(group, version, kind)
}

/// The type of a custom resource, from a version's `openAPIV3Schema` (apiextensions/v1, structural).
///
/// # Errors
/// [`Error::Schema`] when the schema is nested too deeply or a keyword has a value that it cannot have.
pub fn from_structural(openapi_v3_schema: &Value) -> Result<TypeRef, Error> {
    parse::structural(openapi_v3_schema)
}

/// The type of an object without a schema, deduced from the object: lists are atomic, maps merge key by key.
pub fn untyped() -> TypeRef {
    static DEDUCED: LazyLock<TypeRef> = LazyLock::new(|| TypeRef::owned(Type::new(Shape::Deduced)));
    DEDUCED.clone()
}

/// The type of `metadata`.
pub fn object_meta() -> TypeRef {
    static META: LazyLock<TypeRef> = LazyLock::new(|| {
        Schemas::kubernetes()
            .for_definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
            .unwrap_or_else(untyped)
    });
    META.clone()
}
