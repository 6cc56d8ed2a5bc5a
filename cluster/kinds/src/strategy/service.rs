//! Services: their addresses and address families, and what goes with a type.

use serde_json::{Value, json};

use crate::fields::{count, fill_absent, integer, items, remove, same, set, structure, text};

pub(super) fn prepare_for_create(service: &mut Value) {
    join_cluster_ips(service, None);
    settle_families(service);
}

pub(super) fn prepare_for_update(new: &mut Value, old: &Value) {
    join_cluster_ips(new, Some(old));
    drop_fields_of_other_type(new, old);
    settle_families(new);
}

/// The address families of a Service in a cluster that has IPv4 alone (KEP-563). What cannot be had here stays as the
/// request has it, for validation to refuse. A headless Service without a selector may have both families: its
/// endpoints are somebody else's business.
fn settle_families(service: &mut Value) {
    let Some(spec) = structure(service, "spec") else {
        return;
    };
    if text(spec, "type") == "ExternalName" {
        return;
    }
    let selectorless = text(spec, "clusterIP") == "None" && count(spec, "selector") == 0;
    fill_absent(spec, "ipFamilyPolicy", if selectorless { "RequireDualStack" } else { "SingleStack" });
    let foreign = items(spec, "clusterIPs").iter().filter_map(Value::as_str).any(|ip| ip.contains(':'));
    if count(spec, "ipFamilies") == 0 && !foreign {
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    if selectorless && text(spec, "ipFamilyPolicy") != "SingleStack" {
        let both = match items(spec, "ipFamilies") {
            [one] if one == "IPv4" => json!(["IPv4", "IPv6"]),
            [one] if one == "IPv6" => json!(["IPv6", "IPv4"]),
            _ => return,
        };
        set(spec, "ipFamilies", both);
    }
}

/// `clusterIP` and the first of `clusterIPs` say the same; a client that knows only the older field
/// changes both with it.
fn join_cluster_ips(service: &mut Value, old: Option<&Value>) {
    let Some(spec) = structure(service, "spec") else {
        return;
    };
    let single = text(spec, "clusterIP").to_owned();
    let list = items(spec, "clusterIPs").to_vec();
    match old.and_then(|old| old.get("spec")) {
        None => {
            if !single.is_empty() && list.is_empty() {
                set(spec, "clusterIPs", json!([single]));
            }
        }
        Some(old) => {
            let single_changed = single != text(old, "clusterIP");
            let list_changed = list != items(old, "clusterIPs");
            if !single_changed || list_changed {
                return;
            }
            if single.is_empty() {
                remove(spec, "clusterIPs");
            } else {
                set(spec, "clusterIPs", json!([single]));
            }
        }
    }
}

/// A Service that changes its type loses what only the old type had, unless the request sets it.
fn drop_fields_of_other_type(new: &mut Value, old: &Value) {
    let has_addresses = |kind: &str| matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer");
    let has_node_ports = |kind: &str| matches!(kind, "NodePort" | "LoadBalancer");
    let (Some(spec), Some(old)) = (new.get_mut("spec"), old.get("spec")) else {
        return;
    };
    let (to, from) = (text(spec, "type").to_owned(), text(old, "type").to_owned());
    let unchanged = |spec: &Value, name: &str| same(spec.get(name), old.get(name));
    if has_addresses(&from) && !has_addresses(&to) {
        for name in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"] {
            if unchanged(spec, name) {
                remove(spec, name);
            }
        }
    }
    if has_node_ports(&from) && !has_node_ports(&to) {
        let ports_of = |spec: &Value| -> Vec<Option<i64>> {
            items(spec, "ports").iter().map(|port| integer(port, "nodePort")).collect()
        };
        if ports_of(spec) == ports_of(old) {
            for port in crate::fields::items_mut(spec, "ports") {
                remove(port, "nodePort");
            }
        }
        if unchanged(spec, "externalTrafficPolicy") {
            remove(spec, "externalTrafficPolicy");
        }
    }
    if from == "LoadBalancer" && to != "LoadBalancer" {
        for name in ["healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(spec, name) {
                remove(spec, name);
            }
        }
    }
}
