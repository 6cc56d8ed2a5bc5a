//! What the machine is short of: told by the node's conditions, and mended by removing what nobody uses, then by ending
//! the pod that uses most.

use super::collect::used_now;
use super::disk::{self, Usage, binary};
use super::resources::milli;
use super::shared::{Employed, Shared};
use super::worker::Input;
use k8s_openapi::api::core::v1::Pod;
use std::path::Path;
use std::sync::Arc;

/// A pod that uses less is not ended for want of it: it would not help.
const SMALL: u64 = 1 << 20;
/// Files that can still be made, of a thousand: below that the disk is as good as full.
const FEW_FILES: u64 = 50;
/// Processes that can still be started, of a thousand.
const FEW_PROCESSES: u64 = 50;

/// What is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) disk: bool,
    pub(crate) memory: bool,
    pub(crate) processes: bool,
}

/// What the machine has left; what cannot be measured is plenty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    /// Bytes on the disk of the data folder.
    disk: u64,
    /// Files there, and how many there can be.
    files: (u64, u64),
    /// Bytes.
    memory: u64,
    /// Processes and threads, and how many there can be.
    processes: (u64, u64),
}

impl Left {
    fn measure(data: &Path) -> Self {
        let disk = nix::sys::statvfs::statvfs(data);
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        Self {
            disk: disk.map_or(u64::MAX, |s| s.blocks_available() * s.fragment_size()),
            files: disk.map_or((0, 0), |s| (s.files_available(), s.files())),
            memory: available_memory(&read("/proc/meminfo")).unwrap_or(u64::MAX),
            processes: processes(
                &read("/proc/loadavg"),
                [&read("/proc/sys/kernel/threads-max"), &read("/proc/sys/kernel/pid_max")],
            )
            .unwrap_or((0, 0)),
        }
    }

    fn pressure(&self, disk_reserve: u64, memory_reserve: u64) -> Pressure {
        // Some file systems do not count files.
        let few = |(left, all): (u64, u64), share: u64| all > 0 && left < all / 1000 * share;
        Pressure {
            disk: self.disk < disk_reserve || few(self.files, FEW_FILES),
            memory: self.memory < memory_reserve,
            processes: few(self.processes, FEW_PROCESSES),
        }
    }
}

/// Of `/proc/meminfo`, in bytes.
fn available_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Of `/proc/loadavg`, whose fourth field ends with all processes and threads, and the limits of their number.
fn processes(load: &str, limits: [&str; 2]) -> Option<(u64, u64)> {
    let now: u64 = load.split(' ').nth(3)?.split_once('/')?.1.parse().ok()?;
    let most = limits.iter().filter_map(|text| text.trim().parse::<u64>().ok()).min()?;
    Some((most.saturating_sub(now), most))
}

/// Looks from time to time at what pods use and what is left, until dropped.
pub(super) async fn watch(shared: Arc<Shared>) {
    let options = &shared.options;
    loop {
        tokio::time::sleep(options.disk_interval).await;
        let pods = shared.workers();
        let measured = {
            let (shared, pods) = (shared.clone(), pods.clone());
            tokio::task::spawn_blocking(move || disk::measure_all(&shared, &pods))
        };
        let Ok(measured) = measured.await else { continue };
        let mut ended = false;
        for ((_, pod, worker), usage) in pods.iter().zip(&measured) {
            if let Some(message) = disk::excess(pod, usage) {
                ended = true;
                let _ = worker.send(Input::Evict(message));
            }
        }
        let left = Left::measure(&options.data_dir);
        let pressure = left.pressure(options.disk_reserve, options.memory_reserve);
        tell(&shared, pressure);
        if pressure.disk && !ended {
            relieve_disk(&shared, &pods, &measured).await;
        }
        if pressure.memory {
            relieve_memory(&shared, &pods, left.memory);
        }
    }
}

/// Lets the node's conditions know, and whoever reads its events.
fn tell(shared: &Shared, now: Pressure) {
    let before = *shared.pressure.borrow();
    if before == now {
        return;
    }
    shared.pressure.send_replace(now);
    let node = &shared.options.name;
    for (was, is, begins, ends) in [
        (before.disk, now.disk, "NodeHasDiskPressure", "NodeHasNoDiskPressure"),
        (before.memory, now.memory, "NodeHasInsufficientMemory", "NodeHasSufficientMemory"),
        (before.processes, now.processes, "NodeHasInsufficientPID", "NodeHasSufficientPID"),
    ] {
        if was != is {
            let reason = if is { begins } else { ends };
            shared.events.node(node, is, reason, format!("Node {node} status is now: {reason}"));
        }
    }
}

/// Removes images that no pod uses; if that is not enough, ends the pod that uses most.
async fn relieve_disk(shared: &Shared, pods: &[Employed], measured: &[Usage]) {
    let reserve = shared.options.disk_reserve;
    if let Err(error) = shared.images.collect(|| used_now(shared)).await {
        tracing::warn!(%error, "unused images could not be removed");
    }
    let free = Left::measure(&shared.options.data_dir).disk;
    if free >= reserve {
        return;
    }
    let largest = pods.iter().zip(measured).max_by_key(|(_, usage)| usage.total());
    if let Some(((_, _, worker), usage)) = largest.filter(|(_, usage)| usage.total() > SMALL) {
        let message = format!(
            "The node was low on resource: ephemeral-storage. Threshold quantity: {}, available: {}. The pod was using \
             {}, more than any other. ",
            binary(reserve),
            binary(free),
            binary(usage.total())
        );
        let _ = worker.send(Input::Evict(message));
    }
}

/// Ends the pod that uses most beyond what it asked for; of those of lower priority first.
fn relieve_memory(shared: &Shared, pods: &[Employed], left: u64) {
    let candidates = pods.iter().filter_map(|(key, pod, worker)| {
        let used = shared.memory_of(key)?;
        let rank = rank(pod, used)?;
        Some((rank, used, pod, worker))
    });
    let Some((_, used, pod, worker)) = candidates.max_by_key(|(rank, ..)| *rank) else { return };
    let message = format!(
        "The node was low on resource: memory. Threshold quantity: {}, available: {}. The pod was using {}, request is \
         {}, has larger consumption of memory. ",
        binary(shared.options.memory_reserve),
        binary(left),
        binary(used),
        binary(requested_memory(pod))
    );
    let _ = worker.send(Input::Evict(message));
}

/// The order in which pods end for want of memory, the largest first; `None` for those that would free nothing.
fn rank(pod: &Pod, used: u64) -> Option<(bool, std::cmp::Reverse<i32>, u64)> {
    if used < SMALL {
        return None;
    }
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
    let beyond = used.saturating_sub(requested_memory(pod));
    Some((beyond > 0, std::cmp::Reverse(priority), beyond))
}

fn requested_memory(pod: &Pod) -> u64 {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let asked = containers.filter_map(|container| {
        let requests = container.resources.as_ref()?.requests.as_ref()?;
        u64::try_from(milli(&requests.get("memory")?.0)? / 1000).ok()
    });
    asked.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    const PLENTY: Left =
        Left { disk: 1 << 40, files: (1 << 20, 1 << 20), memory: 1 << 34, processes: (30_000, 32_768) };

    #[test]
    fn each_shortage_is_told_apart() {
        let of = |left: Left| left.pressure(512 << 20, 100 << 20);
        assert_eq!(of(PLENTY), Pressure::default());
        assert_eq!(of(Left { disk: 1 << 20, ..PLENTY }), Pressure { disk: true, ..Pressure::default() });
        assert_eq!(
            of(Left { files: (10, 1 << 20), ..PLENTY }),
            Pressure { disk: true, ..Pressure::default() }
        );
        assert_eq!(of(Left { memory: 1 << 20, ..PLENTY }), Pressure { memory: true, ..Pressure::default() });
        let busy = Left { processes: (100, 32_768), ..PLENTY };
        assert_eq!(of(busy), Pressure { processes: true, ..Pressure::default() });
        // Nothing is known of them: some file systems do not count files.
        assert_eq!(of(Left { files: (0, 0), processes: (0, 0), ..PLENTY }), Pressure::default());
    }

    #[test]
    fn the_kernels_own_words_are_read() {
        let memory = "MemTotal:       24736004 kB\nMemFree:         400000 kB\nMemAvailable:   23068672 kB\n";
        assert_eq!(available_memory(memory), Some(22 << 30));
        assert_eq!(available_memory("MemTotal: 1 kB\n"), None);
        assert_eq!(processes("0.50 0.40 0.30 2/768 4711\n", ["195000\n", "32768\n"]), Some((32_000, 32_768)));
        assert_eq!(processes("", ["1", "1"]), None);
        let here = Left::measure(Path::new("/"));
        assert!(here.memory < u64::MAX && here.processes.1 > 0, "{here:?}");
    }

    #[test]
    fn whoever_uses_more_than_it_asked_for_goes_first_and_of_those_the_least_important() {
        let pod = |priority: i32, asked: &str| -> Pod {
            serde_json::from_value(json!({"spec": {"priority": priority, "containers": [
                {"name": "c", "resources": {"requests": {"memory": asked}}}]}}))
            .unwrap()
        };
        let mut pods = [
            ("modest", rank(&pod(0, "1Gi"), 512 << 20)),
            ("important", rank(&pod(9, "1Mi"), 900 << 20)),
            ("greedy", rank(&pod(0, "1Mi"), 512 << 20)),
            ("greedier", rank(&pod(0, "1Mi"), 600 << 20)),
            ("empty", rank(&pod(0, "1Mi"), 1000)),
        ];
        pods.sort_by_key(|(_, rank)| std::cmp::Reverse(*rank));
        assert_eq!(pods.map(|(name, _)| name), ["greedier", "greedy", "important", "modest", "empty"]);
    }
}
