//! Addresses, families and ports of Services in a cluster that has IPv4 alone.
//!
//! The real server checks these while it allocates, before everything else, and so tells nothing else beside them.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::formats::{parse_cidr, same_network};
use super::service;
use crate::field_error::{FieldError, Path};
use crate::fields::{count, integer, items, text};

/// The addresses of Services, as a CIDR.
pub const CLUSTER_IPS: &str = "10.96.0.0/16";
/// The node ports of Services: the first and the last.
pub const NODE_PORTS: (i64, i64) = (30_000, 32_767);

const FAMILY: &str = "IPv4";
const NOT_CONFIGURED: &str = "not configured on this cluster";

/// Checks a Service, new or changed from `old`.
pub(super) fn validate(service: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let empty = Value::Null;
    let spec = service.get("spec").unwrap_or(&empty);
    let known = old.and_then(|old| old.get("spec")).unwrap_or(&empty);
    if text(spec, "type") == "ExternalName" {
        return vec![];
    }
    let path = Path::new("spec");
    let mut errors = vec![];
    service::validate_cluster_ips(&mut errors, spec, &path);
    if !errors.is_empty() {
        return errors;
    }
    for check in [validate_policy, validate_inferred_families, validate_families] {
        let errors = check(spec, &path);
        if !errors.is_empty() {
            return errors;
        }
    }
    let errors = validate_addresses(spec, known, &path);
    if errors.is_empty() { validate_node_ports(spec, known, &path.child("ports")) } else { errors }
}

/// Two addresses or families need a policy that allows two.
fn validate_policy(spec: &Value, path: &Path) -> Vec<FieldError> {
    let policy = text(spec, "ipFamilyPolicy");
    [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")]
        .into_iter()
        .filter(|(field, _)| policy == "SingleStack" && count(spec, field) == 2)
        .map(|(_, what)| {
            FieldError::invalid(
                &path.child("ipFamilyPolicy"),
                policy,
                format!("must be RequireDualStack or PreferDualStack when multiple {what} are specified"),
            )
        })
        .collect()
}

/// An address without a family of its own in `ipFamilies` brings its family.
fn validate_inferred_families(spec: &Value, path: &Path) -> Vec<FieldError> {
    let addresses = items(spec, "clusterIPs");
    let families = count(spec, "ipFamilies");
    addresses
        .iter()
        .enumerate()
        .skip(families)
        .filter(|(_, address)| {
            address.as_str().and_then(|one| one.parse::<IpAddr>().ok()).is_some_and(|one| one.is_ipv6())
        })
        .map(|(index, _)| {
            FieldError::invalid(
                &path.child("clusterIPs").index(index),
                addresses.to_vec(),
                "may not use IPv6 on a cluster which is not configured for it",
            )
        })
        .collect()
}

fn validate_families(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = vec![];
    let selectorless = text(spec, "clusterIP") == "None" && count(spec, "selector") == 0;
    if selectorless {
        return errors;
    }
    let policy = text(spec, "ipFamilyPolicy");
    if policy == "RequireDualStack" {
        errors.push(FieldError::invalid(
            &path.child("ipFamilyPolicy"),
            policy,
            "this cluster is not configured for dual-stack services",
        ));
    }
    for (index, family) in items(spec, "ipFamilies").iter().enumerate() {
        if family != FAMILY {
            errors.push(FieldError::invalid(
                &path.child("ipFamilies").index(index),
                family.clone(),
                NOT_CONFIGURED,
            ));
        }
    }
    errors
}

/// An address that is asked for must be one of a Service.
fn validate_addresses(spec: &Value, known: &Value, path: &Path) -> Vec<FieldError> {
    let addresses = items(spec, "clusterIPs");
    let wanted = addresses.iter().filter(|address| !items(known, "clusterIPs").contains(address));
    let mut errors = vec![];
    for address in wanted.filter_map(Value::as_str).filter(|address| *address != "None") {
        let Ok(IpAddr::V4(parsed)) = address.parse::<IpAddr>() else {
            continue;
        };
        if let Some(why) = outside(parsed) {
            errors.push(FieldError::invalid(
                &path.child("clusterIPs"),
                addresses.to_vec(),
                format!("failed to allocate IP {address}: {why}"),
            ));
        }
    }
    errors
}

/// Why the address cannot be a Service's. The network's own address and its broadcast address are nobody's.
fn outside(address: Ipv4Addr) -> Option<String> {
    let Some((IpAddr::V4(network), bits)) = parse_cidr(CLUSTER_IPS) else {
        return None;
    };
    if !same_network(network.into(), address.into(), bits) {
        return Some("the provided network does not match the current range".to_owned());
    }
    let last = u32::from(network) | u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
    let reserved = address == network || u32::from(address) == last;
    reserved.then(|| {
        format!(
            "the provided IP ({address}) is not in the valid range. The range of valid IPs is {CLUSTER_IPS}"
        )
    })
}

/// A node port that is asked for must be in the range; one that the Service has stays.
fn validate_node_ports(spec: &Value, known: &Value, path: &Path) -> Vec<FieldError> {
    let (first, last) = NODE_PORTS;
    let has = |port: i64| items(known, "ports").iter().any(|one| integer(one, "nodePort") == Some(port));
    if !matches!(text(spec, "type"), "NodePort" | "LoadBalancer") {
        return vec![];
    }
    let ports = items(spec, "ports").iter().enumerate();
    ports
        .filter_map(|(index, port)| Some((index, integer(port, "nodePort").filter(|port| *port != 0)?)))
        .filter(|(_, port)| !(first..=last).contains(port) && !has(*port))
        .map(|(index, port)| {
            FieldError::invalid(
                &path.index(index).child("nodePort"),
                port,
                format!(
                    "provided port is not in the valid range. The range of valid ports is {first}-{last}"
                ),
            )
        })
        .collect()
}
