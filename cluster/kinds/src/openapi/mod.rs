//! OpenAPI documents of what the server serves: version 3 per group version, version 2 as one.

use serde_json::Value;

use crate::resources::Resource;

/// A served resource and the schema of its kind.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// A custom resource's `openAPIV3Schema` of that version (`None` inside: without a schema); absent for built-in
    /// kinds.
    pub custom: Option<Option<&'a Value>>,
}

/// `/openapi/v3`: the documents of [`v3`], each with the hash of its content ([`hash`]).
pub fn index<'a>(_documents: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Value {
    Value::Null
}

/// The hash of a serialised document, for [`index`] and as an entity tag.
pub fn hash(_document: &[u8]) -> String {
    String::new()
}

/// `/openapi/v3/api/v1` (group empty) or `/openapi/v3/apis/GROUP/VERSION`; resources of other versions are ignored.
pub fn v3<'a>(_served: impl IntoIterator<Item = Served<'a>>, _group: &str, _version: &str) -> Value {
    Value::Null
}

/// `/openapi/v2`: one document (Swagger 2.0) of everything served.
pub fn v2<'a>(_served: impl IntoIterator<Item = Served<'a>>) -> Value {
    Value::Null
}
