//! What runs pods: deployments, sets, jobs, their autoscalers and budgets.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{
    NONE, UNSET, age, condition, containers, human_duration, labels, name, scalar, seconds_between, selector,
    selector_or_none, shortened, since, text_or, time,
};
use super::{AGE, NAME, Printer, Spec, spec, wide};
use crate::fields::{at, count, integer, is_true, items, text};

const CONTAINERS: Spec = wide("Containers", "string", "Names of the template's containers");
const IMAGES: Spec = wide("Images", "string", "Images of the template's containers");
const SELECTOR: Spec = wide("Selector", "string", "Which pods belong to it");
const TEMPLATE: &str = "spec.template.spec.containers";

fn number(object: &Value, path: &str) -> i64 {
    integer(object, path).unwrap_or(0)
}

const REPLICA_COLUMNS: &[Spec] = &[
    NAME,
    spec("Desired", "integer", "Wanted pods"),
    spec("Current", "integer", "Pods that exist"),
    spec("Ready", "integer", "Pods that are ready"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(super) static REPLICATION_CONTROLLER: Printer = Printer {
    columns: REPLICA_COLUMNS,
    cells: |object, now| replicas(object, now, labels(object, "spec.selector")),
};

pub(super) static REPLICA_SET: Printer = Printer {
    columns: REPLICA_COLUMNS,
    cells: |object, now| replicas(object, now, selector_or_none(object, "spec.selector")),
};

fn replicas(object: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let [names, images] = containers(object, TEMPLATE);
    vec![
        name(object),
        number(object, "spec.replicas").into(),
        number(object, "status.replicas").into(),
        number(object, "status.readyReplicas").into(),
        age(object, now),
        names,
        images,
        selector.into(),
    ]
}

pub(super) static DEPLOYMENT: Printer = Printer {
    columns: &[
        NAME,
        spec("Ready", "string", "Ready pods of those wanted"),
        spec("Up-to-date", "integer", "Pods of the current template"),
        spec("Available", "integer", "Pods ready for at least minReadySeconds"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(object, TEMPLATE);
        vec![
            name(object),
            ready(object),
            number(object, "status.updatedReplicas").into(),
            number(object, "status.availableReplicas").into(),
            age(object, now),
            names,
            images,
            selector(object, "spec.selector").into(),
        ]
    },
};

fn ready(object: &Value) -> Value {
    format!("{}/{}", number(object, "status.readyReplicas"), number(object, "spec.replicas")).into()
}

pub(super) static STATEFUL_SET: Printer = Printer {
    columns: &[NAME, spec("Ready", "string", "Ready pods of those wanted"), AGE, CONTAINERS, IMAGES],
    cells: |object, now| {
        let [names, images] = containers(object, TEMPLATE);
        vec![name(object), ready(object), age(object, now), names, images]
    },
};

pub(super) static DAEMON_SET: Printer = Printer {
    columns: &[
        NAME,
        spec("Desired", "integer", "Nodes that should run the pod"),
        spec("Current", "integer", "Nodes that run at least one and should"),
        spec("Ready", "integer", "Nodes with a ready pod"),
        spec("Up-to-date", "integer", "Nodes with a pod of the current template"),
        spec("Available", "integer", "Nodes with an available pod"),
        spec("Node Selector", "string", "Labels of the nodes that run the pod"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(object, TEMPLATE);
        vec![
            name(object),
            number(object, "status.desiredNumberScheduled").into(),
            number(object, "status.currentNumberScheduled").into(),
            number(object, "status.numberReady").into(),
            number(object, "status.updatedNumberScheduled").into(),
            number(object, "status.numberAvailable").into(),
            labels(object, "spec.template.spec.nodeSelector").into(),
            age(object, now),
            names,
            images,
            selector_or_none(object, "spec.selector").into(),
        ]
    },
};

pub(super) static CONTROLLER_REVISION: Printer = Printer {
    columns: &[
        NAME,
        spec("Controller", "string", "The object whose revision this is"),
        spec("Revision", "string", "The number of the revision"),
        AGE,
    ],
    cells: |object, now| {
        let controller =
            items(object, "metadata.ownerReferences").iter().find(|owner| is_true(owner, "controller"));
        let controller = controller.map_or(NONE.to_owned(), |owner| {
            let kind = text(owner, "kind").to_lowercase();
            match text(owner, "apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", text(owner, "name")),
                None => format!("{kind}/{}", text(owner, "name")),
            }
        });
        vec![name(object), controller.into(), number(object, "revision").into(), age(object, now)]
    },
};

pub(super) static JOB: Printer = Printer {
    columns: &[
        NAME,
        spec("Status", "string", "How far the job is"),
        spec("Completions", "string", "Pods that succeeded, of those needed"),
        spec("Duration", "string", "Time from start to completion"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(object, TEMPLATE);
        vec![
            name(object),
            job_status(object).into(),
            job_completions(object).into(),
            job_duration(object, now).into(),
            age(object, now),
            names,
            images,
            selector_or_none(object, "spec.selector").into(),
        ]
    },
};

fn job_status(job: &Value) -> &'static str {
    if condition(job, "Complete") {
        "Complete"
    } else if condition(job, "Failed") {
        "Failed"
    } else if at(job, "metadata.deletionTimestamp").is_some() {
        "Terminating"
    } else if condition(job, "Suspended") {
        "Suspended"
    } else if condition(job, "FailureTarget") {
        "FailureTarget"
    } else {
        "Running"
    }
}

fn job_completions(job: &Value) -> String {
    let succeeded = number(job, "status.succeeded");
    match (integer(job, "spec.completions"), number(job, "spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let Some(start) = time(job, "status.startTime") else { return String::new() };
    human_duration(seconds_between(start, time(job, "status.completionTime").unwrap_or(now)))
}

pub(super) static CRON_JOB: Printer = Printer {
    columns: &[
        NAME,
        spec("Schedule", "string", "When it runs, in cron's notation"),
        spec("Timezone", "string", "The time zone of the schedule"),
        spec("Suspend", "boolean", "Whether no new runs are started"),
        spec("Active", "integer", "Jobs that are running"),
        spec("Last Schedule", "string", "When a run was last due"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    cells: |object, now| {
        let [names, images] = containers(object, "spec.jobTemplate.spec.template.spec.containers");
        let suspend = match at(object, "spec.suspend").and_then(Value::as_bool) {
            Some(true) => "True",
            Some(false) => "False",
            None => UNSET,
        };
        let last = at(object, "status.lastScheduleTime").map(|_| time(object, "status.lastScheduleTime"));
        vec![
            name(object),
            text(object, "spec.schedule").into(),
            text_or(object, "spec.timeZone", NONE).into(),
            suspend.into(),
            count(object, "status.active").into(),
            last.map_or(NONE.to_owned(), |last| since(last, now)).into(),
            age(object, now),
            names,
            images,
            selector_or_none(object, "spec.jobTemplate.spec.selector").into(),
        ]
    },
};

pub(super) static POD_DISRUPTION_BUDGET: Printer = Printer {
    columns: &[
        NAME,
        spec("Min Available", "string", "Pods that must stay available"),
        spec("Max Unavailable", "string", "Pods that may be unavailable"),
        spec("Allowed Disruptions", "integer", "Pods that may be evicted now"),
        AGE,
    ],
    cells: |object, now| {
        let bound = |path| scalar(at(object, path)).unwrap_or_else(|| "N/A".to_owned());
        vec![
            name(object),
            bound("spec.minAvailable").into(),
            bound("spec.maxUnavailable").into(),
            number(object, "status.disruptionsAllowed").into(),
            age(object, now),
        ]
    },
};

pub(super) static HORIZONTAL_POD_AUTOSCALER: Printer = Printer {
    columns: &[
        NAME,
        spec("Reference", "string", "What is scaled"),
        spec("Targets", "string", "Metrics: current value and target"),
        spec("MinPods", "string", "Fewest pods"),
        spec("MaxPods", "string", "Most pods"),
        spec("Replicas", "string", "Pods now"),
        AGE,
    ],
    cells: |object, now| {
        let target = |field| text(object, field);
        vec![
            name(object),
            format!("{}/{}", target("spec.scaleTargetRef.kind"), target("spec.scaleTargetRef.name")).into(),
            metrics(object).into(),
            integer(object, "spec.minReplicas").map_or(UNSET.to_owned(), |n| n.to_string()).into(),
            number(object, "spec.maxReplicas").into(),
            number(object, "status.currentReplicas").into(),
            age(object, now),
        ]
    },
};

/// The targets of an autoscaler, of which the first two are shown.
fn metrics(autoscaler: &Value) -> String {
    const UNKNOWN: &str = "<unknown>";
    let percent =
        |value: Option<i64>, otherwise: &str| value.map_or(otherwise.to_owned(), |n| format!("{n}%"));
    // autoscaling/v1 knows the CPU alone.
    if let Some(target) = integer(autoscaler, "spec.targetCPUUtilizationPercentage") {
        let current = percent(integer(autoscaler, "status.currentCPUUtilizationPercentage"), UNKNOWN);
        return format!("cpu: {current}/{target}%");
    }
    let statuses = items(autoscaler, "status.currentMetrics");
    let list: Vec<String> = items(autoscaler, "spec.metrics")
        .iter()
        .enumerate()
        .map(|(index, metric)| {
            let field = match text(metric, "type") {
                "Resource" => "resource",
                "ContainerResource" => "containerResource",
                "Pods" => "pods",
                "Object" => "object",
                "External" => "external",
                _ => return "<unknown type>".to_owned(),
            };
            let target = |name: &str| at(metric, &format!("{field}.target.{name}"));
            let current = |name: &str| {
                statuses.get(index).and_then(|status| at(status, &format!("{field}.current.{name}")))
            };
            let pair = |name: &str| {
                let current = scalar(current(name)).unwrap_or_else(|| UNKNOWN.to_owned());
                format!("{current}/{}", scalar(target(name)).unwrap_or_else(|| "0".to_owned()))
            };
            match field {
                "resource" | "containerResource" => {
                    let name = text(metric, &format!("{field}.name"));
                    if target("averageValue").is_some() {
                        return format!("{name}: {}", pair("averageValue"));
                    }
                    let current = percent(current("averageUtilization").and_then(Value::as_i64), UNKNOWN);
                    let target = percent(target("averageUtilization").and_then(Value::as_i64), "<auto>");
                    format!("{name}: {current}/{target}")
                }
                "pods" => pair("averageValue"),
                _ if target("averageValue").is_some() => format!("{} (avg)", pair("averageValue")),
                _ => pair("value"),
            }
        })
        .collect();
    if list.is_empty() { NONE.to_owned() } else { shortened(&list, 2, ", ") }
}

pub(super) static SCALE: Printer = Printer {
    columns: &[
        NAME,
        spec("Desired", "integer", "Wanted pods"),
        spec("Available", "integer", "Pods that exist"),
        AGE,
    ],
    cells: |object, now| {
        vec![
            name(object),
            number(object, "spec.replicas").into(),
            number(object, "status.replicas").into(),
            age(object, now),
        ]
    },
};
