//! OpenAPI documents of what the server serves: version 3 per group version (KEP-2896), version 2 as one.
//!
//! They are what clients ask them for: validation and `kubectl explain` (the schemas), strategic merge patches (merge
//! keys, content types), server-side field validation and dry run (parameters of the PATCH operations). Operations have no
//! descriptions.
//!
//! Start reading in [`v3`].

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::resources::Resource;

mod descriptions;
mod gnostic;
mod paths;
mod schemas;
mod swagger;

/// The Kubernetes version whose API the documents describe.
const KUBERNETES_VERSION: &str = "v1.37.0";

/// A served resource and where the schema of its kind comes from.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The resource.
    pub resource: &'a Resource,
    /// The schema of its kind.
    pub schema: KindSchema<'a>,
}

/// Where the schema of a kind comes from.
#[derive(Clone, Copy, Debug)]
pub enum KindSchema<'a> {
    /// Kubernetes' own definitions.
    BuiltIn,
    /// A CRD version's `openAPIV3Schema`, if it has one.
    Custom(Option<&'a Value>),
}

/// `/openapi/v3`: where the documents are. Each is given as group (empty for core), version and [`hash`].
///
/// The hash is part of the URL, so a document's answer may be cached for good (`Cache-Control: immutable`).
pub fn index<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Value {
    let paths: Map<String, Value> = documents
        .into_iter()
        .map(|(group, version, hash)| {
            let path =
                if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The hash of a serialised document, for [`index`] and as an entity tag.
pub fn hash(document: &[u8]) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// `/openapi/v3/api/v1` (group empty) or `/openapi/v3/apis/GROUP/VERSION`: the paths of its resources and every
/// schema that they reach. Resources of other group versions are ignored.
pub fn v3<'a>(served: impl IntoIterator<Item = Served<'a>>, group: &str, version: &str) -> Value {
    let served = served.into_iter().filter(|s| s.resource.group == group && s.resource.version == version);
    let mut paths = Map::new();
    let mut own = BTreeMap::new();
    let mut base = None;
    for served in served {
        base.get_or_insert_with(|| served.resource.base_path());
        if let KindSchema::Custom(schema) = served.schema {
            own.extend(schemas::custom(served.resource, schema));
        }
        paths.extend(paths::of(served));
    }
    if let Some(base) = base {
        paths.insert(format!("{base}/"), paths::resource_list(group, version));
    }
    let schemas = schemas::reachable(&paths, own);
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "BearerToken": {"type": "apiKey", "in": "header", "name": "authorization"},
            },
        },
    })
}

/// `/openapi/v2`: one document (Swagger 2.0) of everything served, for clients without version 3.
pub fn v2<'a>(served: impl IntoIterator<Item = Served<'a>>) -> Value {
    let mut by_version: BTreeMap<(&str, &str), Vec<Served<'a>>> = BTreeMap::new();
    for served in served {
        by_version.entry((&served.resource.group, &served.resource.version)).or_default().push(served);
    }
    let documents = by_version.into_iter().map(|((group, version), served)| v3(served, group, version));
    swagger::from_v3(documents)
}

/// [`v2`] in the protobuf form that Go clients ask for: its definitions, without paths.
pub fn v2_protobuf<'a>(served: impl IntoIterator<Item = Served<'a>>) -> Vec<u8> {
    gnostic::document(&v2(served))
}

/// The place of a schema in a version 3 document.
fn reference(name: &str) -> Value {
    json!({"$ref": format!("{REFERENCE}{name}")})
}

const REFERENCE: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

#[cfg(test)]
mod tests;
