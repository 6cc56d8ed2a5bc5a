//! Endpoints and endpoint slices.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::containers::PROTOCOLS;
use super::formats::{dns_1123_label, dns_1123_subdomain, ip_address, port_number, qualified_name};
use super::labels::validate_labels;
use super::{one_of, push_all, push_all_number};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, text};

/// Checks an EndpointSlice.
pub(super) fn validate_endpoint_slice(errors: &mut Vec<FieldError>, slice: &Value) {
    const ENDPOINTS: usize = 1000;
    const ADDRESSES: usize = 100;
    const PORTS: usize = 20_000;
    const HINTS: usize = 8;
    let kind = text(slice, "addressType");
    one_of(errors, &Path::new("addressType"), kind, &["FQDN", "IPv4", "IPv6"]);
    let endpoints = items(slice, "endpoints");
    let path = Path::new("endpoints");
    if endpoints.len() > ENDPOINTS {
        errors.push(FieldError::too_many(&path, endpoints.len(), ENDPOINTS));
    } else {
        for (index, endpoint) in endpoints.iter().enumerate() {
            let path = path.index(index);
            let addresses = items(endpoint, "addresses");
            let address_path = path.child("addresses");
            if addresses.is_empty() {
                errors.push(FieldError::required(&address_path, "must contain at least 1 address"));
            } else if addresses.len() > ADDRESSES {
                errors.push(FieldError::too_many(&address_path, addresses.len(), ADDRESSES));
            }
            for (index, address) in addresses.iter().enumerate() {
                let address = address.as_str().unwrap_or_default();
                validate_slice_address(errors, address, kind, &address_path.index(index));
            }
            if let Some(node) = at(endpoint, "nodeName").and_then(Value::as_str) {
                push_all(errors, &path.child("nodeName"), node, dns_1123_subdomain(node));
            }
            validate_labels(errors, at(endpoint, "deprecatedTopology"), &path.child("deprecatedTopology"));
            if let Some(host) = at(endpoint, "hostname").and_then(Value::as_str) {
                push_all(errors, &path.child("hostname"), host, dns_1123_label(host));
            }
            let zones = items(endpoint, "hints.forZones");
            if zones.len() > HINTS {
                errors.push(FieldError::too_many(&path.child("hints.forZones"), zones.len(), HINTS));
            }
        }
    }
    let ports = items(slice, "ports");
    let path = Path::new("ports");
    if ports.len() > PORTS {
        errors.push(FieldError::too_many(&path, ports.len(), PORTS));
        return;
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            push_all(errors, &path.child("name"), name, dns_1123_label(name));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        one_of(errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
        if let Some(protocol) = at(port, "appProtocol").and_then(Value::as_str) {
            push_all(errors, &path.child("appProtocol"), protocol, qualified_name(protocol));
        }
    }
}

fn validate_slice_address(errors: &mut Vec<FieldError>, address: &str, kind: &str, path: &Path) {
    let parsed = address.parse::<IpAddr>().ok();
    match kind {
        "IPv4" | "IPv6" => {
            if parsed.is_some_and(|parsed| parsed.is_ipv4() == (kind == "IPv4")) {
                validate_endpoint_address(errors, address, path);
            } else {
                errors.push(FieldError::invalid(path, address, format!("must be a valid {kind} address")));
            }
        }
        "FQDN" => {
            let name = address.strip_suffix('.').unwrap_or(address);
            let wrong = dns_1123_subdomain(name);
            if name.is_empty() {
                errors.push(FieldError::required(path, ""));
            } else if !wrong.is_empty() {
                errors.push(FieldError::invalid(path, name, wrong.join(",")));
            } else if !name.contains('.') {
                errors.push(FieldError::invalid(
                    path,
                    name,
                    "should be a domain with at least two segments separated by dots",
                ));
            }
        }
        _ => {}
    }
}

/// Checks Endpoints.
pub(super) fn validate_endpoints(errors: &mut Vec<FieldError>, endpoints: &Value) {
    for (index, subset) in items(endpoints, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        if count(subset, "addresses") + count(subset, "notReadyAddresses") == 0 {
            errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for list in ["addresses", "notReadyAddresses"] {
            for (index, one) in items(subset, list).iter().enumerate() {
                let path = path.child(list).index(index);
                let address = text(one, "ip");
                let wrong = ip_address(address);
                if wrong.is_empty() {
                    validate_endpoint_address(errors, address, &path.child("ip"));
                } else {
                    push_all(errors, &path.child("ip"), address, wrong);
                }
                let host = text(one, "hostname");
                if !host.is_empty() {
                    push_all(errors, &path.child("hostname"), host, dns_1123_label(host));
                }
            }
        }
        let ports = items(subset, "ports");
        for (index, port) in ports.iter().enumerate() {
            let path = path.child("ports").index(index);
            let name = text(port, "name");
            if ports.len() > 1 && name.is_empty() {
                errors.push(FieldError::required(&path.child("name"), ""));
            } else if !name.is_empty() {
                push_all(errors, &path.child("name"), name, dns_1123_label(name));
            }
            let number = integer(port, "port").unwrap_or(0);
            push_all_number(errors, &path.child("port"), number, port_number(number));
            one_of(errors, &path.child("protocol"), text(port, "protocol"), &PROTOCOLS);
        }
    }
}

/// An address that traffic can be sent to: none of the special ones.
pub(super) fn validate_endpoint_address(errors: &mut Vec<FieldError>, address: &str, path: &Path) {
    let Ok(parsed) = address.parse::<IpAddr>() else {
        return;
    };
    let (link_local, multicast) = match parsed {
        IpAddr::V4(v4) => {
            (v4.is_link_local(), v4.octets()[0] == 224 && v4.octets()[1] == 0 && v4.octets()[2] == 0)
        }
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    };
    let checks = [
        (parsed.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (parsed.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ];
    for (applies, detail) in checks {
        if applies {
            errors.push(FieldError::invalid(path, address, detail));
        }
    }
}
