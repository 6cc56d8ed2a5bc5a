//! Pods and pod templates.

use serde_json::Value;

use super::{containers, fill_from, omit_zero, volumes};
use crate::fields::{at, at_mut, fill, fill_absent, integer, is_true, items_mut, set, structure, text};

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
