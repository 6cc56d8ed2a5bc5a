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

/// What makes room must not need any.
#[tokio::test(flavor = "multi_thread")]
async fn objects_can_be_deleted_when_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let folder = disk.0.path().join("data");
    let seaway = Seaway::start_in(&folder);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&folder).await);
    let small = |n: u32| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": format!("c{n}")}, "data": {"x": "y"}})).unwrap()
    };
    for n in 0..200 {
        api.create(&PostParams::default(), &small(n)).await.unwrap();
    }
    let reserve = folder.join("reserve");
    let kept = || std::fs::metadata(&reserve).is_ok_and(|file| file.len() == 4 << 20);
    support::eventually("the room for deletions", kept);
    let last = disk.0.path().join("last");
    let mut file = std::fs::File::create(&last).unwrap();
    while std::io::Write::write(&mut file, &[1; 4096]).is_ok_and(|written| written > 0) {}
    // Until what the log has left is used up.
    let mut more = 200;
    while api.create(&PostParams::default(), &small(more)).await.is_ok() {
        more += 1;
        assert!(more < 2000, "the disk is not full");
    }
    for n in 0..200 {
        api.delete(&format!("c{n}"), &DeleteParams::default()).await.unwrap();
    }
    drop(file);
    std::fs::remove_file(&last).unwrap();
    api.create(&PostParams::default(), &small(5000)).await.unwrap();
    seaway.kill();
    let seaway = Seaway::start_in(&folder);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&folder).await);
    let there = api.list(&ListParams::default().fields("metadata.name!=kube-root-ca.crt")).await.unwrap();
    assert_eq!(there.items.len(), (more - 200) as usize + 1);
    drop(seaway);
}

/// Writes into the database of the API, past the program.
async fn in_database(folder: &Path, statement: &'static str) {
    use sqlx::Connection;
    let path = folder.join("apiserver.db");
    let mut database = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_objects_that_cannot_be_read_starts_and_everything_else_works() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    assert!(Seaway::start_in(&folder).terminate().success());
    // A Deployment that no typed client can decode, and torn rows of kinds that the program's parts follow, one of
    // them of a role of its own.
    in_database(
        &folder,
        "INSERT INTO object SELECT 'apps/deployments', 'default', 'old', newest,
             '{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",
               \"metadata\":{\"name\":\"old\",\"namespace\":\"default\"},
               \"spec\":{\"replicas\":99999999999,\"selector\":{},\"template\":{}}}' FROM revision;
         INSERT INTO object SELECT '/pods', 'default', 'torn', newest, '{' FROM revision;
         INSERT INTO object SELECT '/services', 'default', 'torn', newest, '{' FROM revision;
         INSERT INTO object SELECT 'seaway.dev/stacks', 'seaway', 'torn', newest, '{' FROM revision;
         UPDATE object SET body = 'torn' WHERE name = 'system:seaway:workloads'",
    )
    .await;
    let seaway = Seaway::start_in(&folder);
    let client = client(&folder).await;
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::default_namespaced(client);
    let new = serde_json::from_value(json!({"metadata": {"name": "new"}, "spec": {
        "selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "x"}]}}}}))
    .unwrap();
    deployments.create(&PostParams::default(), &new).await.unwrap();
    let observed = |d: k8s_openapi::api::apps::v1::Deployment| d.status.and_then(|s| s.observed_generation);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while observed(deployments.get("new").await.unwrap()).is_none() {
        assert!(std::time::Instant::now() < deadline, "the controllers do nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(deployments.get("old").await.is_err());
    deployments.delete("old", &DeleteParams::default()).await.unwrap();
    assert!(seaway.terminate().success());
}

/// The history's database is locked by somebody, so that the start has to wait: SIGTERM ends it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_waits_ends_when_it_is_told_to() {
    use sqlx::Connection;
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    assert!(Seaway::start_in(&folder).terminate().success());
    let path = folder.join("ledger.db");
    let mut ledger = sqlx::SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::raw_sql("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").execute(&mut ledger).await.unwrap();

    // A port that was free a moment ago: somebody answers there once the API runs.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut starting = support::program()
        .args(["up", "--node", "none", "--gateway-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
        .args(["--kube-listen", &free.to_string(), "--data-dir"])
        .arg(&folder)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    support::eventually("the API to listen", || std::net::TcpStream::connect(free).is_ok());
    let pid = starting.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut printed = String::new();
    std::io::Read::read_to_string(starting.stdout.as_mut().unwrap(), &mut printed).unwrap();
    assert!(starting.wait().unwrap().success());
    assert!(!printed.contains("ready"), "{printed}");
}
