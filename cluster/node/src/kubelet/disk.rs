//! What pods use of the disk, and which of them use more than they may.
//!
//! What is counted is what the kubelet calls local ephemeral storage: what containers write outside of volumes, their
//! logs, and `emptyDir` volumes that are not kept in memory. Claims are not; their data is meant to stay.

use super::container::{PodFolders, SHARED_FILES};
use super::resources::milli;
use super::shared::{Employed, Shared};
use crate::opened;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstat};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Files of one pod that are looked at in one round.
const MAX_FILES: usize = 2_000_000;
/// A folder whose name from an open one is longer is opened itself. With the longest name of an entry it is still a path.
const LONG_NAME: usize = 2048;

/// What a pod uses, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    containers: BTreeMap<String, u64>,
    volumes: BTreeMap<String, u64>,
    /// Files that all its containers have, such as `/etc/hosts`.
    shared: u64,
}

impl Usage {
    pub(super) fn total(&self) -> u64 {
        self.containers.values().chain(self.volumes.values()).chain([&self.shared]).sum()
    }
}

/// What each of the pods uses; looks at their files one by one.
pub(super) fn measure_all(shared: &Shared, pods: &[Employed]) -> Vec<Usage> {
    let usage = |(key, pod, _): &Employed| {
        let folders = PodFolders { root: shared.pods_folder().join(&key.uid) };
        measure(pod, &folders, &shared.log_folder(key))
    };
    pods.iter().map(usage).collect()
}

fn measure(pod: &Pod, folders: &PodFolders, logs: &Path) -> Usage {
    let mut usage = Usage::default();
    let Some(spec) = &pod.spec else { return usage };
    let mut files = 0;
    let mut size = |path: &Path| size(path, &mut files);
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        let written = size(&folders.container(&container.name)) + size(&logs.join(&container.name));
        usage.containers.insert(container.name.clone(), written);
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        let written = size(&folders.container(&container.name)) + size(&logs.join(&container.name));
        usage.containers.insert(container.name.clone(), written);
    }
    let shared = SHARED_FILES.iter().filter_map(|name| std::fs::symlink_metadata(folders.file(name)).ok());
    usage.shared = shared.map(|metadata| metadata.blocks() * 512).sum();
    for volume in spec.volumes.iter().flatten() {
        let on_disk = volume.empty_dir.as_ref().is_some_and(|v| v.medium.as_deref() != Some("Memory"));
        if on_disk {
            usage.volumes.insert(volume.name.clone(), size(&folders.volumes().join(&volume.name)));
        }
    }
    usage
}

/// Bytes on disk below a folder. Links are not followed; what changes meanwhile is counted or not.
fn size(path: &Path, files: &mut usize) -> u64 {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(top) = nix::fcntl::open(path, flags, Mode::empty()) else { return 0 };
    let mut total = 0;
    // Each folder is named from one that is open, since a program can make them deeper than a path can name.
    let mut pending = vec![(Rc::new(top), PathBuf::from("."))];
    while let Some((mut from, mut name)) = pending.pop() {
        let opened = match openat(&*from, &name, flags, Mode::empty()) {
            Err(Errno::EACCES) => open_closed(&from, &name),
            other => other,
        };
        let Ok(folder) = opened else { continue };
        let entries = std::fs::read_dir(opened::path(&folder));
        if name.as_os_str().len() > LONG_NAME {
            (from, name) = (Rc::new(folder), PathBuf::from("."));
        }
        for entry in entries.into_iter().flatten().flatten() {
            *files += 1;
            if *files > MAX_FILES {
                return total;
            }
            // Of the entry itself, whatever it points to.
            let Ok(metadata) = entry.metadata() else { continue };
            total += metadata.blocks() * 512;
            if metadata.is_dir() {
                pending.push((from.clone(), name.join(entry.file_name())));
            }
        }
    }
    total
}

/// Opens a folder that its owner has closed to himself, and with him to us: it would hide what is in it. No link is
/// followed on the way, so that no other folder is changed.
fn open_closed(from: &OwnedFd, name: &Path) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let folder = openat2(from, name, how)?;
    opened::change_mode(&folder, fstat(&folder)?.st_mode | 0o500)?;
    openat(&folder, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Which limit a pod exceeds, in the kubelet's words.
pub(super) fn excess(pod: &Pod, usage: &Usage) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    for volume in spec.volumes.iter().flatten() {
        let limit = volume.empty_dir.as_ref().and_then(|v| v.size_limit.as_ref());
        if let (Some(limit), Some(used)) = (limit, usage.volumes.get(&volume.name))
            && exceeds(*used, limit)
        {
            let name = &volume.name;
            return Some(format!("Usage of EmptyDir volume \"{name}\" exceeds the limit \"{}\". ", limit.0));
        }
    }
    let limit = |container: &k8s_openapi::api::core::v1::Container| {
        container.resources.as_ref()?.limits.as_ref()?.get("ephemeral-storage").cloned()
    };
    let limits: Vec<Option<Quantity>> = spec.containers.iter().map(limit).collect();
    // With a limit for each, all together have one: volumes count for it as well.
    let total: Option<i128> = limits.iter().map(|limit| milli(&limit.as_ref()?.0)).sum();
    if let Some(total) = total.filter(|_| !limits.is_empty())
        && i128::from(usage.total()) * 1000 > total
    {
        let limit = binary(u64::try_from(total / 1000).unwrap_or(u64::MAX));
        return Some(format!(
            "Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "
        ));
    }
    for (container, limit) in spec.containers.iter().zip(&limits) {
        let used = usage.containers.get(&container.name).copied().unwrap_or(0);
        if let Some(limit) = limit.as_ref().filter(|limit| exceeds(used, limit)) {
            let name = &container.name;
            return Some(format!(
                "Container {name} exceeded its local ephemeral storage limit \"{}\". ",
                limit.0
            ));
        }
    }
    None
}

fn exceeds(used: u64, limit: &Quantity) -> bool {
    milli(&limit.0).is_some_and(|limit| i128::from(used) * 1000 > limit)
}

/// Bytes as a quantity: `20Mi`.
pub(super) fn binary(bytes: u64) -> String {
    let units = ["", "Ki", "Mi", "Gi", "Ti"];
    let mut unit = 0;
    let mut number = bytes;
    while unit + 1 < units.len() && number >= 1024 && (number.is_multiple_of(1024) || number >= 1 << 20) {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", units[unit])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    fn usage(container: u64, volume: u64) -> Usage {
        let of = |name: &str, bytes| BTreeMap::from([(name.to_owned(), bytes)]);
        Usage { containers: of("c", container), volumes: of("v", volume), shared: 0 }
    }

    #[test]
    fn limits_of_volumes_containers_and_the_pod_are_told_apart() {
        let pod = |limits: serde_json::Value, size: serde_json::Value| -> Pod {
            let volumes = json!([{"name": "v", "emptyDir": {"sizeLimit": size}}]);
            serde_json::from_value(json!({"spec": {"volumes": volumes, "containers": [
                {"name": "c", "resources": {"limits": limits}}]}}))
            .unwrap()
        };
        let of = |pod: &Pod, container, volume| excess(pod, &usage(container, volume));
        let free = pod(json!({}), json!(null));
        assert_eq!(of(&free, 1 << 40, 1 << 40), None);
        let volume = pod(json!({}), json!("1Ki"));
        assert_eq!(of(&volume, 1 << 40, 1024), None);
        assert_eq!(
            of(&volume, 0, 1025).as_deref(),
            Some("Usage of EmptyDir volume \"v\" exceeds the limit \"1Ki\". ")
        );
        let both = pod(json!({"ephemeral-storage": "2Mi"}), json!(null));
        assert_eq!(of(&both, 1 << 20, 1 << 20), None);
        assert_eq!(
            of(&both, 1 << 20, (1 << 20) + 1).as_deref(),
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ")
        );
        let mut one = both;
        let other = serde_json::from_value(json!({"name": "other"})).unwrap();
        one.spec.as_mut().unwrap().containers.push(other);
        assert_eq!(of(&one, 1 << 20, 9 << 20), None);
        assert_eq!(
            of(&one, 3 << 20, 0).as_deref(),
            Some("Container c exceeded its local ephemeral storage limit \"2Mi\". ")
        );
    }

    #[test]
    fn files_below_a_folder_are_counted_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        std::fs::write(folder.path().join("deep/file"), vec![1; 100_000]).unwrap();
        let before = size(folder.path(), &mut 0);
        assert!((100_000..200_000).contains(&before), "{before}");
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).unwrap();
        // Nor by being closed.
        let closed = std::fs::Permissions::from_mode(0o0);
        std::fs::set_permissions(folder.path().join("deep"), closed).unwrap();
        assert!((100_000..200_000).contains(&size(folder.path(), &mut 0)));
        let open = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(folder.path().join("deep"), open).unwrap();
        // Nothing is hidden by being deep.
        let mut at = nix::fcntl::open(folder.path(), OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&at, "deep-one", Mode::S_IRWXU).unwrap();
            at = nix::fcntl::openat(&at, "deep-one", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
        let folders = size(folder.path(), &mut 0);
        let file = nix::fcntl::openat(&at, "file", OFlag::O_CREAT | OFlag::O_WRONLY, Mode::S_IRWXU).unwrap();
        std::io::Write::write_all(&mut std::fs::File::from(file), &[1; 100_000]).unwrap();
        assert!((100_000..200_000).contains(&(size(folder.path(), &mut 0) - folders)));
        crate::image::remove_tree(&folder.path().join("deep-one")).unwrap();
        assert!(size(folder.path(), &mut 0) < 200_000);
        assert_eq!(
            (binary(20 << 20), binary(1000), binary(2048)),
            ("20Mi".into(), "1000".into(), "2Ki".into())
        );
    }
}
