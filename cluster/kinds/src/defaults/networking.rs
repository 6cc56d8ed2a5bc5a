//! Services, endpoints and network policies.

use serde_json::{Value, json};

use super::omit_zero;
use crate::fields::{
    at, at_mut, count, fill, fill_absent, integer, items, items_mut, remove, set, structure, text,
};

pub(super) fn default_service(service: &mut Value) {
    let Some(spec) = structure(service, "spec") else {
        return;
    };
    fill(spec, "type", "ClusterIP");
    fill(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" if at(spec, "sessionAffinityConfig.clientIP.timeoutSeconds").is_none() => {
            // Three hours.
            set(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10_800}}));
        }
        _ => {}
    }
    for port in items_mut(spec, "ports") {
        fill(port, "protocol", "TCP");
        if let Some(number) = integer(port, "port") {
            fill(port, "targetPort", number);
        }
        omit_zero(port, &["nodePort", "name"]);
    }
    let kind = text(spec, "type").to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        fill(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "ClusterIP" | "NodePort" | "LoadBalancer") {
        fill_absent(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        fill_absent(spec, "allocateLoadBalancerNodePorts", true);
    }
    if kind != "ExternalName" {
        if count(spec, "clusterIPs") == 2 || count(spec, "ipFamilies") == 2 {
            fill_absent(spec, "ipFamilyPolicy", "RequireDualStack");
        }
        if text(spec, "ipFamilyPolicy") == "RequireDualStack" {
            let families = match items(spec, "ipFamilies") {
                [one] if one == "IPv4" => Some(json!(["IPv4", "IPv6"])),
                [one] if one == "IPv6" => Some(json!(["IPv6", "IPv4"])),
                _ => None,
            };
            if let Some(families) = families {
                set(spec, "ipFamilies", families);
            }
        }
    }
    omit_zero(spec, &["clusterIP", "publishNotReadyAddresses", "externalName", "healthCheckNodePort"]);
    if let Some(status) = structure(service, "status") {
        structure(status, "loadBalancer");
    }
}

pub(super) fn default_endpoints(endpoints: &mut Value) {
    for subset in items_mut(endpoints, "subsets") {
        for port in items_mut(subset, "ports") {
            fill(port, "protocol", "TCP");
        }
    }
}

pub(super) fn default_endpoint_slice(slice: &mut Value) {
    for port in items_mut(slice, "ports") {
        fill_absent(port, "name", "");
        fill_absent(port, "protocol", "TCP");
    }
}

pub(super) fn default_network_policy(policy: &mut Value) {
    let Some(spec) = structure(policy, "spec") else {
        return;
    };
    structure(spec, "podSelector");
    if count(spec, "policyTypes") == 0 {
        let kinds =
            if count(spec, "egress") == 0 { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        set(spec, "policyTypes", kinds);
    }
    for direction in ["ingress", "egress"] {
        for rule in items_mut(spec, direction) {
            for port in items_mut(rule, "ports") {
                fill_absent(port, "protocol", "TCP");
            }
        }
    }
}

pub(super) fn default_ingress_class(class: &mut Value) {
    if let Some(parameters) = at_mut(class, "spec.parameters") {
        fill_absent(parameters, "scope", "Cluster");
    }
}
