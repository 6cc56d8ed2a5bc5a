//! ReferenceGrants: who may refer to what in another namespace.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::objects::Objects;
use super::spec::{GrantPeer, GrantSpec};

/// All grants, by the namespace that they open.
pub(crate) struct Grants<'a>(HashMap<&'a str, Vec<GrantSpec>>);

/// One of the two ends of a reference.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) group: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
}

impl<'a> Grants<'a> {
    pub(crate) fn new(objects: &'a Objects) -> Self {
        let mut grants: HashMap<_, Vec<_>> = HashMap::new();
        for grant in &objects.reference_grants {
            let namespace = grant.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
            if let Some(spec) = grant.get("spec").and_then(|spec| GrantSpec::deserialize(spec).ok()) {
                grants.entry(namespace).or_default().push(spec);
            }
        }
        Self(grants)
    }

    /// Whether an object may refer to another one, which is called `name`. Within a namespace it always may.
    pub(crate) fn allow(&self, from: End<'_>, to: End<'_>, name: &str) -> bool {
        let is_from = |peer: &GrantPeer| {
            peer.group == from.group
                && peer.kind == from.kind
                && peer.namespace.as_deref() == Some(from.namespace)
        };
        let is_to = |peer: &GrantPeer| {
            peer.group == to.group
                && peer.kind == to.kind
                && peer.name.as_deref().is_none_or(|named| named.is_empty() || named == name)
        };
        let mut grants = self.0.get(to.namespace).into_iter().flatten();
        from.namespace == to.namespace
            || grants.any(|grant| grant.from.iter().any(is_from) && grant.to.iter().any(is_to))
    }
}
