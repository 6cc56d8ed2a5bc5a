//! How traffic finds pods: services, endpoints, ingresses, network policies.

use serde_json::Value;

use super::format::{
    NONE, UNSET, age, host_port, labels, load_balancer, name, selector_or_none, shortened, text_or,
};
use super::{AGE, NAME, Printer, spec, wide};
use crate::fields::{at, count, integer, items, text};

pub(super) static SERVICE: Printer = Printer {
    columns: &[
        NAME,
        spec("Type", "string", "How the service is exposed"),
        spec("Cluster-IP", "string", "Its address inside the cluster"),
        spec("External-IP", "string", "Its addresses outside the cluster"),
        spec("Port(s)", "string", "Ports, node ports and protocols"),
        AGE,
        wide("Selector", "string", "Which pods serve"),
    ],
    cells: |object, now| {
        vec![
            name(object),
            text(object, "spec.type").into(),
            text_or(object, "spec.clusterIP", NONE).into(),
            external_ip(object).into(),
            ports(object).into(),
            age(object, now),
            labels(object, "spec.selector").into(),
        ]
    },
};

fn external_ip(service: &Value) -> String {
    let given: Vec<&str> = items(service, "spec.externalIPs").iter().filter_map(Value::as_str).collect();
    let given = given.join(",");
    match text(service, "spec.type") {
        "ClusterIP" | "NodePort" if given.is_empty() => NONE.to_owned(),
        "ClusterIP" | "NodePort" => given,
        "LoadBalancer" => match (load_balancer(service), given) {
            (balancer, given) if balancer.is_empty() && given.is_empty() => "<pending>".to_owned(),
            (balancer, given) if given.is_empty() => balancer,
            (balancer, given) if balancer.is_empty() => given,
            (balancer, given) => format!("{balancer},{given}"),
        },
        "ExternalName" => text(service, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(service: &Value) -> String {
    let ports: Vec<String> = items(service, "spec.ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (integer(port, "port").unwrap_or(0), text(port, "protocol"));
            match integer(port, "nodePort").unwrap_or(0) {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() { NONE.to_owned() } else { ports.join(",") }
}

pub(super) static INGRESS: Printer = Printer {
    columns: &[
        NAME,
        spec("Class", "string", "The ingress class"),
        spec("Hosts", "string", "Hosts of the rules"),
        spec("Address", "string", "Where the load balancer is reached"),
        spec("Ports", "string", "Ports that it listens on"),
        AGE,
    ],
    cells: |object, now| {
        let tls = count(object, "spec.tls") > 0;
        vec![
            name(object),
            text_or(object, "spec.ingressClassName", NONE).into(),
            hosts(object).into(),
            load_balancer(object).into(),
            if tls { "80, 443" } else { "80" }.into(),
            age(object, now),
        ]
    },
};

fn hosts(ingress: &Value) -> String {
    let rules = items(ingress, "spec.rules");
    let mut hosts = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= hosts.len() == 3;
        let host = text(rule, "host");
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    match (hosts.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, false) => hosts.join(","),
        // Kubernetes counts rules here, also those without a host.
        (false, true) => format!("{} + {} more...", hosts.join(","), rules.len() - 3),
    }
}

pub(super) static INGRESS_CLASS: Printer = Printer {
    columns: &[
        NAME,
        spec("Controller", "string", "The controller that serves the class"),
        spec("Parameters", "string", "The object with the controller's parameters"),
        AGE,
    ],
    cells: |object, now| {
        let parameters = at(object, "spec.parameters").map_or(NONE.to_owned(), |parameters| {
            let kind = text(parameters, "kind");
            match text(parameters, "apiGroup") {
                "" => format!("{kind}/{}", text(parameters, "name")),
                group => format!("{kind}.{group}/{}", text(parameters, "name")),
            }
        });
        vec![name(object), text(object, "spec.controller").into(), parameters.into(), age(object, now)]
    },
};

pub(super) static NETWORK_POLICY: Printer = Printer {
    columns: &[NAME, spec("Pod-Selector", "string", "Which pods the policy is for"), AGE],
    cells: |object, now| {
        vec![name(object), selector_or_none(object, "spec.podSelector").into(), age(object, now)]
    },
};

pub(super) static ENDPOINTS: Printer = Printer {
    columns: &[NAME, spec("Endpoints", "string", "Addresses and ports of the ready pods"), AGE],
    cells: |object, now| vec![name(object), endpoints(object).into(), age(object, now)],
};

fn endpoints(object: &Value) -> String {
    let subsets = items(object, "subsets");
    if subsets.is_empty() {
        return NONE.to_owned();
    }
    let mut list = Vec::new();
    for subset in subsets {
        let addresses = || items(subset, "addresses").iter().map(|address| text(address, "ip"));
        let ports = items(subset, "ports");
        if ports.is_empty() {
            // A headless service may have no ports.
            list.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = integer(port, "port").unwrap_or(0);
            list.extend(addresses().map(|ip| host_port(ip, port)));
        }
    }
    shortened(&list, 3, ",")
}

pub(super) static ENDPOINT_SLICE: Printer = Printer {
    columns: &[
        NAME,
        spec("AddressType", "string", "The type of the addresses"),
        spec("Ports", "string", "Ports of the endpoints"),
        spec("Endpoints", "string", "Addresses of the endpoints"),
        AGE,
    ],
    cells: |object, now| {
        let ports: Vec<String> = items(object, "ports")
            .iter()
            .map(|port| match integer(port, "port") {
                Some(number) => number.to_string(),
                None if at(port, "name").is_some() => text(port, "name").to_owned(),
                None => "*".to_owned(),
            })
            .collect();
        let addresses: Vec<String> = items(object, "endpoints")
            .iter()
            .flat_map(|endpoint| items(endpoint, "addresses"))
            .filter_map(|address| address.as_str().map(str::to_owned))
            .collect();
        let list = |list: &[String]| match shortened(list, 3, ",") {
            text if text.is_empty() => UNSET.to_owned(),
            text => text,
        };
        vec![
            name(object),
            text(object, "addressType").into(),
            list(&ports).into(),
            list(&addresses).into(),
            age(object, now),
        ]
    },
};
