//! What was acknowledged is there after `kill -9`, whenever it comes.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::json;
use support::Seaway;

async fn client(folder: &Path) -> kube::Client {
    let kubeconfig = Kubeconfig::read_from(folder.join("kubeconfig")).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

/// Names whose creation, and names whose deletion, was acknowledged.
#[derive(Default)]
struct Acknowledged {
    there: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// A request was on its way when the server died: either is right.
    unknown: BTreeSet<String>,
}

/// Writes until the server is gone.
async fn write(client: kube::Client, round: u64, worker: u64, acknowledged: Arc<Mutex<Acknowledged>>) {
    let api: Api<ConfigMap> = Api::default_namespaced(client);
    for n in 0_u64.. {
        let name = format!("r{round}-w{worker}-{n}");
        let object: ConfigMap =
            serde_json::from_value(json!({"metadata": {"name": name}, "data": {"n": n.to_string()}}))
                .unwrap();
        acknowledged.lock().unwrap().unknown.insert(name.clone());
        if api.create(&PostParams::default(), &object).await.is_err() {
            return;
        }
        {
            let mut acknowledged = acknowledged.lock().unwrap();
            acknowledged.unknown.remove(&name);
            acknowledged.there.insert(name.clone());
        }
        if n % 3 == 0 {
            {
                let mut acknowledged = acknowledged.lock().unwrap();
                acknowledged.there.remove(&name);
                acknowledged.unknown.insert(name.clone());
            }
            if api.delete(&name, &DeleteParams::default()).await.is_err() {
                return;
            }
            let mut acknowledged = acknowledged.lock().unwrap();
            acknowledged.unknown.remove(&name);
            acknowledged.gone.insert(name);
        }
    }
}

async fn kill_under_load(rounds: u64) {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..rounds {
        let seaway = Seaway::start_in(&folder);
        let client = client(&folder).await;
        let present: BTreeSet<String> = Api::<ConfigMap>::default_namespaced(client.clone())
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .into_iter()
            .filter_map(|c| c.metadata.name)
            .collect();
        {
            let acknowledged = acknowledged.lock().unwrap();
            let lost: Vec<_> = acknowledged.there.difference(&present).collect();
            let undead: Vec<_> = acknowledged.gone.intersection(&present).collect();
            assert!(lost.is_empty() && undead.is_empty(), "round {round}: lost {lost:?}, back {undead:?}");
        }
        let workers: Vec<_> = (0..8)
            .map(|worker| tokio::spawn(write(client.clone(), round, worker, acknowledged.clone())))
            .collect();
        // Somewhere in the middle of the work, another place in each round.
        tokio::time::sleep(Duration::from_millis(40 + (round * 37) % 160)).await;
        seaway.kill();
        for worker in workers {
            worker.await.unwrap();
        }
    }
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.there.len() > rounds as usize, "the rounds did write");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_by_kill_9_under_write_load() {
    kill_under_load(5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "200 kills belong to the full tier"]
async fn nothing_acknowledged_is_lost_by_200_kills() {
    kill_under_load(200).await;
}

/// A small file system of its own, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .stderr(std::process::Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: a file system cannot be mounted here (not root)");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_loses_nothing_and_room_ends_it() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let folder = disk.0.path().join("data");
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 14 << 20]).unwrap();
    let seaway = Seaway::start_in(&folder);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&folder).await);
    let large = |n: u32| -> ConfigMap {
        serde_json::from_value(
            json!({"metadata": {"name": format!("c{n}")}, "data": {"x": "y".repeat(400_000)}}),
        )
        .unwrap()
    };
    let mut kept = 0;
    let refused = loop {
        match api.create(&PostParams::default(), &large(kept)).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 100, "the disk does not get full");
    };
    let kube::Error::Api(status) = &refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"), "{status:?}");
    assert!(status.message.contains("full"), "{}", status.message);
    // Reads go on, also of everything that was acknowledged.
    assert_eq!(
        api.list(&ListParams::default().fields("metadata.name!=kube-root-ca.crt")).await.unwrap().items.len(),
        kept as usize
    );
    assert!(api.create(&PostParams::default(), &large(1000)).await.is_err());

    std::fs::remove_file(&ballast).unwrap();
    api.create(&PostParams::default(), &large(1001)).await.unwrap();
    seaway.kill();
    let seaway = Seaway::start_in(&folder);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&folder).await);
    let there = api.list(&ListParams::default().fields("metadata.name!=kube-root-ca.crt")).await.unwrap();
    assert_eq!(there.items.len(), kept as usize + 1);
    drop(seaway);
}
