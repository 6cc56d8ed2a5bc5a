//! A pod's state in Kubernetes' words: phase, conditions, container statuses.

use super::state::{ContainerState, Ended, Ending, ImageState, Kind, PodState, Run, Step, backoff_shown};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::net::Ipv4Addr;

/// What every container's ID begins with in the API: the runtime's name.
pub(crate) const ID_PREFIX: &str = "seaway://";

/// Why a pod failed that this node cannot run at all.
pub(crate) const REJECTED: &str = "UnexpectedAdmissionError";

/// The status to write. Conditions of others and unchanged transition times are kept from `pod`.
pub(crate) fn pod_status(pod: &Pod, state: &PodState, host: Ipv4Addr, now: Timestamp) -> PodStatus {
    let before = pod.status.clone().unwrap_or_default();
    let phase = phase(state);
    let (reason, message) = match &state.ending {
        Some(Ending::Failed { reason, message }) => (Some(reason.clone()), Some(message.clone())),
        _ => (None, None),
    };
    let rejected = reason.as_deref() == Some(REJECTED);
    let of = |kinds: &[Kind]| {
        // Of a pod that was never begun there is nothing to say.
        let chosen = state.containers.iter().filter(|c| kinds.contains(&c.kind) && !rejected);
        let statuses: Vec<ContainerStatus> = chosen.map(|c| container_status(pod, state, c, now)).collect();
        (!statuses.is_empty()).then_some(statuses)
    };
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(pod, state, phase, now)),
        message,
        reason,
        host_ip: Some(host.to_string()),
        host_ips: Some(vec![HostIP { ip: host.to_string() }]),
        pod_ip: state.address.map(|ip| ip.to_string()),
        pod_ips: state.address.map(|ip| vec![PodIP { ip: ip.to_string() }]),
        start_time: Some(Time(state.started)),
        init_container_statuses: of(&[Kind::Init, Kind::Sidecar]),
        container_statuses: of(&[Kind::Main]),
        ephemeral_container_statuses: of(&[Kind::Ephemeral]),
        observed_generation: pod.metadata.generation,
        qos_class: before.qos_class,
        ..PodStatus::default()
    }
}

pub(crate) fn phase(state: &PodState) -> &'static str {
    let mut mains = state.containers.iter().filter(|c| c.kind == Kind::Main);
    if matches!(state.ending, Some(Ending::Failed { .. })) && state.is_stopped() {
        return "Failed";
    }
    let ended_well = |c: &ContainerState| matches!(&c.run, Run::Ended { how, .. } if how.code == 0);
    if state.is_over() && state.is_stopped() {
        return if mains.all(ended_well) { "Succeeded" } else { "Failed" };
    }
    if state.ending == Some(Ending::Deleted)
        && state.is_stopped()
        && mains.clone().all(|c| matches!(c.run, Run::Ended { .. }))
    {
        return if mains.all(ended_well) { "Succeeded" } else { "Failed" };
    }
    let has_run =
        |c: &ContainerState| matches!(c.run, Run::Running { .. } | Run::Ended { .. }) || c.last.is_some();
    if initialized(state) && mains.any(has_run) { "Running" } else { "Pending" }
}

fn initialized(state: &PodState) -> bool {
    state.containers.iter().all(|c| match c.kind {
        Kind::Init => matches!(&c.run, Run::Ended { how, .. } if how.code == 0),
        Kind::Sidecar => c.has_started || state.is_over() || state.ending.is_some(),
        Kind::Main | Kind::Ephemeral => true,
    })
}

fn conditions(pod: &Pod, state: &PodState, phase: &str, now: Timestamp) -> Vec<PodCondition> {
    let before = pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
    let mut made: Vec<PodCondition> = Vec::new();
    let mut add = |kind: &str, holds: bool, reason: Option<&str>, message: Option<String>| {
        let status = if holds { "True" } else { "False" }.to_owned();
        let same = before.iter().find(|c| c.type_ == kind && c.status == status);
        made.push(PodCondition {
            type_: kind.to_owned(),
            last_transition_time: same.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now))),
            observed_generation: pod.metadata.generation,
            status,
            reason: reason.map(str::to_owned),
            message,
            ..PodCondition::default()
        });
    };
    add("PodReadyToStartContainers", state.sandbox == Step::Done, None, None);
    let quoted = |names: &[&str]| format!("[{}]", names.join(" "));
    let incomplete: Vec<&str> = state
        .containers
        .iter()
        .filter(|c| match c.kind {
            Kind::Init => !matches!(&c.run, Run::Ended { how, .. } if how.code == 0),
            Kind::Sidecar => !c.has_started,
            Kind::Main | Kind::Ephemeral => false,
        })
        .map(|c| c.name.as_str())
        .collect();
    let done = phase == "Succeeded";
    if initialized(state) {
        add("Initialized", true, done.then_some("PodCompleted"), None);
    } else {
        let message = format!("containers with incomplete status: {}", quoted(&incomplete));
        add("Initialized", false, Some("ContainersNotInitialized"), Some(message));
    }
    let unready: Vec<&str> = state
        .containers
        .iter()
        .filter(|c| matches!(c.kind, Kind::Main | Kind::Sidecar) && !c.is_ready)
        .map(|c| c.name.as_str())
        .collect();
    let gates = pod.spec.as_ref().and_then(|s| s.readiness_gates.as_ref());
    let closed: Vec<&str> = gates
        .into_iter()
        .flatten()
        .map(|g| g.condition_type.as_str())
        .filter(|kind| !before.iter().any(|c| c.type_ == *kind && c.status == "True"))
        .collect();
    let (reason, message) = match phase {
        "Succeeded" => (Some("PodCompleted"), None),
        "Failed" => (Some("PodFailed"), None),
        _ if unready.is_empty() => (None, None),
        _ => {
            let message = format!("containers with unready status: {}", quoted(&unready));
            (Some("ContainersNotReady"), Some(message))
        }
    };
    let containers_ready = reason.is_none();
    if containers_ready && !closed.is_empty() {
        let list: Vec<String> = closed
            .iter()
            .map(|kind| {
                format!(
                    "corresponding condition of pod readiness gate \"{kind}\" does not exist or is not True"
                )
            })
            .collect();
        add("Ready", false, Some("ReadinessGatesNotReady"), Some(list.join(", ")));
    } else {
        add("Ready", containers_ready, reason, message.clone());
    }
    add("ContainersReady", containers_ready, reason, message);
    if !before.iter().any(|c| c.type_ == "PodScheduled") {
        add("PodScheduled", true, None, None);
    }
    let ours = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
    made.extend(before.into_iter().filter(|c| !ours.contains(&c.type_.as_str())));
    made
}

fn container_status(
    pod: &Pod,
    pod_state: &PodState,
    state: &ContainerState,
    now: Timestamp,
) -> ContainerStatus {
    let running = matches!(state.run, Run::Running { .. });
    let container_id = match &state.run {
        Run::Running { container_id, .. } => Some(container_id.clone()),
        Run::Ended { how, retry: None } => Some(how.container_id.clone()),
        _ => state.last.as_ref().map(|l| l.container_id.clone()),
    };
    // While a restart is waited for, the run that ended is the last one, not the current.
    let last = match &state.run {
        Run::Ended { how, retry: Some(_) } => Some(how),
        _ => state.last.as_ref(),
    };
    ContainerStatus {
        name: state.name.clone(),
        image: state.image_name.clone(),
        image_id: match &state.image {
            ImageState::Ready { id } => id.clone(),
            _ => String::new(),
        },
        container_id: container_id.filter(|id| !id.is_empty()).map(|id| format!("{ID_PREFIX}{id}")),
        ready: match state.kind {
            Kind::Init => matches!(&state.run, Run::Ended { how, .. } if how.code == 0),
            Kind::Sidecar | Kind::Main => state.is_ready,
            Kind::Ephemeral => false,
        },
        started: Some(running && state.has_started),
        restart_count: state.restarts,
        state: Some(current(pod, pod_state, state, now)),
        last_state: Some(last.map_or_else(ApiState::default, terminated)),
        ..ContainerStatus::default()
    }
}

fn current(pod: &Pod, pod_state: &PodState, state: &ContainerState, now: Timestamp) -> ApiState {
    let waiting = |reason: &str, message: Option<String>| ApiState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ApiState::default()
    };
    let not_yet = if pod_state.containers.iter().any(|c| c.kind == Kind::Init) && !initialized(pod_state) {
        "PodInitializing"
    } else {
        "ContainerCreating"
    };
    match &state.run {
        Run::Running { since, .. } => ApiState {
            running: Some(ContainerStateRunning { started_at: Some(Time(*since)) }),
            ..ApiState::default()
        },
        Run::Ended { how, retry: None } => terminated(how),
        Run::Ended { how, retry: Some(retry) } => {
            let wait = retry.duration_since(how.finished);
            if wait.is_zero() {
                return terminated(how);
            }
            let metadata = &pod.metadata;
            let message = format!(
                "back-off {} restarting failed container={} pod={}_{}({})",
                go_duration(wait.as_secs()),
                state.name,
                metadata.name.as_deref().unwrap_or_default(),
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.uid.as_deref().unwrap_or_default(),
            );
            waiting("CrashLoopBackOff", Some(message))
        }
        Run::Refused { reason, message, .. } => waiting(reason, Some(message.clone())),
        Run::Waiting | Run::Starting => match &state.image {
            ImageState::Failed { reason: "ErrImagePull", message, at, retry } => {
                if now >= backoff_shown(*at, *retry) {
                    let message =
                        format!("Back-off pulling image \"{}\": ErrImagePull: {message}", state.image_name);
                    waiting("ImagePullBackOff", Some(message))
                } else {
                    waiting("ErrImagePull", Some(message.clone()))
                }
            }
            ImageState::Failed { reason, message, .. } => waiting(reason, Some(message.clone())),
            _ => waiting(not_yet, None),
        },
    }
}

fn terminated(how: &Ended) -> ApiState {
    ApiState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(format!("{ID_PREFIX}{}", how.container_id))
                .filter(|_| !how.container_id.is_empty()),
            exit_code: how.code,
            finished_at: Some(Time(how.finished)),
            message: how.message.clone(),
            reason: Some(how.reason.clone()),
            signal: how.signal,
            started_at: Some(Time(how.started)),
        }),
        ..ApiState::default()
    }
}

/// `80` → `1m20s`, as Go prints durations.
fn go_duration(seconds: i64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}
