//! Services, endpoints, ingresses and network policies.

use std::net::IpAddr;

use serde_json::Value;

use super::annotation;
use crate::field_error::Path;
use crate::fields::{items, same, text};
use crate::validation::formats::parse_cidr;

/// An address that is written in an unusual way.
fn address(warnings: &mut Vec<String>, given: &str, path: &Path) {
    let Ok(IpAddr::V6(parsed)) = given.parse::<IpAddr>() else {
        return;
    };
    if let Some(mapped) = parsed.to_ipv4_mapped() {
        warnings.push(format!(
            "{path}: non-standard IP address {given:?} will be considered invalid in a future Kubernetes release: use \"{mapped}\""
        ));
    } else if parsed.to_string() != given {
        warnings.push(format!(
            "{path}: IPv6 address {given:?} should be in RFC 5952 canonical format (\"{parsed}\")"
        ));
    }
}

/// A range that says more than one thing, or is written in an unusual way.
pub(super) fn cidr(warnings: &mut Vec<String>, given: &str, path: &Path) {
    let Some((ip, bits)) = parse_cidr(given) else {
        return;
    };
    let (network, width) = match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            (IpAddr::V4((u32::from(ip) & mask).into()), 32)
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            (IpAddr::V6((u128::from(ip) & mask).into()), 128)
        }
    };
    if ip != network {
        warnings.push(format!(
            "{path}: CIDR value {given:?} is ambiguous in this context (should be \"{network}/{bits}\" or \"{ip}/{width}\"?)"
        ));
    } else if ip.is_ipv6() && format!("{network}/{bits}") != given {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {given:?} should be in RFC 5952 canonical format (\"{network}/{bits}\")"
        ));
    }
}

pub(super) fn service(warnings: &mut Vec<String>, service: &Value) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    if annotation(service, HINTS).is_some() {
        warnings.push(format!(
            "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
    let path = Path::new("spec");
    let kind = text(service, "spec.type");
    let headless = kind == "ClusterIP" && text(service, "spec.clusterIP") == "None";
    let outer = items(service, "spec.externalIPs");
    let each = |warnings: &mut Vec<String>, list: &str, check: fn(&mut Vec<String>, &str, &Path)| {
        for (index, value) in
            items(service, &format!("spec.{list}")).iter().filter_map(Value::as_str).enumerate()
        {
            check(warnings, value, &path.child(list).index(index));
        }
    };
    each(warnings, "clusterIPs", address);
    if headless {
        let ignored = [
            ("loadBalancerIP", !text(service, "spec.loadBalancerIP").is_empty()),
            ("externalIPs", !outer.is_empty()),
            ("SessionAffinity", text(service, "spec.sessionAffinity") != "None"),
        ];
        for (field, _) in ignored.iter().filter(|(_, given)| *given) {
            warnings.push(format!("spec.{field} is ignored for headless services"));
        }
    }
    each(warnings, "externalIPs", address);
    if !outer.is_empty() && !headless && kind != "ExternalName" {
        warnings.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    address(warnings, text(service, "spec.loadBalancerIP"), &path.child("loadBalancerIP"));
    each(warnings, "loadBalancerSourceRanges", cidr);
    if kind == "ExternalName" && !outer.is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !text(service, "spec.externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if text(service, "spec.trafficDistribution") == "PreferClose" {
        warnings.push(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
        );
    }
}

pub(super) fn endpoints(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>) {
    if old.is_some_and(|old| same(old.get("subsets"), new.get("subsets"))) {
        return;
    }
    for (index, subset) in items(new, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        for list in ["addresses", "notReadyAddresses"] {
            for (index, one) in items(subset, list).iter().enumerate() {
                address(warnings, text(one, "ip"), &path.child(list).index(index).child("ip"));
            }
        }
    }
}

pub(super) fn endpoint_slice(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>) {
    if old.is_some_and(|old| same(old.get("endpoints"), new.get("endpoints"))) {
        return;
    }
    for (index, endpoint) in items(new, "endpoints").iter().enumerate() {
        let path = Path::new("endpoints").index(index).child("addresses");
        for (index, one) in items(endpoint, "addresses").iter().filter_map(Value::as_str).enumerate() {
            address(warnings, one, &path.index(index));
        }
    }
}

pub(super) fn policy(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>) {
    if old.is_some_and(|old| same(old.get("spec"), new.get("spec"))) {
        return;
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(new, &format!("spec.{direction}")).iter().enumerate() {
            let path = Path::new("spec").child(direction).index(index).child(peers);
            for (index, peer) in items(rule, peers).iter().enumerate() {
                let path = path.index(index).child("ipBlock");
                cidr(warnings, text(peer, "ipBlock.cidr"), &path.child("cidr"));
                let except = items(peer, "ipBlock.except").iter().filter_map(Value::as_str);
                for (index, range) in except.enumerate() {
                    cidr(warnings, range, &path.child("except").index(index));
                }
            }
        }
    }
}

pub(super) fn ingress(warnings: &mut Vec<String>, new: &Value, old: Option<&Value>) {
    const CLASS: &str = "kubernetes.io/ingress.class";
    if old.is_none() && annotation(new, CLASS).is_some() {
        warnings
            .push(format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"));
    }
}
