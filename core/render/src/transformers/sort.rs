//! The order in which objects are printed.

use std::collections::HashMap;

use crate::error::Problem;
use crate::id::{Gvk, ResId};
use crate::kustomization::{LegacySortOptions, SortOptions};
use crate::resmap::ResMap;

const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Sort as `sortOptions` says; without them, as `kubectl kustomize` does: by kind, then by name.
pub(crate) fn sort(map: &mut ResMap, options: Option<&SortOptions>) -> Result<(), Problem> {
    let order = options.map_or("legacy", |options| options.order.as_str());
    let lists = options.and_then(|options| options.legacy_sort_options.as_ref());
    match order {
        "fifo" if lists.is_some() => Err(Problem(
            "the field 'sortOptions.legacySortOptions' is set but the selected sort order is 'fifo', not 'legacy'"
                .to_owned(),
        )),
        "fifo" => Ok(()),
        "legacy" => {
            sort_by_kind(map, lists);
            Ok(())
        }
        other => Err(Problem(format!(
            "the field 'sortOptions.order' must be one of [fifo, legacy], not {other:?}"
        ))),
    }
}

/// The order of kinds in lists of field specifications. A kind that is not named comes after most that are.
pub(crate) fn kind_order(gvk: &Gvk) -> (i64, String) {
    let signed = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let position = |list: &[&str]| list.iter().position(|kind| *kind == gvk.kind);
    let rank = match (position(FIRST), position(LAST)) {
        (Some(index), _) => signed(index) - signed(FIRST.len()),
        (None, Some(index)) => signed(index) + 1,
        (None, None) => 0,
    };
    (rank, kind_key(gvk))
}

fn sort_by_kind(map: &mut ResMap, lists: Option<&LegacySortOptions>) {
    let (first, last): (Vec<&str>, Vec<&str>) = match lists {
        Some(lists) => (
            lists.order_first.iter().map(String::as_str).collect(),
            lists.order_last.iter().map(String::as_str).collect(),
        ),
        None => (FIRST.to_vec(), LAST.to_vec()),
    };
    let signed = |index: usize| i64::try_from(index).unwrap_or(i64::MAX);
    let mut ranks: HashMap<&str, i64> = HashMap::new();
    for (index, kind) in first.iter().enumerate() {
        ranks.insert(kind, signed(index) - signed(first.len()));
    }
    for (index, kind) in last.iter().enumerate() {
        ranks.insert(kind, signed(index) + 1);
    }
    if map.list.len() < 2 {
        return;
    }
    map.list.sort_by_cached_key(|resource| {
        let id = resource.id();
        let rank = ranks.get(id.gvk.kind.as_str()).copied().unwrap_or(0);
        // Other kinds that are called so do not come before the namespaces that they need.
        let is_other = id.gvk.kind == "Namespace" && !id.gvk.group.is_empty();
        (rank, is_other, kind_key(&id.gvk), name_key(&id))
    });
}

fn or<'a>(text: &'a str, none: &'a str) -> &'a str {
    if text.is_empty() { none } else { text }
}

fn kind_key(gvk: &Gvk) -> String {
    format!("{}_{}_{}", or(&gvk.group, "~G"), or(&gvk.version, "~V"), or(&gvk.kind, "~K"))
}

fn name_key(id: &ResId) -> String {
    format!("{}|{}|{}", id.gvk, or(&id.namespace, "~X"), or(&id.name, "~N"))
}
