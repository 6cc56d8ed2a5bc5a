//! Nodes and runtime classes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::formats::{dns_1123_label, label_value, parse_cidr, qualified_name};
use super::labels::validate_labels;
use super::{immutable, push_all, resources, scheduling};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, entries, items, same, text};
use crate::quantity::Quantity;

/// The effects of a taint, in the order in which errors list them.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks a new Node.
pub(super) fn validate_node(errors: &mut Vec<FieldError>, node: &Value) {
    validate_taints(errors, node);
    validate_amounts(errors, node);
    validate_networks(errors, node);
}

/// Checks a changed Node.
pub(super) fn validate_node_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    validate_amounts(errors, new);
    let addresses = items(new, "status.addresses");
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            errors.push(FieldError::duplicate(&Path::new("status.addresses").index(index), address.clone()));
        }
    }
    let networks = |node| items(node, "spec.podCIDRs");
    if networks(old).is_empty() {
        validate_networks(errors, new);
    } else if networks(new) != networks(old) {
        errors.push(FieldError::forbidden(
            &Path::new("spec.podCIDRs"),
            "node updates may not change podCIDR except from \"\" to valid",
        ));
    }
    let provider = |node| text(node, "spec.providerID");
    if !provider(old).is_empty() && provider(new) != provider(old) {
        errors.push(FieldError::forbidden(
            &Path::new("spec.providerID"),
            "node updates may not change providerID except from \"\" to valid",
        ));
    }
    validate_taints(errors, new);
    let fixed = |node: &Value| {
        let mut spec = node.get("spec").cloned().unwrap_or_default();
        for field in ["podCIDR", "podCIDRs", "providerID", "unschedulable", "taints", "configSource"] {
            crate::fields::remove(&mut spec, field);
        }
        spec
    };
    if !same(Some(&fixed(new)), Some(&fixed(old))) {
        errors.push(FieldError::forbidden(
            // The real server's empty path, as it prints.
            &Path::new("[]"),
            "node updates may only change labels, taints, or capacity (or configSource, if the DynamicKubeletConfig feature gate is enabled)",
        ));
    }
}

fn validate_taints(errors: &mut Vec<FieldError>, node: &Value) {
    // The real server's path, though the taints are in the spec.
    let path = Path::new("metadata.taints");
    let mut seen = BTreeSet::new();
    for (index, taint) in items(node, "spec.taints").iter().enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        push_all(errors, &path.child("key"), key, qualified_name(key));
        let wrong = label_value(value);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(&path.child("value"), value, wrong.join(";")));
        }
        super::one_of(errors, &path.child("effect"), effect, &EFFECTS);
        if !seen.insert((effect, key)) {
            let mut error = FieldError::duplicate(&path, taint.clone());
            error.detail = "taints must be unique by key and effect pair".to_owned();
            errors.push(error);
        }
    }
}

fn validate_amounts(errors: &mut Vec<FieldError>, node: &Value) {
    for list in ["status.capacity", "status.allocatable"] {
        for (name, amount) in entries(node, list) {
            resources::validate_amount(errors, name, amount, &Path::new(list).child(name));
        }
    }
}

/// At most one network of each family for the Node's pods.
fn validate_networks(errors: &mut Vec<FieldError>, node: &Value) {
    let path = Path::new("spec.podCIDRs");
    let networks = items(node, "spec.podCIDRs");
    let parsed: Vec<_> =
        networks.iter().map(|one| one.as_str().and_then(parse_cidr).map(|(ip, _)| ip.is_ipv4())).collect();
    for (index, _) in parsed.iter().enumerate().filter(|(_, one)| one.is_none()) {
        errors.push(FieldError::invalid(&path.index(index), networks.to_vec(), "must be valid CIDR"));
    }
    if networks.len() < 2 {
        return;
    }
    if networks.len() > 2 || parsed[0] == parsed[1] {
        errors.push(FieldError::invalid(
            &path,
            networks.to_vec(),
            "may specify no more than one CIDR for each IP family",
        ));
    }
    for (index, network) in networks.iter().enumerate() {
        if networks[..index].contains(network) {
            errors.push(FieldError::duplicate(&path.index(index), network.clone()));
        }
    }
}

/// Checks a RuntimeClass.
pub(super) fn validate_runtime_class(errors: &mut Vec<FieldError>, class: &Value) {
    let handler = text(class, "handler");
    push_all(errors, &Path::new("handler"), handler, dns_1123_label(handler));
    for (name, amount) in entries(class, "overhead.podFixed") {
        let path = Path::new("overhead.limits").key(name);
        resources::validate_container_name(errors, name, &path);
        if let Ok(amount) = Quantity::from_value(amount)
            && amount.sign() < 0
        {
            errors.push(FieldError::invalid(&path, amount.to_string(), super::NEGATIVE));
        }
    }
    if let Some(scheduling) = at(class, "scheduling") {
        let path = Path::new("scheduling");
        validate_labels(errors, at(scheduling, "nodeSelector"), &path.child("nodeSelector"));
        let tolerations = items(scheduling, "tolerations");
        scheduling::validate_tolerations(errors, scheduling, &path.child("tolerations"));
        for (index, toleration) in tolerations.iter().enumerate() {
            if tolerations[..index].contains(toleration) {
                errors
                    .push(FieldError::duplicate(&path.child("tolerations").index(index), toleration.clone()));
            }
        }
    }
}

/// A RuntimeClass keeps its handler.
pub(super) fn validate_runtime_class_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    immutable(errors, new, old, "handler");
}
