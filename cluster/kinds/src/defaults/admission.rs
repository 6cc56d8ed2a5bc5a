//! Webhook configurations and policies.

use serde_json::Value;

use crate::fields::{at_mut, fill_absent, items_mut, structure};

pub(super) fn default_webhooks(configuration: &mut Value, mutating: bool) {
    for hook in items_mut(configuration, "webhooks") {
        fill_absent(hook, "failurePolicy", "Fail");
        fill_absent(hook, "timeoutSeconds", 10);
        if mutating {
            fill_absent(hook, "reinvocationPolicy", "Never");
        }
        default_matching(hook);
        default_rules(hook, "rules");
        if let Some(service) = at_mut(hook, "clientConfig.service") {
            fill_absent(service, "port", 443);
        }
    }
}

pub(super) fn default_policy(policy: &mut Value) {
    if let Some(spec) = structure(policy, "spec") {
        fill_absent(spec, "failurePolicy", "Fail");
        default_resources(spec, "matchConstraints");
    }
}

pub(super) fn default_policy_binding(binding: &mut Value) {
    if let Some(spec) = structure(binding, "spec") {
        default_resources(spec, "matchResources");
    }
}

fn default_resources(spec: &mut Value, field: &str) {
    if let Some(resources) = at_mut(spec, field) {
        default_matching(resources);
        default_rules(resources, "resourceRules");
        default_rules(resources, "excludeResourceRules");
    }
}

/// Everything matches that is not excluded.
fn default_matching(owner: &mut Value) {
    fill_absent(owner, "matchPolicy", "Equivalent");
    structure(owner, "namespaceSelector");
    structure(owner, "objectSelector");
}

fn default_rules(owner: &mut Value, field: &str) {
    for rule in items_mut(owner, field) {
        fill_absent(rule, "scope", "*");
    }
}
