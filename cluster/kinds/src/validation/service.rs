//! Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::containers::PROTOCOLS;
use super::endpoints::validate_endpoint_address;
use super::formats::{
    dns_1123_label, dns_1123_subdomain, in_range, ip_address, parse_cidr, port_number, qualified_name,
};
use super::labels::validate_labels;
use super::probes::validate_port;
use super::{immutable, one_of, push_all, push_all_number};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, same, text};

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
const ONCE: &str = "may not change once set";
/// Where traffic goes if it can choose (KEP-3015).
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameNode", "PreferSameZone"];

/// Checks a Service's spec.
pub(super) fn validate_service(errors: &mut Vec<FieldError>, service: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = service.get("spec").unwrap_or(&empty);
    let kind = text(spec, "type");
    let headless =
        items(spec, "clusterIPs").first().is_some_and(|ip| ip == "None") || text(spec, "clusterIP") == "None";
    if count(spec, "ports") == 0 && !headless && kind != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    validate_for_type(errors, spec, &path, headless);
    validate_ports(errors, spec, &path.child("ports"));
    validate_labels(errors, at(spec, "selector"), &path.child("selector"));
    validate_affinity(errors, spec, &path);
    validate_cluster_ips(errors, spec, &path);
    for (index, address) in items(spec, "externalIPs").iter().enumerate() {
        let address = address.as_str().unwrap_or_default();
        let path = path.child("externalIPs").index(index);
        let wrong = ip_address(address);
        if wrong.is_empty() {
            validate_endpoint_address(errors, address, &path);
        } else {
            push_all(errors, &path, address, wrong);
        }
    }
    one_of(errors, &path.child("type"), kind, &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    validate_repeated_ports(errors, spec, &path.child("ports"), kind);
    validate_load_balancer(errors, spec, &path, kind);
    validate_traffic(errors, spec, &path, kind);
}

fn validate_for_type(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, headless: bool) {
    const KUBELET: i64 = 10_250;
    let kind = text(spec, "type");
    match kind {
        "LoadBalancer" | "NodePort" => {
            for (index, port) in items(spec, "ports").iter().enumerate() {
                if kind == "LoadBalancer" && integer(port, "port") == Some(KUBELET) {
                    errors.push(FieldError::invalid(
                        &path.child("ports").index(index),
                        KUBELET,
                        format!("may not expose port {KUBELET} externally since it is used by kubelet"),
                    ));
                }
            }
            if headless {
                errors.push(FieldError::invalid(
                    &path.child("clusterIPs").index(0),
                    "None",
                    format!("may not be set to 'None' for {kind} services"),
                ));
            }
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                let given = match at(spec, field) {
                    Some(Value::Array(items)) => !items.is_empty(),
                    other => other.is_some(),
                };
                if given {
                    errors.push(FieldError::forbidden(
                        &path.child(field),
                        "may not be set for ExternalName services",
                    ));
                }
            }
            let given = text(spec, "externalName");
            let name = given.strip_suffix('.').unwrap_or(given);
            if name.is_empty() {
                errors.push(FieldError::required(&path.child("externalName"), ""));
            } else {
                push_all(errors, &path.child("externalName"), name, dns_1123_subdomain(name));
            }
        }
        _ => {}
    }
}

fn validate_ports(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    let ports = items(spec, "ports");
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if ports.len() > 1 && name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        } else if !name.is_empty() {
            push_all(errors, &path.child("name"), name, dns_1123_label(name));
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
        }
        let number = integer(port, "port").unwrap_or(0);
        push_all_number(errors, &path.child("port"), number, port_number(number));
        one_of(errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
        validate_port(errors, port.get("targetPort"), &path.child("targetPort"));
        if let Some(protocol) = at(port, "appProtocol").and_then(Value::as_str) {
            push_all(errors, &path.child("appProtocol"), protocol, qualified_name(protocol));
        }
    }
}

fn validate_affinity(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const DAY: i64 = 86_400;
    let affinity = text(spec, "sessionAffinity");
    one_of(errors, &path.child("sessionAffinity"), affinity, &["ClientIP", "None"]);
    let path = path.child("sessionAffinityConfig");
    let config = at(spec, "sessionAffinityConfig");
    if affinity == "ClientIP" {
        let seconds = config.and_then(|config| integer(config, "clientIP.timeoutSeconds"));
        let missing = match config {
            None => Some(path.clone()),
            Some(config) if at(config, "clientIP").is_none() => Some(path.child("clientIP")),
            Some(_) if seconds.is_none() => Some(path.child("clientIP.timeoutSeconds")),
            Some(_) => None,
        };
        if let Some(path) = missing {
            errors.push(FieldError::required(&path, "when session affinity type is ClientIP"));
        } else if let Some(seconds) = seconds
            && !(1..=DAY).contains(&seconds)
        {
            errors.push(FieldError::invalid(
                &path.child("clientIP.timeoutSeconds"),
                seconds,
                format!("must be greater than 0 and less than {DAY}"),
            ));
        }
    } else if affinity == "None" && config.is_some() {
        errors.push(FieldError::forbidden(&path, "must not be set when session affinity is None"));
    }
}

/// `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` must tell the same story.
pub(super) fn validate_cluster_ips(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    if text(spec, "type") == "ExternalName" {
        return;
    }
    let list_path = path.child("clusterIPs");
    let single = text(spec, "clusterIP");
    let list = items(spec, "clusterIPs");
    if !single.is_empty() {
        match list.first() {
            None => errors.push(FieldError::required(&list_path, "")),
            Some(first) if first != single => errors.push(FieldError::invalid(
                &list_path,
                list.to_vec(),
                "first value must match `clusterIP`",
            )),
            Some(_) => {}
        }
    } else if !list.is_empty() {
        errors.push(FieldError::invalid(
            &list_path,
            list.to_vec(),
            "must be empty when `clusterIP` is not specified",
        ));
    }
    let families = items(spec, "ipFamilies");
    let family_path = path.child("ipFamilies");
    let mut seen = Vec::new();
    for (index, family) in families.iter().enumerate() {
        let name = family.as_str().unwrap_or_default();
        if !FAMILIES.contains(&name) {
            errors.push(FieldError::not_supported(&family_path.index(index), name, &FAMILIES));
        }
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&family_path.index(index), name));
        }
        seen.push(name);
    }
    const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    let policy = text(spec, "ipFamilyPolicy");
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(&path.child("ipFamilyPolicy"), policy, &POLICIES));
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (index, address) in list.iter().enumerate() {
        let address = address.as_str().unwrap_or_default();
        if address == "None" {
            if list.len() > 1 {
                errors.push(FieldError::invalid(
                    &list_path,
                    list.to_vec(),
                    "'None' must be the first and only value",
                ));
            }
            continue;
        }
        let wrong = ip_address(address);
        if !wrong.is_empty() {
            push_all(errors, &list_path.index(index), address, wrong);
            continue;
        }
        if let Ok(parsed) = address.parse::<IpAddr>() {
            let expected = families.get(index).and_then(Value::as_str);
            let found = if parsed.is_ipv4() { "IPv4" } else { "IPv6" };
            if let Some(expected) = expected
                && FAMILIES.contains(&expected)
                && expected != found
            {
                errors.push(FieldError::invalid(
                    &list_path.index(index),
                    address,
                    format!("expected an {expected} value as indicated by `ipFamilies[{index}]`"),
                ));
            }
            addresses.push(parsed);
        }
    }
    if list.len() > 2 {
        errors.push(FieldError::invalid(&list_path, list.to_vec(), "may only hold up to 2 values"));
    } else if let [one, other] = addresses.as_slice()
        && one.is_ipv4() == other.is_ipv4()
    {
        errors.push(FieldError::invalid(
            &list_path,
            list.to_vec(),
            "may specify no more than one IP for each IP family",
        ));
    }
}

fn validate_repeated_ports(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    let ports = items(spec, "ports");
    let node_port = |port| integer(port, "nodePort").filter(|number| *number != 0);
    if kind == "ClusterIP" {
        for (index, port) in ports.iter().enumerate() {
            if node_port(port).is_some() {
                errors.push(FieldError::forbidden(
                    &path.index(index).child("nodePort"),
                    "may not be used when `type` is 'ClusterIP'",
                ));
            }
        }
    }
    let mut node_ports = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        if let Some(number) = node_port(port)
            && !node_ports.insert((text(port, "protocol"), number))
        {
            errors.push(FieldError::duplicate(&path.index(index).child("nodePort"), number));
        }
    }
    let mut numbers = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(port, "protocol"), integer(port, "port").unwrap_or(0));
        if !numbers.insert((protocol, number)) {
            errors.push(FieldError::duplicate(
                &path.index(index),
                json!({"port": number, "protocol": protocol}),
            ));
        }
    }
}

fn validate_load_balancer(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    let ranges_path = path.child("loadBalancerSourceRanges");
    let ranges = items(spec, "loadBalancerSourceRanges");
    if !ranges.is_empty() && kind != "LoadBalancer" {
        errors.push(FieldError::forbidden(&ranges_path, "may only be used when `type` is 'LoadBalancer'"));
    }
    for (index, range) in ranges.iter().enumerate() {
        let range = range.as_str().unwrap_or_default();
        if parse_cidr(range.trim()).is_none() {
            errors.push(FieldError::invalid(&ranges_path.index(index), range, super::networking::NOT_A_CIDR));
        }
    }
    if kind == "LoadBalancer" {
        if at(spec, "allocateLoadBalancerNodePorts").is_none() {
            errors.push(FieldError::required(&path.child("allocateLoadBalancerNodePorts"), ""));
        }
        if let Some(class) = at(spec, "loadBalancerClass").and_then(Value::as_str) {
            push_all(errors, &path.child("loadBalancerClass"), class, qualified_name(class));
        }
        return;
    }
    for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if at(spec, field).is_some() {
            errors.push(FieldError::forbidden(
                &path.child(field),
                "may only be used when `type` is 'LoadBalancer'",
            ));
        }
    }
}

fn validate_traffic(errors: &mut Vec<FieldError>, spec: &Value, path: &Path, kind: &str) {
    const POLICIES: [&str; 2] = ["Cluster", "Local"];
    let distribution = text(spec, "trafficDistribution");
    if !distribution.is_empty() && !DISTRIBUTIONS.contains(&distribution) {
        errors.push(FieldError::not_supported(
            &path.child("trafficDistribution"),
            distribution,
            &DISTRIBUTIONS,
        ));
    }
    let external_path = path.child("externalTrafficPolicy");
    let external = text(spec, "externalTrafficPolicy");
    let reachable = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && count(spec, "externalIPs") > 0);
    if reachable {
        if !external.is_empty() && !POLICIES.contains(&external) {
            errors.push(FieldError::not_supported(&external_path, external, &POLICIES));
        } else if external.is_empty() && matches!(kind, "LoadBalancer" | "NodePort") {
            errors.push(FieldError::required(&external_path, ""));
        }
    } else if !external.is_empty() {
        errors.push(FieldError::invalid(
            &external_path,
            external,
            "may only be set for externally-accessible services",
        ));
    }
    let health = integer(spec, "healthCheckNodePort").unwrap_or(0);
    let health_path = path.child("healthCheckNodePort");
    if health != 0 {
        if kind == "LoadBalancer" && external == "Local" {
            push_all_number(errors, &health_path, health, in_range(health, 1, 65_535));
        } else {
            errors.push(FieldError::invalid(
                &health_path,
                health,
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
            ));
        }
    }
    let internal = text(spec, "internalTrafficPolicy");
    if matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer") {
        one_of(errors, &path.child("internalTrafficPolicy"), internal, &POLICIES);
    }
}

/// What a Service may not change once it is set: its first address and family. Without an address nothing is set.
pub(super) fn validate_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let kind = |service| text(service, "spec.type");
    let headless = |service| matches!(items(service, "spec.clusterIPs"), [one] if one == "None");
    let addressed = kind(old) != "ExternalName" && kind(new) != "ExternalName";
    if addressed && !(headless(old) && headless(new)) {
        validate_address_update(errors, new, old);
    }
    if addressed && !headless(old) && !headless(new) {
        let family = |service| items(service, "spec.ipFamilies").first();
        if let Some(first) = family(old)
            && family(new) != Some(first)
        {
            let path = Path::new("spec.ipFamilies").index(0);
            let given = items(new, "spec.ipFamilies").to_vec();
            let detail = if given.is_empty() { "primary ipFamily can not be unset" } else { ONCE };
            errors.push(FieldError::invalid(&path, given, detail));
        }
    }
    let class = |service| at(service, "spec.loadBalancerClass");
    if kind(old) == "LoadBalancer" && kind(new) == "LoadBalancer" && !same(class(old), class(new)) {
        errors.push(FieldError::invalid(
            &Path::new("spec.loadBalancerClass"),
            class(new).cloned().unwrap_or_default(),
            ONCE,
        ));
    }
    let local =
        |service| kind(service) == "LoadBalancer" && text(service, "spec.externalTrafficPolicy") == "Local";
    if local(old) && local(new) {
        immutable(errors, new, old, "spec.healthCheckNodePort");
    }
}

fn validate_address_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let path = Path::new("spec.clusterIPs").index(0);
    let given = items(new, "spec.clusterIPs");
    let known = items(old, "spec.clusterIPs");
    let Some(first) = known.first() else {
        return;
    };
    let detail = match given.first() {
        None => "primary clusterIP can not be unset",
        Some(one) if one != first => ONCE,
        Some(_) => {
            let [_, second] = known else {
                return;
            };
            match given.get(1) {
                Some(one) if one == second => return,
                None if text(new, "spec.ipFamilyPolicy") == "SingleStack" => return,
                None => {
                    "`ipFamilyPolicy` must be set to 'SingleStack' when releasing the secondary clusterIP"
                }
                Some(_) => {
                    errors.push(FieldError::invalid(
                        &Path::new("spec.clusterIPs").index(1),
                        given.to_vec(),
                        ONCE,
                    ));
                    return;
                }
            }
        }
    };
    errors.push(FieldError::invalid(&path, given.to_vec(), detail));
}
