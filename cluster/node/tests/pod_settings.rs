//! What a pod's spec asks for, seen from inside and from outside of the pod.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use support::cluster::{Cluster, pod};
use tokio::io::AsyncReadExt;

const SLEEP: &str = "trap exit TERM; while true; do sleep 0.1; done";

/// Lines of `/proc/self/status` of a shell that runs beside the container's program, by their names.
async fn process_status(cluster: &Cluster, name: &str) -> std::collections::HashMap<String, String> {
    let (code, text) = cluster.exec(name, "cat /proc/1/status").await;
    assert_eq!(code, 0, "{text}");
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_security_context_reaches_the_process() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut tight = pod(SLEEP);
    tight["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 2000, "supplementalGroups": [3000]});
    tight["containers"][0]["securityContext"] = json!({
        "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "runAsUser": 1001,
        "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}});
    tight["volumes"] = json!([{"name": "scratch", "emptyDir": {}}]);
    tight["containers"][0]["volumeMounts"] = json!([{"name": "scratch", "mountPath": "/scratch"}]);
    cluster.run("tight", tight).await;
    let mut loose = pod(SLEEP);
    loose["containers"][0]["securityContext"] = json!({"seccompProfile": {"type": "Unconfined"}, "capabilities": {"drop": ["CHOWN"], "add": ["SYS_PTRACE"]}});
    cluster.run("loose", loose).await;
    cluster.run("plain", pod(SLEEP)).await;
    for name in ["tight", "loose", "plain"] {
        cluster.until_ready(name).await;
    }

    let (code, text) = cluster.exec("tight", "touch /made").await;
    assert!(code != 0 && text.contains("Read-only file system"), "{text}");
    assert_eq!(
        cluster.exec("tight", "touch /scratch/made && id -u && id -g && id -G").await,
        (0, "1001\n2000\n2000 3000\n".to_owned())
    );
    let seen = process_status(&cluster, "tight").await;
    assert_eq!(seen["NoNewPrivs"], "1");
    // CAP_NET_BIND_SERVICE is number 10; a process that is not root has it to give, not to use.
    assert_eq!(seen["CapBnd"], "0000000000000400");
    assert_eq!(seen["Seccomp"], "2");

    let seen = process_status(&cluster, "loose").await;
    assert_eq!(seen["NoNewPrivs"], "0");
    // Without the usual filter, namespaces can be made.
    assert_eq!(cluster.exec("loose", "unshare -U true").await, (0, String::new()));
    // The default set without CAP_CHOWN (0), with CAP_SYS_PTRACE (19).
    assert_eq!(seen["CapEff"], "00000000a80c25fa");
    assert_eq!(cluster.exec("loose", "touch /made").await.0, 0);

    let seen = process_status(&cluster, "plain").await;
    assert_eq!((seen["NoNewPrivs"].as_str(), seen["Seccomp"].as_str()), ("0", "2"));
    assert_eq!(seen["CapEff"], "00000000a80425fb");
    let (code, text) = cluster.exec("plain", "unshare -U true").await;
    assert!(code != 0 && text.contains("Operation not permitted"), "{text}");
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_run_as_non_root_is_told_in_the_kubelets_words() {
    let Some(cluster) = Cluster::start().await else { return };
    let mut spec = pod(SLEEP);
    spec["securityContext"] = json!({"runAsNonRoot": true});
    cluster.run("root", spec).await;
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"].clone();
    let seen =
        cluster.until("root", "refused", |pod| waiting(pod)["reason"] == "CreateContainerConfigError").await;
    let uid = seen["metadata"]["uid"].as_str().unwrap();
    let words = format!(
        "container has runAsNonRoot and image will run as root (pod: \"root_default({uid})\", container: c)"
    );
    assert_eq!(waiting(&seen)["message"], words);
    assert_eq!(cluster.until_event("root", "Failed").await, format!("Error: {words}"));
    cluster.end().await;
}

/// What a pod's server says to who connects to a port of the host.
async fn said(port: u16) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        let _ = stream.read_to_string(&mut text).await;
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_port_leads_to_the_pod_from_the_hosts_loopback_address() {
    let Some(cluster) = Cluster::start().await else { return };
    // Somebody else has it at first, so that no other test is given it meanwhile.
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let mut spec = pod("exec nc -ll -p 80 -e echo from the pod");
    spec["containers"][0]["ports"] = json!([
        {"containerPort": 80, "hostPort": port}, {"containerPort": 53, "hostPort": 5353, "protocol": "UDP"}]);
    cluster.run("web", spec).await;
    let taken = format!("hostPort {port} cannot be taken on 127.0.0.1");
    cluster.until_event_with("web", "HostPortNotServed", &taken).await;
    cluster.until_event_with("web", "HostPortNotServed", "hostPort 5353/UDP is not served").await;
    drop(other);
    cluster.until_ready("web").await;
    let mut text = String::new();
    for _ in 0..1200 {
        text = said(port).await;
        if !text.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(text, "from the pod\n");
    // It goes with the pod.
    cluster.pods().delete("web", &Default::default()).await.unwrap();
    cluster.until_gone("web").await;
    let mut free = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for _ in 0..1200 {
        if free.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        free = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    }
    free.unwrap();
    cluster.end().await;
}

/// Which part of a processor a busy loop gets, of two pods over the same time: one limited to a tenth, one free.
#[tokio::test(flavor = "multi_thread")]
async fn a_cpu_limit_holds_a_busy_program_back() {
    let Some(cluster) = Cluster::start().await else { return };
    let trees = ["/sys/fs/cgroup/cpu/seaway", "/sys/fs/cgroup/seaway"].map(std::path::Path::new);
    if !trees.iter().any(|tree| tree.join(&cluster.name).exists()) {
        println!("skipped: this host lets nobody make control groups");
        return cluster.end().await;
    }
    let mut limited = pod("while :; do :; done");
    limited["containers"][0]["resources"] = json!({"limits": {"cpu": "100m"}});
    cluster.run("limited", limited).await;
    cluster.until_ready("limited").await;
    // Clock ticks that its program has had, and now, in hundredths of a second.
    let look = "cut -d ' ' -f 14,15 /proc/1/stat; cut -d ' ' -f 1 /proc/uptime";
    let reading = |text: String| -> (f64, f64) {
        let mut numbers = text.split_whitespace().map(|n| n.parse::<f64>().unwrap());
        let mut next = || numbers.next().unwrap();
        (next() + next(), next() * 100.0)
    };
    let (first, began) = reading(cluster.exec("limited", look).await.1);
    // Until it has had half a second of a processor, which takes it five: how long that was is what counts.
    let mut last = (first, began);
    for _ in 0..1200 {
        last = reading(cluster.exec("limited", look).await.1);
        if last.0 >= first + 50.0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let share = (last.0 - first) / (last.1 - began);
    assert!(last.0 >= first + 50.0 && share < 0.25, "it had {share:.2} of a processor");
    cluster.end().await;
}
