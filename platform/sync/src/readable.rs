//! Objects that are watched, of which each can be one that nobody can read: a stored one that another version of its
//! definition let in. It holds up nobody but itself.

use std::borrow::Cow;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object, or why it cannot be read. Without who owns which field: that is larger than all the rest, and nobody asks.
#[derive(Debug, Clone)]
pub(crate) struct Readable<K> {
    metadata: ObjectMeta,
    object: Result<K, String>,
}

impl<K> Readable<K> {
    /// The object, or who it is and why it cannot be read.
    pub(crate) fn into_object(self) -> Result<K, (ObjectMeta, String)> {
        self.object.map_err(|why| (self.metadata, why))
    }

    pub(crate) fn into_metadata(self) -> ObjectMeta {
        self.metadata
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Readable<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        let metadata = value.get_mut("metadata").and_then(Value::as_object_mut);
        metadata.ok_or_else(|| D::Error::missing_field("metadata"))?.remove("managedFields");
        let metadata = ObjectMeta::deserialize(&value["metadata"]).map_err(D::Error::custom)?;
        let object = K::deserialize(value).map_err(|error| error.to_string());
        Ok(Self { metadata, object })
    }
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(of: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(of)
    }

    fn group(of: &Self::DynamicType) -> Cow<'_, str> {
        K::group(of)
    }

    fn version(of: &Self::DynamicType) -> Cow<'_, str> {
        K::version(of)
    }

    fn plural(of: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(of)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use seaway_api::stack::Stack;
    use serde_json::json;

    #[test]
    fn one_that_cannot_be_read_says_who_it_is_and_why() {
        let stack = |components: Value| {
            let object = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
                "metadata": {"name": "shop", "managedFields": [{"manager": "x"}]}, "spec": {"components": components}});
            serde_json::from_value::<Readable<Stack>>(object).unwrap()
        };
        let read = stack(json!([])).into_object().unwrap();
        assert_eq!((read.metadata.name.as_deref(), read.metadata.managed_fields), (Some("shop"), None));
        let (metadata, why) = stack(json!("none")).into_object().unwrap_err();
        assert_eq!(metadata.name.as_deref(), Some("shop"));
        assert!(why.contains("sequence"), "{why}");
    }
}
