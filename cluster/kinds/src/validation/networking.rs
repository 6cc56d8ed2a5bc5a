//! Ingresses and network policies.

use std::net::IpAddr;

use serde_json::Value;

use super::containers::PROTOCOLS;
use super::formats::{
    dns_1035_label, dns_1123_subdomain, http_path, parse_cidr, path_segment, port_name, port_number,
    same_network, wildcard_subdomain,
};
use super::labels::validate_selector;
use super::{one_of, push_all, push_all_number};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, count, integer, items, text};

pub(super) const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Checks an Ingress' spec.
pub(super) fn validate_ingress(errors: &mut Vec<FieldError>, ingress: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = ingress.get("spec").unwrap_or(&empty);
    let rules = items(spec, "rules");
    let default = at(spec, "defaultBackend");
    if rules.is_empty() && default.is_none() {
        errors.push(FieldError::invalid(
            &path,
            rules.to_vec(),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if let Some(backend) = default {
        validate_backend(errors, backend, &path.child("defaultBackend"));
    }
    for (index, rule) in rules.iter().enumerate() {
        validate_rule(errors, rule, &path.child("rules").index(index));
    }
    for (index, tls) in items(spec, "tls").iter().enumerate() {
        let path = path.child("tls").index(index);
        for (index, host) in items(tls, "hosts").iter().enumerate() {
            let host = host.as_str().unwrap_or_default();
            let wrong = if host.contains('*') { wildcard_subdomain(host) } else { dns_1123_subdomain(host) };
            push_all(errors, &path.child("hosts").index(index), host, wrong);
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            push_all(errors, &path.child("secretName"), secret, dns_1123_subdomain(secret));
        }
    }
    if let Some(class) = at(spec, "ingressClassName").and_then(Value::as_str) {
        push_all(errors, &path.child("ingressClassName"), class, dns_1123_subdomain(class));
    }
}

/// A new Ingress names its class in one way.
pub(super) fn validate_ingress_class_choice(errors: &mut Vec<FieldError>, ingress: &Value) {
    const ANNOTATION: &str = "kubernetes.io/ingress.class";
    let annotation = at(ingress, "metadata.annotations").and_then(|all| all.get(ANNOTATION));
    if let Some(value) = annotation
        && let Some(class) = at(ingress, "spec.ingressClassName")
        && value != class
    {
        errors.push(FieldError::invalid(
            &Path::new("annotations").child(ANNOTATION),
            value.clone(),
            "must match `ingressClassName` when both are specified",
        ));
    }
}

fn validate_rule(errors: &mut Vec<FieldError>, rule: &Value, path: &Path) {
    let host = text(rule, "host");
    let host_path = path.child("host");
    if !host.is_empty() {
        if host.parse::<IpAddr>().is_ok() {
            errors.push(FieldError::invalid(&host_path, host, "must be a DNS name, not an IP address"));
        }
        let wrong = if host.contains('*') { wildcard_subdomain(host) } else { dns_1123_subdomain(host) };
        push_all(errors, &host_path, host, wrong);
    }
    let Some(http) = at(rule, "http") else {
        return;
    };
    let path = path.child("http.paths");
    if count(http, "paths") == 0 {
        errors.push(FieldError::required(&path, ""));
    }
    for (index, one) in items(http, "paths").iter().enumerate() {
        validate_http_path(errors, one, &path.index(index));
    }
}

fn validate_http_path(errors: &mut Vec<FieldError>, one: &Value, path: &Path) {
    let Some(kind) = at(one, "pathType").and_then(Value::as_str) else {
        errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified"));
        return;
    };
    let given = text(one, "path");
    let given_path = path.child("path");
    let mut wrong = |detail: String| {
        errors.push(FieldError::invalid(&given_path, given, detail));
    };
    match kind {
        "Exact" | "Prefix" => {
            if !given.starts_with('/') {
                wrong("must be an absolute path".to_owned());
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if given.contains(part) {
                    wrong(format!("must not contain '{part}'"));
                }
            }
            for end in ["/..", "/."] {
                if given.ends_with(end) {
                    wrong(format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !given.is_empty() && !given.starts_with('/') {
                wrong("must be an absolute path".to_owned());
            }
        }
        _ => errors.push(FieldError::not_supported(
            &path.child("pathType"),
            kind,
            &["Exact", "ImplementationSpecific", "Prefix"],
        )),
    }
    let empty = Value::Null;
    let backend = one.get("backend").unwrap_or(&empty);
    validate_backend(errors, backend, &path.child("backend"));
}

fn validate_backend(errors: &mut Vec<FieldError>, backend: &Value, path: &Path) {
    match (at(backend, "resource"), at(backend, "service")) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"))
        }
        (Some(resource), None) => {
            validate_reference(errors, resource, &path.child("resource"));
        }
        (None, Some(service)) => {
            let name = text(service, "name");
            let name_path = path.child("service.name");
            if name.is_empty() {
                errors.push(FieldError::required(&name_path, ""));
            } else {
                push_all(errors, &name_path, name, dns_1035_label(name));
            }
            let port = text(service, "port.name");
            let number = integer(service, "port.number").unwrap_or(0);
            match (port.is_empty(), number) {
                (false, 0) => push_all(errors, &path.child("service.port.name"), port, port_name(port)),
                (false, _) => {
                    errors.push(FieldError::invalid(path, "", "cannot set both port name & port number"))
                }
                (true, 0) => errors.push(FieldError::required(path, "port name or number is required")),
                (true, _) => {
                    push_all_number(errors, &path.child("service.port.number"), number, port_number(number))
                }
            }
        }
        (None, None) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
    }
}

/// A reference to an object by group, kind and name.
fn validate_reference(errors: &mut Vec<FieldError>, reference: &Value, path: &Path) {
    if let Some(group) = at(reference, "apiGroup").and_then(Value::as_str) {
        push_all(errors, &path.child("apiGroup"), group, dns_1123_subdomain(group));
    }
    for field in ["kind", "name"] {
        let value = text(reference, field);
        if value.is_empty() {
            errors.push(FieldError::required(&path.child(field), format!("{field} is required")));
        } else {
            push_all(errors, &path.child(field), value, path_segment(value, false));
        }
    }
}

/// Checks an IngressClass' spec.
pub(super) fn validate_ingress_class(errors: &mut Vec<FieldError>, class: &Value) {
    const LIMIT: usize = 250;
    let path = Path::new("spec.controller");
    let controller = text(class, "spec.controller");
    if controller.len() > LIMIT {
        errors.push(FieldError::too_long(&path, LIMIT));
    }
    match controller.split_once('/') {
        _ if controller.is_empty() => errors.push(FieldError::required(&path, "")),
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            push_all(errors, &path, host, dns_1123_subdomain(host));
            push_all(errors, &path, rest, http_path(rest));
        }
        _ => errors.push(FieldError::invalid(
            &path,
            controller,
            "must be a domain-prefixed path (such as \"acme.io/foo\")",
        )),
    }
    if let Some(parameters) = at(class, "spec.parameters") {
        let path = Path::new("spec.parameters");
        validate_reference(errors, parameters, &path);
        let namespace = text(parameters, "namespace");
        match text(parameters, "scope") {
            "Cluster" if !namespace.is_empty() => errors.push(FieldError::forbidden(
                &path.child("namespace"),
                "`parameters.scope` is set to 'Cluster'",
            )),
            "Namespace" if namespace.is_empty() => errors.push(FieldError::required(
                &path.child("namespace"),
                "`parameters.scope` is set to 'Namespace'",
            )),
            "Cluster" | "Namespace" => {}
            scope => one_of(errors, &path.child("scope"), scope, &["Cluster", "Namespace"]),
        }
    }
}

/// Checks a NetworkPolicy's spec.
pub(super) fn validate_policy(errors: &mut Vec<FieldError>, policy: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = policy.get("spec").unwrap_or(&empty);
    if let Some(selector) = at(spec, "podSelector") {
        validate_selector(errors, selector, &path.child("podSelector"));
    }
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(spec, direction).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in items(rule, "ports").iter().enumerate() {
                validate_policy_port(errors, port, &path.child("ports").index(index));
            }
            for (index, peer) in items(rule, peers).iter().enumerate() {
                validate_peer(errors, peer, &path.child(peers).index(index));
            }
        }
    }
    let kinds = items(spec, "policyTypes");
    let path = path.child("policyTypes");
    if kinds.len() > 2 {
        errors.push(FieldError::invalid(&path, kinds.to_vec(), "may not specify more than two policyTypes"));
        return;
    }
    for (index, kind) in kinds.iter().enumerate() {
        let kind = kind.as_str().unwrap_or_default();
        if !matches!(kind, "Ingress" | "Egress") {
            errors.push(FieldError::not_supported(&path.index(index), kind, &["Ingress", "Egress"]));
        }
    }
}

fn validate_policy_port(errors: &mut Vec<FieldError>, port: &Value, path: &Path) {
    if let Some(protocol) = at(port, "protocol").and_then(Value::as_str)
        && !PROTOCOLS.contains(&protocol)
    {
        errors.push(FieldError::not_supported(&path.child("protocol"), protocol, &["TCP", "UDP", "SCTP"]));
    }
    let end = integer(port, "endPort");
    let end_path = path.child("endPort");
    match at(port, "port") {
        Some(Value::String(name)) => {
            push_all(errors, &path.child("port"), name, port_name(name));
            if let Some(end) = end {
                errors.push(FieldError::invalid(
                    &end_path,
                    end,
                    "may not be specified when `port` is non-numeric",
                ));
            }
        }
        Some(number) => {
            let number = number.as_i64().unwrap_or(0);
            push_all_number(errors, &path.child("port"), number, port_number(number));
            if let Some(end) = end {
                if end < number {
                    errors.push(FieldError::invalid(
                        &end_path,
                        end,
                        "must be greater than or equal to `port`",
                    ));
                }
                push_all_number(errors, &end_path, end, port_number(end));
            }
        }
        None => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(
                    &end_path,
                    end,
                    "may not be specified when `port` is not specified",
                ));
            }
        }
    }
}

fn validate_peer(errors: &mut Vec<FieldError>, peer: &Value, path: &Path) {
    let mut selected = false;
    for field in ["podSelector", "namespaceSelector"] {
        if let Some(selector) = at(peer, field) {
            selected = true;
            validate_selector(errors, selector, &path.child(field));
        }
    }
    let block = at(peer, "ipBlock");
    if let Some(block) = block {
        validate_block(errors, block, &path.child("ipBlock"));
    }
    if !selected && block.is_none() {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if selected && block.is_some() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
}

fn validate_block(errors: &mut Vec<FieldError>, block: &Value, path: &Path) {
    let given = text(block, "cidr");
    let cidr_path = path.child("cidr");
    if given.is_empty() {
        errors.push(FieldError::required(&cidr_path, ""));
        return;
    }
    let Some((network, bits)) = parse_cidr(given) else {
        errors.push(FieldError::invalid(&cidr_path, given, NOT_A_CIDR));
        return;
    };
    for (index, except) in items(block, "except").iter().enumerate() {
        let except = except.as_str().unwrap_or_default();
        let path = path.child("except").index(index);
        match parse_cidr(except) {
            None => errors.push(FieldError::invalid(&path, except, NOT_A_CIDR)),
            Some((part, part_bits)) => {
                if part_bits <= bits || !same_network(network, part, bits) {
                    errors.push(FieldError::invalid(&path, except, "must be a strict subset of `cidr`"));
                }
            }
        }
    }
}
