//! Pods: how far they are, in one word.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::format::{NONE, age, condition, name, since, text_or, time};
use super::{Printer, Spec, spec, wide};
use crate::fields::{at, count, integer, is_true, items, text};

pub(super) static POD: Printer = Printer {
    columns: &[
        super::NAME,
        spec("Ready", "string", "Ready containers of all that keep running"),
        spec("Status", "string", "What the pod is doing, or why it is not running"),
        spec("Restarts", "string", "How often containers were restarted, and when last"),
        super::AGE,
        wide("IP", "string", "The pod's primary address"),
        wide("Node", "string", "The node that the pod is bound to"),
        wide("Nominated Node", "string", "The node where room is being made for the pod"),
        wide("Readiness Gates", "string", "Readiness gates that hold, of all"),
    ],
    cells: pod,
};

const COLUMNS_OF_TEMPLATE: &[Spec] = &[
    super::NAME,
    spec("Containers", "string", "Names of the template's containers"),
    spec("Images", "string", "Images of the template's containers"),
    spec("Pod Labels", "string", "Labels of the template's pods"),
];

pub(super) static POD_TEMPLATE: Printer = Printer {
    columns: COLUMNS_OF_TEMPLATE,
    cells: |object, _now| {
        let [names, images] = super::format::containers(object, "template.spec.containers");
        vec![name(object), names, images, super::format::labels(object, "template.metadata.labels").into()]
    },
};

/// The row condition of a pod that has run to its end; kubectl may leave such rows out.
pub(super) fn row_conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(pod, "status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn pod(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summarize(pod);
    let restarts = match (summary.restarts.count, summary.restarts.last) {
        (0, _) | (_, None) => summary.restarts.count.to_string(),
        (count, last) => format!("{count} ({} ago)", since(last, now)),
    };
    let address = items(pod, "status.podIPs").first().map_or("", |ip| text(ip, "ip"));
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts.into(),
        age(pod, now),
        if address.is_empty() { NONE } else { address }.into(),
        text_or(pod, "spec.nodeName", NONE).into(),
        text_or(pod, "status.nominatedNodeName", NONE).into(),
        readiness_gates(pod).into(),
    ]
}

struct Summary {
    ready: usize,
    total: usize,
    status: String,
    restarts: Restarts,
}

#[derive(Default, Clone, Copy)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += integer(status, "restartCount").unwrap_or(0);
        self.last = self.last.max(time(status, "lastState.terminated.finishedAt"));
    }
}

fn summarize(pod: &Value) -> Summary {
    // A restartable init container (sidecar, KEP-753) counts like a container.
    let is_sidecar = |name: &str| {
        items(pod, "spec.initContainers")
            .iter()
            .any(|c| text(c, "name") == name && text(c, "restartPolicy") == "Always")
    };
    let sidecars =
        items(pod, "spec.initContainers").iter().filter(|c| text(c, "restartPolicy") == "Always").count();
    let mut summary = Summary {
        ready: 0,
        total: count(pod, "spec.containers") + sidecars,
        status: text_or(pod, "status.reason", text(pod, "status.phase")).to_owned(),
        restarts: Restarts::default(),
    };
    let gated = items(pod, "status.conditions")
        .iter()
        .any(|c| text(c, "type") == "PodScheduled" && text(c, "reason") == "SchedulingGated");
    if gated {
        summary.status = "SchedulingGated".to_owned();
    }

    let mut initializing = false;
    let mut sidecar_restarts = Restarts::default();
    for (index, status) in items(pod, "status.initContainerStatuses").iter().enumerate() {
        let sidecar = is_sidecar(text(status, "name"));
        summary.restarts.add(status);
        if sidecar {
            sidecar_restarts.add(status);
        }
        let terminated = at(status, "state.terminated");
        if terminated.is_some_and(|t| integer(t, "exitCode").unwrap_or(0) == 0) {
            continue;
        }
        if sidecar && is_true(status, "started") {
            summary.ready += usize::from(is_true(status, "ready"));
            continue;
        }
        let waiting = text(status, "state.waiting.reason");
        summary.status = match terminated {
            Some(terminated) => format!("Init:{}", end_of(terminated)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{index}/{}", count(pod, "spec.initContainers")),
        };
        initializing = true;
        break;
    }

    if !initializing || condition(pod, "Initialized") {
        summary.restarts = sidecar_restarts;
        let mut running = false;
        // From the last to the first: the first container's trouble is the one to show.
        for status in items(pod, "status.containerStatuses").iter().rev() {
            summary.restarts.add(status);
            let waiting = text(status, "state.waiting.reason");
            if !waiting.is_empty() {
                summary.status = waiting.to_owned();
            } else if let Some(terminated) = at(status, "state.terminated") {
                summary.status = end_of(terminated);
            } else if is_true(status, "ready") && at(status, "state.running").is_some() {
                running = true;
                summary.ready += 1;
            }
        }
        if summary.status == "Completed" && running {
            summary.status = if condition(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }

    if at(pod, "metadata.deletionTimestamp").is_some() {
        if text(pod, "status.reason") == "NodeLost" {
            summary.status = "Unknown".to_owned();
        } else if !matches!(text(pod, "status.phase"), "Succeeded" | "Failed") {
            summary.status = "Terminating".to_owned();
        }
    }
    summary
}

/// How a container ended: its reason, else its signal, else its exit code.
fn end_of(terminated: &Value) -> String {
    let reason = text(terminated, "reason");
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match integer(terminated, "signal").unwrap_or(0) {
        0 => format!("ExitCode:{}", integer(terminated, "exitCode").unwrap_or(0)),
        signal => format!("Signal:{signal}"),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "spec.readinessGates");
    if gates.is_empty() {
        return NONE.to_owned();
    }
    let holding = gates.iter().filter(|gate| condition(pod, text(gate, "conditionType"))).count();
    format!("{holding}/{}", gates.len())
}
