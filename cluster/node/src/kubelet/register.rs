//! The node's own objects: Node and the Lease that says it lives.

use super::pressure::Pressure;
use super::resources::node_amount;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::image::architecture;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node as ApiNode;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const LEASE_NAMESPACE: &str = "kube-node-lease";
const LEASE_SECONDS: i32 = 40;
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The Node's status is written again so often; the Lease tells more often that it lives.
const STATUS_EVERY: u32 = 30;
const MAX_PODS: u32 = 250;

/// Writes the Node object once; then it exists and is ready.
pub(crate) async fn register(
    client: &kube::Client,
    name: &str,
    address: Ipv4Addr,
    data: &Path,
    pressure: Pressure,
) -> Result<()> {
    let api: Api<ApiNode> = Api::all(client.clone());
    let known = api.get_opt(name).await.map_err(Error::api(format!("get node {name}")))?;
    let labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": architecture(),
    });
    let mut status = status(name, address, data, true, pressure);
    if let Some(known) = &known {
        keep_transitions(&mut status, known);
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        api.patch(name, &PatchParams::default(), &patch)
            .await
            .map_err(Error::api(format!("patch node {name}")))?;
    } else {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels},
            "spec": {}, "status": status});
        let object: ApiNode = serde_json::from_value(node)
            .map_err(|e| Error::Spec { field: "node".to_owned(), problem: e.to_string() })?;
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => {}
            // Somebody else was quicker.
            Err(kube::Error::Api(answer)) if answer.code == 409 => {}
            Err(e) => return Err(Error::api(format!("create node {name}"))(e)),
        }
    }
    let patch = Patch::Merge(json!({"status": status}));
    api.patch_status(name, &PatchParams::default(), &patch)
        .await
        .map_err(Error::api(format!("patch node {name}")))?;
    Ok(())
}

/// A condition that holds as before holds since then.
fn keep_transitions(status: &mut serde_json::Value, known: &ApiNode) {
    let before = known.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let conditions = status["conditions"].as_array_mut();
    for condition in conditions.into_iter().flatten() {
        let mut same = before
            .clone()
            .filter(|old| condition["type"] == *old.type_ && condition["status"] == *old.status);
        if let Some(since) = same.next().and_then(|old| old.last_transition_time.as_ref()) {
            condition["lastTransitionTime"] = json!(since);
        }
    }
}

/// Renews the Lease, and from time to time, or when something has become short, the Node's status, until dropped.
pub(crate) async fn heartbeat(shared: Arc<Shared>) {
    let (client, name) = (&shared.client, &shared.options.name);
    let mut pressure = shared.pressure.subscribe();
    let mut round = 0u32;
    let mut changed = false;
    loop {
        if let Err(e) = renew(client, name).await {
            tracing::warn!(error = %e, "the node's lease could not be renewed");
        }
        if changed || round % STATUS_EVERY == STATUS_EVERY - 1 {
            let now = *pressure.borrow_and_update();
            match register(client, name, shared.address, &shared.options.data_dir, now).await {
                Ok(()) => changed = false,
                Err(e) => tracing::warn!(error = %e, "the node's status could not be written"),
            }
        }
        round = round.wrapping_add(1);
        tokio::select! {
            // One that could not be told is told at the next beat.
            news = pressure.changed() => changed |= news.is_ok(),
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
    }
}

/// Tells the API that the node is going.
pub(crate) async fn sign_off(client: &kube::Client, name: &str, address: Ipv4Addr, data: &Path) {
    let api: Api<ApiNode> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"status": status(name, address, data, false, Pressure::default())}));
    let _ =
        tokio::time::timeout(Duration::from_secs(2), api.patch_status(name, &PatchParams::default(), &patch))
            .await;
}

async fn renew(client: &kube::Client, name: &str) -> Result<()> {
    let api: Api<Lease> = Api::namespaced(client.clone(), LEASE_NAMESPACE);
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": format!("{:.6}", Timestamp::now())});
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
    match patched {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => {
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": LEASE_NAMESPACE}, "spec": spec});
            let lease: Lease = serde_json::from_value(lease)
                .map_err(|e| Error::Spec { field: "lease".to_owned(), problem: e.to_string() })?;
            let created = api.create(&PostParams::default(), &lease).await;
            created.map(drop).map_err(Error::api(format!("create lease {name}")))
        }
        Err(e) => Err(Error::api(format!("renew lease {name}"))(e)),
    }
}

fn status(name: &str, address: Ipv4Addr, data: &Path, ready: bool, pressure: Pressure) -> serde_json::Value {
    let storage = nix::sys::statvfs::statvfs(data).map_or(0, |s| s.blocks() * s.fragment_size());
    let amounts = json!({
        "cpu": node_amount("cpu"), "memory": node_amount("memory"), "pods": MAX_PODS.to_string(),
        "ephemeral-storage": storage.to_string(),
    });
    let now = Timestamp::now();
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        json!({"type": kind, "status": if holds { "True" } else { "False" }, "reason": reason, "message": message,
            "lastHeartbeatTime": format!("{now:.0}"), "lastTransitionTime": format!("{now:.0}")})
    };
    let pressure_text =
        |holds: bool, bad: (&'static str, &'static str), good: (&'static str, &'static str)| {
            if holds { bad } else { good }
        };
    let memory = pressure_text(
        pressure.memory,
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    );
    let disk = pressure_text(
        pressure.disk,
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    );
    let processes = pressure_text(
        pressure.processes,
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    );
    let ready_text =
        if ready { ("KubeletReady", "pods can be started") } else { ("NodeStopped", "Seaway has stopped") };
    let system = nix::sys::utsname::uname().ok();
    let kernel = system.as_ref().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    let release = read("/etc/os-release");
    let system_name =
        release.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map_or("Linux", |n| n.trim_matches('"'));
    json!({
        "capacity": amounts, "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": address.to_string()}, {"type": "Hostname", "address": name}],
        "conditions": [
            condition("MemoryPressure", pressure.memory, memory.0, memory.1),
            condition("DiskPressure", pressure.disk, disk.0, disk.1),
            condition("PIDPressure", pressure.processes, processes.0, processes.1),
            condition("Ready", ready, ready_text.0, ready_text.1),
        ],
        "nodeInfo": {
            "architecture": architecture(), "operatingSystem": "linux", "osImage": system_name, "kernelVersion": kernel,
            "bootID": read("/proc/sys/kernel/random/boot_id"), "machineID": read("/etc/machine-id"), "systemUUID": "",
            "containerRuntimeVersion": concat!("seaway://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": "v1.37.0", "kubeProxyVersion": "",
        },
    })
}
