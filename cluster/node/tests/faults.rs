//! Images and hosts that misbehave: one pod's fault stays its own, and is told.
#![allow(clippy::unwrap_used)]

mod support;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use std::time::Duration;
use support::cluster::{Cluster, pod};

const SLEEP: &str = "trap exit TERM; while true; do sleep 0.1; done";

/// Whether the host lets this node limit processes; otherwise the node has said so in an event.
fn limits_processes(node: &str) -> bool {
    let trees = ["/sys/fs/cgroup/pids/seaway", "/sys/fs/cgroup/seaway"].map(std::path::Path::new);
    let here = trees.iter().any(|tree| tree.join(node).exists());
    if !here {
        println!("skipped: this host lets nobody make control groups");
    }
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_forks_without_end_meets_its_own_limit() {
    let Some(cluster) = Cluster::start_with(|options| options.max_processes = 40).await else { return };
    if !limits_processes(&cluster.name) {
        return cluster.end().await;
    }
    // Each shell starts another two, for ever.
    let bomb = "echo 'sh /bomb & sh /bomb & wait' > /bomb; sh /bomb; echo survived; sleep 1000";
    cluster.run("bomb", pod(bomb)).await;
    cluster.until_phase("bomb", "Running").await;
    cluster.until_log("bomb", "an't fork").await;
    cluster.run("quiet", pod(SLEEP)).await;
    cluster.until_ready("quiet").await;
    let (code, text) =
        cluster.exec("quiet", "for i in 1 2 3 4 5; do sleep 0.01 & done; wait; echo fine").await;
    assert_eq!((code, text.as_str()), (0, "fine\n"));
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_nobody_keeps_are_told_at_the_pod_that_sets_them() {
    let Some(cluster) = Cluster::start().await else { return };
    let trees = ["/sys/fs/cgroup/memory/seaway", "/sys/fs/cgroup/seaway"].map(std::path::Path::new);
    if trees.iter().any(|tree| tree.join(&cluster.name).exists()) {
        println!("skipped: this user may make control groups, so limits are kept");
        return cluster.end().await;
    }
    let mut limited = pod(SLEEP);
    limited["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
    cluster.run("limited", limited).await;
    cluster.run("free", pod(SLEEP)).await;
    for name in ["limited", "free"] {
        cluster.until_ready(name).await;
    }
    let message = cluster.until_event("limited", "LimitsNotEnforced").await;
    assert!(message.starts_with("Limits of memory and CPU are not enforced: /sys/fs/cgroup/"), "{message}");
    cluster.until_event(&cluster.name, "LimitsNotEnforced").await;
    let events = cluster.events("free").await;
    assert!(events.iter().all(|(reason, _)| reason != "LimitsNotEnforced"), "{events:?}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_writes_more_than_it_may_is_evicted_with_the_reason() {
    let often = |options: &mut seaway_node::NodeOptions| options.disk_interval = Duration::from_millis(200);
    let Some(cluster) = Cluster::start_with(often).await else { return };
    let fill = |path: &str| format!("head -c 8000000 /dev/zero > {path}; {SLEEP}");
    let limits = json!({"limits": {"ephemeral-storage": "4Mi"}});
    let mut root = pod(&fill("/big"));
    root["containers"][0]["resources"] = limits.clone();
    let mut log = pod(&format!("yes 'a line that is long enough to fill a log' | head -c 8000000; {SLEEP}"));
    log["containers"][0]["resources"] = limits;
    let mut volume = pod(&fill("/scratch/big"));
    volume["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    volume["volumes"] = json!([{"name": "scratch", "emptyDir": {"sizeLimit": "4Mi"}}]);
    let mut hosts = pod(&fill("/etc/hosts"));
    hosts["containers"][0]["resources"] = json!({"limits": {"ephemeral-storage": "4Mi"}});
    let unlimited = pod(&fill("/big"));
    let total = "Pod ephemeral local storage usage exceeds the total limit of containers 4Mi. ";
    cluster.run("unlimited", unlimited).await;
    for (name, spec, message) in [
        ("root", root, total),
        ("log", log, total),
        ("hosts", hosts, total),
        ("volume", volume, "Usage of EmptyDir volume \"scratch\" exceeds the limit \"4Mi\". "),
    ] {
        cluster.run(name, spec).await;
        let pod = cluster.until_phase(name, "Failed").await;
        assert_eq!(
            (&pod["status"]["reason"], &pod["status"]["message"]),
            (&json!("Evicted"), &json!(message))
        );
        assert_eq!(cluster.until_event(name, "Evicted").await, message);
    }
    let pod = cluster.until_ready("unlimited").await;
    assert_eq!(pod["status"]["phase"], "Running");
    // What the volume held is gone before the pod is.
    let uid = cluster.until_phase("volume", "Failed").await["metadata"]["uid"].as_str().unwrap().to_owned();
    let folder = cluster.folder.path().join("node/pods").join(uid).join("volumes");
    for _ in 0..1200 {
        if !folder.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!folder.exists());
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_pod_that_uses_most_is_ended() {
    let full = |options: &mut seaway_node::NodeOptions| {
        options.disk_interval = Duration::from_millis(200);
        options.disk_reserve = u64::MAX;
    };
    let Some(cluster) = Cluster::start_with(full).await else { return };
    cluster.run("small", pod(&format!("echo x > /small; {SLEEP}"))).await;
    cluster.until_ready("small").await;
    cluster.run("large", pod(&format!("head -c 8000000 /dev/zero > /big; {SLEEP}"))).await;
    let pod = cluster.until_phase("large", "Failed").await;
    assert_eq!(pod["status"]["reason"], "Evicted");
    let message = pod["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("The node was low on resource: ephemeral-storage."), "{message}");
    let small = cluster.until_ready("small").await;
    assert_eq!(small["status"]["containerStatuses"][0]["restartCount"], 0);
    // No more pods are to come, and whoever looks is told why.
    let pressure = cluster.until_condition("DiskPressure", "True").await;
    assert_eq!(pressure["reason"], "KubeletHasDiskPressure");
    cluster.until_event(&cluster.name, "NodeHasDiskPressure").await;
    let ready = cluster.until_condition("Ready", "True").await;
    assert!(
        ready["lastTransitionTime"].as_str() <= pressure["lastTransitionTime"].as_str(),
        "{ready} {pressure}"
    );
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_images_that_no_pod_uses_go_first() {
    let full = |options: &mut seaway_node::NodeOptions| {
        options.disk_interval = Duration::from_millis(200);
        options.disk_reserve = u64::MAX;
    };
    let Some(mut cluster) = Cluster::start().await else { return };
    cluster.run("once", pod("true")).await;
    let ran = |p: &Value| p["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0);
    cluster.until("once", "started", ran).await;
    let layers = cluster.folder.path().join("node/images/layers");
    let count = || std::fs::read_dir(&layers).map_or(0, Iterator::count);
    assert!(count() > 0);
    cluster.pods().delete("once", &kube::api::DeleteParams::default()).await.unwrap();
    cluster.until_gone("once").await;
    cluster.node.take().unwrap().shutdown().await;
    assert!(count() > 0, "without need they stay");
    assert!(cluster.start_node_with(full).await);
    for _ in 0..1200 {
        if count() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(), 0);
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_needs_any_more_is_collected_and_what_is_needed_stays() {
    let often =
        |options: &mut seaway_node::NodeOptions| options.collect_interval = Duration::from_millis(100);
    let Some(cluster) = Cluster::start_with(often).await else { return };
    let node = cluster.folder.path().join("node");
    let api: Api<PersistentVolumeClaim> = Api::namespaced(cluster.admin(), "default");
    let claim = json!({"metadata": {"name": "kept"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}});
    let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
    let kept = api.create(&PostParams::default(), &claim).await.unwrap().metadata.uid.unwrap();
    let folder = |uid: &str| node.join("claims").join(uid);
    for uid in [kept.as_str(), "11111111-2222-3333-4444-555555555555"] {
        std::fs::create_dir_all(folder(uid)).unwrap();
        std::fs::write(folder(uid).join("data"), "data").unwrap();
    }
    cluster.run("user", pod(SLEEP)).await;
    cluster.until_ready("user").await;
    let gone = async |what: &str, path: &std::path::Path| {
        for _ in 0..1200 {
            if std::fs::read_dir(path).map_or(0, Iterator::count) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what} is still there");
    };
    gone("the folder of a claim that nobody knows", &folder("11111111-2222-3333-4444-555555555555")).await;
    // It has been looked twice at least: what is used and known is there.
    assert!(folder(&kept).join("data").exists());
    assert!(std::fs::read_dir(node.join("images/layers")).unwrap().count() > 0);
    assert_eq!(cluster.exec("user", "echo fine").await, (0, "fine\n".to_owned()));
    cluster.pods().delete("user", &DeleteParams::default()).await.unwrap();
    cluster.until_gone("user").await;
    api.delete("kept", &DeleteParams::default()).await.unwrap();
    gone("an image that nobody uses", &node.join("images/layers")).await;
    gone("the folder of a deleted claim", &folder(&kept)).await;
    // And it comes back.
    cluster.run("again", pod(SLEEP)).await;
    cluster.until_ready("again").await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_short_of_memory_says_so_and_ends_the_pod_that_uses_most_beyond_its_request() {
    let Some(cluster) = Cluster::start_with(|options| {
        options.disk_interval = Duration::from_millis(200);
        options.memory_reserve = u64::MAX;
    })
    .await
    else {
        return;
    };
    assert_eq!(
        cluster.until_condition("MemoryPressure", "True").await["reason"],
        "KubeletHasInsufficientMemory"
    );
    if !limits_processes(&cluster.name) {
        return cluster.end().await;
    }
    // busybox' tail holds what it reads.
    let mut greedy = pod("head -c 60000000 /dev/zero | tail -c 60000000 | sleep 1000");
    greedy["containers"][0]["resources"] = json!({"requests": {"memory": "1Mi"}});
    cluster.run("greedy", greedy).await;
    let greedy = cluster.until_phase("greedy", "Failed").await;
    assert_eq!(greedy["status"]["reason"], "Evicted");
    let message = greedy["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("The node was low on resource: memory."), "{message}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_that_take_too_long_have_failed() {
    let Some(cluster) = Cluster::start().await else { return };
    let slow = |probe: Value| {
        let mut probe = probe;
        (probe["periodSeconds"], probe["timeoutSeconds"]) = (json!(1), json!(1));
        probe
    };
    let mut unready = pod(SLEEP);
    unready["containers"][0]["readinessProbe"] = slow(json!({"exec": {"command": ["sleep", "100"]}}));
    cluster.run("unready", unready).await;
    let mut deaf = pod(&format!("nc -ll -p 8080 -e sleep 1000 & {SLEEP}"));
    deaf["containers"][0]["startupProbe"] =
        json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 30});
    // It takes the connection and never answers.
    deaf["containers"][0]["livenessProbe"] =
        slow(json!({"httpGet": {"port": 8080, "path": "/"}, "failureThreshold": 1}));
    cluster.run("deaf", deaf).await;

    let message = cluster.until_event_with("unready", "Unhealthy", "Readiness").await;
    assert_eq!(message, "Readiness probe failed: command timed out: \"sleep 100\" timed out after 1s");
    // The command that took too long does not stay; nothing but the probe of this moment runs.
    let (_, processes) = cluster.exec("unready", "ps").await;
    assert!(processes.lines().filter(|line| line.ends_with("sleep 100")).count() <= 1, "{processes}");

    let message = cluster.until_event_with("deaf", "Unhealthy", "Liveness").await;
    assert!(
        message.ends_with("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
        "{message}"
    );
    cluster.until("deaf", "restarted", |p| p["status"]["containerStatuses"][0]["restartCount"] != 0).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_do_not_see_each_other_or_the_node() {
    let Some(cluster) = Cluster::start().await else { return };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let loopback = listener.local_addr().unwrap().port();
    let api = cluster.server.address().unwrap().port();
    let mut neighbour = pod(&format!("echo neighbours-secret | tee /own /scratch/file; {SLEEP}"));
    neighbour["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    neighbour["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    neighbour["containers"][0]["env"] = json!([{"name": "TOKEN", "value": "neighbours-secret"}]);
    cluster.run("neighbour", neighbour).await;
    let neighbour = cluster.until_ready("neighbour").await;
    cluster.run("curious", pod(SLEEP)).await;
    let curious = cluster.until_ready("curious").await;
    let uid = neighbour["metadata"]["uid"].as_str().unwrap();
    let data = cluster.folder.path().display();
    let script = format!(
        "cat {data}/api/kubeconfig {data}/api/pki/* {data}/node/pods/{uid}/volumes/scratch/file; ls {data}; \
         cat /proc/*/root{data}/api/kubeconfig; cat /proc/*/environ | tr '\\0' '\\n' | grep neighbours-secret; \
         find / -xdev -name kubeconfig -o -xdev -name apiserver.db -o -xdev -name '*.key'; \
         mount | grep -v ' on /[^ ]* type overlay' | grep {data} | sed 's/^/MOUNT /'; \
         for port in {loopback} {api}; do for host in 127.0.0.1 {host}; do \
         nc -w 1 $host $port </dev/null && echo REACHED $host:$port; done; done; echo end",
        host = curious["status"]["hostIP"].as_str().unwrap(),
    );
    let (_, text) = cluster.exec("curious", &script).await;
    assert!(text.contains("end\n"), "{text}");
    for secret in ["neighbours-secret", "apiVersion", "PRIVATE KEY", "REACHED", "apiserver.db"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(!text.lines().any(|line| line.ends_with("kubeconfig") && line.starts_with('/')), "{text}");
    // Each has its own name for everything.
    let (_, text) = cluster.exec("curious", "ls /own /scratch; hostname; ls -d /proc/[0-9]* | wc -l").await;
    assert!(text.contains("curious\n") && !text.contains("file\n"), "{text}");
    cluster.end().await;
}

#[test]
fn an_ordinary_users_pods_keep_their_faults_to_themselves_as_well() {
    support::as_an_ordinary_user(&[
        "pods_do_not_see_each_other_or_the_node",
        "limits_that_nobody_keeps_are_told_at_the_pod_that_sets_them",
        "a_pod_that_writes_more_than_it_may_is_evicted_with_the_reason",
        "probes_that_take_too_long_have_failed",
    ]);
}
