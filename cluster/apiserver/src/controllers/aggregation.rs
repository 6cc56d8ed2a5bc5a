//! Aggregated ClusterRoles: rules collected from the roles that the labels select.

use std::sync::Arc;

use seaway_object::selector::LabelSelector;
use serde_json::Value;

use super::CLUSTER_ROLES;
use super::garbage::report;
use crate::api::Api;
use crate::store::{Change, Entry, ResourceKey};

/// Brings every aggregated role up to date.
pub(super) async fn run(api: &Arc<Api>) {
    let resource: ResourceKey = CLUSTER_ROLES.into();
    // A role that collects may itself be collected (edit is part of admin): again until all holds.
    for _ in 0..4 {
        let roles: Vec<(Arc<Entry>, Value)> =
            api.store.all(CLUSTER_ROLES, None).into_iter().map(|e| (e.clone(), e.value())).collect();
        let mut changed = false;
        for (entry, role) in &roles {
            let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
                continue;
            };
            let selectors: Vec<LabelSelector> =
                selectors.iter().filter_map(|s| LabelSelector::from_value(s).ok()).collect();
            let mut rules: Vec<Value> = Vec::new();
            for (other, value) in &roles {
                if other.key == entry.key
                    || !selectors
                        .iter()
                        .any(|s| s.matches(|key| other.meta.labels.get(key).map(String::as_str)))
                {
                    continue;
                }
                for rule in value["rules"].as_array().into_iter().flatten() {
                    if !rules.contains(rule) {
                        rules.push(rule.clone());
                    }
                }
            }
            let rules = Value::Array(rules);
            if role["rules"] == rules {
                continue;
            }
            changed = true;
            let set = |entry: &Entry| {
                let mut value = entry.value();
                value["rules"] = rules.clone();
                Some(Change::Put(value))
            };
            report(api.store.modify(&resource, &entry.key, set).await.map(drop));
        }
        if !changed {
            return;
        }
    }
}
