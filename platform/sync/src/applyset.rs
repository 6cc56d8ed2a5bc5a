//! The ApplySet of an environment (KEP-3659): what kubectl understands of an inventory.
//!
//! The parent is a Secret in the destination namespace; its members carry a label with its id.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use seaway_object::ObjectId;

/// On every member: the id of the set.
pub const PART_OF_LABEL: &str = "applyset.kubernetes.io/part-of";
const ID_LABEL: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// The name of an environment's parent Secret: environments of one name in different namespaces may share a
/// destination, so that the Environment's own namespace is part of it.
pub fn parent_name(environment_namespace: &str, environment: &str) -> String {
    format!("seaway.{environment_namespace}.{environment}")
}

/// The id of the set whose parent is this Secret, as the KEP defines it.
pub fn id(namespace: &str, name: &str) -> String {
    let hash = Sha256::digest(format!("{name}.{namespace}.Secret."));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(hash))
}

/// The parent, saying which kinds and namespaces the members are of.
pub fn parent<'a>(namespace: &str, name: &str, members: impl IntoIterator<Item = &'a ObjectId>) -> Value {
    let (mut kinds, mut namespaces) = (BTreeSet::new(), BTreeSet::new());
    for member in members {
        let dot = if member.group.is_empty() { "" } else { "." };
        kinds.insert(format!("{}{dot}{}", member.kind, member.group));
        namespaces.extend(member.namespace.as_deref().filter(|other| *other != namespace));
    }
    let join = |set: Vec<String>| set.join(",");
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {ID_LABEL: id(namespace, name)},
            "annotations": {
                TOOLING: "seaway/v1alpha1",
                GROUP_KINDS: join(kinds.into_iter().collect()),
                NAMESPACES: join(namespaces.into_iter().map(str::to_owned).collect()),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_a_valid_label_and_differs_by_parent() {
        let one = id("shop", "seaway.seaway.production");
        assert!(one.len() <= 63, "{}", one.len());
        assert!(one.starts_with("applyset-") && one.ends_with("-v1"));
        assert_ne!(one, id("shop2", "seaway.seaway.production"));
        assert_ne!(one, id("shop", "seaway.seaway-anna.production"));
    }

    #[test]
    fn the_parent_names_kinds_and_further_namespaces() {
        let member = |group: &str, kind: &str, namespace: Option<&str>| ObjectId {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: "x".into(),
        };
        let members = [
            member("apps", "Deployment", Some("shop")),
            member("", "ConfigMap", Some("other")),
            member("", "Namespace", None),
        ];
        let parent = parent("shop", "seaway.seaway.p", &members);
        let annotations = &parent["metadata"]["annotations"];
        assert_eq!(annotations[GROUP_KINDS], "ConfigMap,Deployment.apps,Namespace");
        assert_eq!(annotations[NAMESPACES], "other");
    }
}
