//! Pods and pod templates.

use serde_json::Value;

use super::{containers, fill_from, omit_zero, volumes};
use crate::fields::{
    at, at_mut, count, fill, fill_absent, integer, is_true, items_mut, set, structure, text,
};
use crate::pod_resources::{self, Amounts};

/// Defaults of a Pod: those of its spec, and what only a Pod gets, not a template of one.
pub(super) fn default_pod(pod: &mut Value) {
    let Some(spec) = structure(pod, "spec") else {
        return;
    };
    default_spec(spec);
    let host_network = is_true(spec, "hostNetwork");
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            if let Some(resources) = at_mut(container, "resources")
                && let Some(Value::Object(limits)) = at(resources, "limits").cloned()
            {
                fill_from(resources, "requests", &limits);
            }
            if host_network {
                for port in items_mut(container, "ports") {
                    if let Some(number) = integer(port, "containerPort") {
                        fill(port, "hostPort", number);
                    }
                }
            }
        }
    }
    fill_absent(spec, "enableServiceLinks", true);
    default_pod_resources(spec);
}

/// A Pod that limits its resources as a whole asks for what its containers ask for together, and for its limits where
/// these ask for nothing (KEP-2837).
fn default_pod_resources(spec: &mut Value) {
    let Some(resources) = at(spec, "resources") else {
        return;
    };
    let mut limits = pod_resources::amounts(resources, "limits");
    let mut requests = pod_resources::amounts(resources, "requests");
    if count(resources, "limits") > 0 || count(resources, "requests") > 0 {
        for (name, amount) in pod_resources::of_containers(spec, "limits") {
            if name.starts_with(pod_resources::HUGE_PAGES) && !requests.contains_key(&name) {
                limits.entry(name).or_insert(amount);
            }
        }
    }
    if !limits.is_empty() {
        let asked = pod_resources::of_containers(spec, "requests");
        for (name, amount) in asked.into_iter().chain(limits.clone()) {
            if pod_resources::is_for_pods(&name) {
                requests.entry(name).or_insert(amount);
            }
        }
    }
    for (list, amounts) in [("limits", limits), ("requests", requests)] {
        add_amounts(spec, list, &amounts);
    }
}

/// Writes the amounts that a list of the Pod's resources lacks.
fn add_amounts(spec: &mut Value, list: &str, amounts: &Amounts) {
    if amounts.is_empty() {
        return;
    }
    if let Some(Value::Object(known)) = at_mut(spec, "resources").and_then(|one| structure(one, list)) {
        for (name, amount) in amounts {
            known.entry(name).or_insert_with(|| Value::from(amount.to_string()));
        }
    }
}

/// Defaults of the pod template in the field `template` of `owner`.
pub(super) fn default_template(owner: &mut Value) {
    let Some(template) = structure(owner, "template") else {
        return;
    };
    structure(template, "metadata");
    if let Some(spec) = structure(template, "spec") {
        default_spec(spec);
    }
}

fn default_spec(spec: &mut Value) {
    fill(spec, "dnsPolicy", "ClusterFirst");
    fill(spec, "restartPolicy", "Always");
    fill(spec, "schedulerName", "default-scheduler");
    fill_absent(spec, "terminationGracePeriodSeconds", 30);
    structure(spec, "securityContext");
    // The older name of the field stays readable and is always written beside the newer one.
    let account = [text(spec, "serviceAccountName"), text(spec, "serviceAccount")]
        .into_iter()
        .find(|name| !name.is_empty())
        .map(str::to_owned);
    if let Some(account) = account {
        set(spec, "serviceAccount", account.clone());
        set(spec, "serviceAccountName", account);
    }
    omit_zero(spec, &["hostNetwork", "hostPID", "hostIPC", "nodeName", "hostname", "subdomain"]);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items_mut(spec, list) {
            containers::default_container(container);
        }
    }
    for volume in items_mut(spec, "volumes") {
        volumes::default_volume(volume);
    }
    if let Some(overhead) = at_mut(spec, "overhead") {
        super::canonical_quantities(overhead);
    }
    if let Some(resources) = at_mut(spec, "resources") {
        containers::default_resources(resources);
    }
}
