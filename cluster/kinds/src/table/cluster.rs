//! The cluster and what configures it: nodes, namespaces, events, configuration, quotas, leases, classes.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{NONE, age, name, scalar, since, text_or, time};
use super::{AGE, NAME, Printer, Spec, spec, wide};
use crate::fields::{at, count, entries, integer, is_true, items, text};

pub(super) static NODE: Printer = Printer {
    columns: &[
        NAME,
        spec("Status", "string", "Whether the node is ready and takes pods"),
        spec("Roles", "string", "Roles from the node's labels"),
        AGE,
        spec("Version", "string", "Version of the node agent"),
        wide("Internal-IP", "string", "The node's address inside the cluster"),
        wide("External-IP", "string", "The node's address outside the cluster"),
        wide("OS-Image", "string", "The operating system"),
        wide("Kernel-Version", "string", "The kernel"),
        wide("Container-Runtime", "string", "The container runtime"),
    ],
    cells: |object, now| {
        vec![
            name(object),
            node_status(object).into(),
            node_roles(object).into(),
            age(object, now),
            text(object, "status.nodeInfo.kubeletVersion").into(),
            node_address(object, "InternalIP").into(),
            node_address(object, "ExternalIP").into(),
            text_or(object, "status.nodeInfo.osImage", "<unknown>").into(),
            text_or(object, "status.nodeInfo.kernelVersion", "<unknown>").into(),
            text_or(object, "status.nodeInfo.containerRuntimeVersion", "<unknown>").into(),
        ]
    },
};

fn node_status(node: &Value) -> String {
    let ready = items(node, "status.conditions").iter().rfind(|c| text(c, "type") == "Ready");
    let status = match ready.map(|c| text(c, "status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if is_true(node, "spec.unschedulable") {
        format!("{status},SchedulingDisabled")
    } else {
        status.to_owned()
    }
}

fn node_roles(node: &Value) -> String {
    let mut roles: Vec<&str> = entries(node, "metadata.labels")
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn node_address<'a>(node: &'a Value, kind: &str) -> &'a str {
    items(node, "status.addresses")
        .iter()
        .find(|address| text(address, "type") == kind)
        .map_or(NONE, |address| text(address, "address"))
}

pub(super) static NAMESPACE: Printer = Printer {
    columns: &[NAME, spec("Status", "string", "Active, or Terminating while it is being deleted"), AGE],
    cells: |object, now| vec![name(object), text(object, "status.phase").into(), age(object, now)],
};

pub(super) static CONFIG_MAP: Printer = Printer {
    columns: &[NAME, spec("Data", "string", "How many entries it has"), AGE],
    cells: |object, now| {
        vec![name(object), (count(object, "data") + count(object, "binaryData")).into(), age(object, now)]
    },
};

pub(super) static SECRET: Printer = Printer {
    columns: &[
        NAME,
        spec("Type", "string", "What the secret is for"),
        spec("Data", "string", "How many entries it has"),
        AGE,
    ],
    cells: |object, now| {
        vec![name(object), text(object, "type").into(), count(object, "data").into(), age(object, now)]
    },
};

pub(super) static EVENT: Printer = Printer {
    columns: &[
        spec("Last Seen", "string", "When it happened last"),
        spec("Type", "string", "Normal or Warning"),
        spec("Reason", "string", "What happened, in one word"),
        spec("Object", "string", "What it happened to"),
        wide("Subobject", "string", "The part of the object"),
        wide("Source", "string", "Who reported it"),
        spec("Message", "string", "What happened"),
        wide("First Seen", "string", "When it happened first"),
        wide("Count", "string", "How often it happened"),
        Spec { priority: 1, ..NAME },
    ],
    cells: event,
};

/// Events of `v1` and of `events.k8s.io/v1`, which name some fields differently.
fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let either = |first: &str, second: &str| text_or(event, first, text(event, second)).to_owned();
    let moment = |first: &str, second: &str| time(event, first).or_else(|| time(event, second));
    let first = moment("firstTimestamp", "deprecatedFirstTimestamp").or_else(|| time(event, "eventTime"));
    let mut last = moment("lastTimestamp", "deprecatedLastTimestamp").or(first);
    let mut times = integer(event, "count").or_else(|| integer(event, "deprecatedCount")).unwrap_or(0);
    if at(event, "series").is_some() {
        last = time(event, "series.lastObservedTime");
        times = integer(event, "series.count").unwrap_or(0);
    } else if times == 0 {
        times = 1;
    }
    let object = if at(event, "regarding").is_some() { "regarding" } else { "involvedObject" };
    let kind = text(event, &format!("{object}.kind")).to_lowercase();
    let target = match text(event, &format!("{object}.name")) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let reporter = |field: &str, fallback: &str| {
        let source = either(&format!("source.{field}"), &format!("deprecatedSource.{field}"));
        if source.is_empty() { text(event, fallback).to_owned() } else { source }
    };
    // `v1` events call it reportingComponent.
    let component = match reporter("component", "reportingController") {
        none if none.is_empty() => text(event, "reportingComponent").to_owned(),
        component => component,
    };
    let source = match reporter("host", "reportingInstance") {
        none if none.is_empty() => component,
        host => format!("{component}, {host}"),
    };
    vec![
        since(last, now).into(),
        text(event, "type").into(),
        text(event, "reason").into(),
        target.into(),
        text(event, &format!("{object}.fieldPath")).into(),
        source.into(),
        either("message", "note").trim().into(),
        since(first, now).into(),
        times.into(),
        name(event),
    ]
}

pub(super) static RESOURCE_QUOTA: Printer = Printer {
    columns: &[
        NAME,
        spec("Request", "string", "Used of allowed: requests and counts"),
        spec("Limit", "string", "Used of allowed: limits"),
        AGE,
    ],
    cells: |object, now| {
        let mut hard: Vec<_> = entries(object, "status.hard").collect();
        hard.sort_by_key(|(resource, _)| *resource);
        let line = |limits: bool| {
            let parts: Vec<String> = hard
                .iter()
                .filter(|(resource, _)| resource.starts_with("limits.") == limits)
                .map(|(resource, hard)| {
                    let used = at(object, "status.used").and_then(|used| used.get(resource.as_str()));
                    let quantity = |value| scalar(value).unwrap_or_else(|| "0".to_owned());
                    format!("{resource}: {}/{}", quantity(used), quantity(Some(hard)))
                })
                .collect();
            parts.join(", ")
        };
        vec![name(object), line(false).into(), line(true).into(), age(object, now)]
    },
};

pub(super) static PRIORITY_CLASS: Printer = Printer {
    columns: &[
        NAME,
        spec("Value", "integer", "The priority"),
        spec("Global-Default", "boolean", "Whether pods without a class get it"),
        AGE,
        spec("PreemptionPolicy", "string", "Whether such pods push others out"),
    ],
    cells: |object, now| {
        vec![
            name(object),
            integer(object, "value").unwrap_or(0).into(),
            is_true(object, "globalDefault").into(),
            age(object, now),
            text_or(object, "preemptionPolicy", "PreemptLowerPriority").into(),
        ]
    },
};

pub(super) static RUNTIME_CLASS: Printer = Printer {
    columns: &[NAME, spec("Handler", "string", "The runtime's configuration"), AGE],
    cells: |object, now| vec![name(object), text(object, "handler").into(), age(object, now)],
};

pub(super) static LEASE: Printer = Printer {
    columns: &[NAME, spec("Holder", "string", "Who holds the lease"), AGE],
    cells: |object, now| vec![name(object), text(object, "spec.holderIdentity").into(), age(object, now)],
};
