//! Who controls an object: owner references, adoption of orphans, release of what no longer fits.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use kube::{Resource, ResourceExt};
use seaway_object::selector::LabelSelector;
use serde_json::json;

use crate::cluster::Kind;
use crate::error::Error;
use crate::writer::Writer;

/// The reference to the object's controller.
pub(crate) fn controller_of<K: Resource>(object: &K) -> Option<&meta::OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|r| r.controller == Some(true))
}

/// Whether `owner` controls `object`.
pub(crate) fn controls<O: Resource, K: Resource>(owner: &O, object: &K) -> bool {
    owner.meta().uid.is_some() && controller_of(object).map(|r| r.uid.as_str()) == owner.meta().uid.as_deref()
}

/// A reference that makes `owner` the controller.
pub(crate) fn controller_ref<O: Resource<DynamicType = ()>>(owner: &O) -> meta::OwnerReference {
    meta::OwnerReference {
        api_version: O::api_version(&()).into_owned(),
        kind: O::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The conditions of a `LabelSelector` field; a broken or absent one selects nothing.
pub(crate) fn selector(field: Option<&meta::LabelSelector>) -> LabelSelector {
    match field.map(serde_json::to_value) {
        Some(Ok(value)) => LabelSelector::from_value(&value).unwrap_or_else(|_| LabelSelector::nothing()),
        _ => LabelSelector::nothing(),
    }
}

/// Whether the labels of an object fit.
pub(crate) fn selects<K: Resource>(selector: &LabelSelector, object: &K) -> bool {
    selector.matches(|key| object.meta().labels.as_ref()?.get(key).map(String::as_str))
}

/// What becomes of the objects that an owner selects or controls.
#[derive(Debug)]
pub(crate) struct Claim<K> {
    /// Controlled and selected.
    pub(crate) kept: Vec<Arc<K>>,
    /// Selected, and nobody's.
    pub(crate) adopted: Vec<Arc<K>>,
    /// Controlled, and no longer selected.
    pub(crate) released: Vec<Arc<K>>,
}

/// Sorts objects by what the owner's selector and their own references say.
pub(crate) fn claim<O: Resource, K: Resource>(
    owner: &O,
    selector: &LabelSelector,
    objects: Vec<Arc<K>>,
) -> Claim<K> {
    let mut claim = Claim { kept: Vec::new(), adopted: Vec::new(), released: Vec::new() };
    let owner_stays = owner.meta().deletion_timestamp.is_none();
    for object in objects {
        let stays = object.meta().deletion_timestamp.is_none();
        match controller_of(&*object) {
            Some(reference) if Some(&reference.uid) == owner.meta().uid.as_ref() => {
                if selects(selector, &*object) {
                    claim.kept.push(object);
                } else if owner_stays {
                    claim.released.push(object);
                }
            }
            None if owner_stays && stays && selects(selector, &*object) => claim.adopted.push(object),
            _ => {}
        }
    }
    claim
}

/// Does what a claim asks for; returns what the owner then controls.
pub(crate) async fn settle<O: Kind, K: Kind>(
    writer: &Writer,
    owner: &O,
    claim: Claim<K>,
) -> Result<Vec<Arc<K>>, Error> {
    let mut mine = claim.kept;
    for object in claim.released {
        let rest: Vec<_> =
            object.owner_references().iter().filter(|r| Some(&r.uid) != owner.uid().as_ref()).collect();
        match writer.patch(&*object, json!({"metadata": {"ownerReferences": rest}})).await {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    if claim.adopted.is_empty() {
        return Ok(mine);
    }
    // An owner that was deleted meanwhile would pull what it adopts with it.
    if !writer.is_alive(owner).await? {
        return Ok(mine);
    }
    for object in claim.adopted {
        let mut references = object.owner_references().to_vec();
        references.push(controller_ref(owner));
        match writer.patch(&*object, json!({"metadata": {"ownerReferences": references}})).await {
            Ok(adopted) => mine.push(adopted),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(mine)
}
