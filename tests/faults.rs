//! Hosts and images that stand in the way: Seaway says what is wrong, what to do, and goes on with the rest.

#![allow(clippy::unwrap_used)]

#[path = "support/images.rs"]
mod images;
mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use support::{Kubectl, Seaway, eventually, program};

#[test]
fn where_the_host_forbids_namespaces_the_api_works_and_the_reason_is_told() {
    // A user namespace of its own, in which no network namespace can be made: what such a host looks like from inside.
    let forbid = "echo 0 > /proc/sys/user/max_net_namespaces && exec \"$@\"";
    let can = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", forbid, "sh", "true"])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: this host allows no user namespaces to begin with");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", forbid, "sh"]).arg(program().get_program());
    command.args([
        "up",
        "--kube-listen",
        "127.0.0.1:0",
        "--gateway-listen",
        "127.0.0.1:0",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.arg("--data-dir").arg(&data).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"), "{line}");
    let k = Kubectl::new(&data.join("kubeconfig"));
    assert_eq!(k.ok("get nodes -o name").stdout, "");
    k.ok("create deployment web --image=registry.test/web:1");
    eventually("the pod waits, and says for what", || {
        let message = "get pods -o jsonpath={.items[0].status.conditions[?(@.type=='PodScheduled')].message}";
        k.run(message).stdout.contains("no nodes available")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("forbids") && said.contains("unshare and mount"), "{said}");
}

#[test]
fn a_gateways_address_that_is_taken_is_told_once_with_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = program()
        .args(["up", "--node", "none", "--kube-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
        .args(["--gateway-listen", &address, "--data-dir"])
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [address.as_str(), "--gateway-listen", "in use"] {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
}

#[test]
fn one_pods_fault_does_not_disturb_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("images");
    if images::web(&layout, "www").is_none() {
        return;
    }
    let layout = layout.display().to_string();
    let seaway = Seaway::start_with(&folder.path().join("data"), &["--image-layout", &layout]);
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows no namespaces");
        return;
    }
    let pod = |name: &str, script: &str, more: &str| {
        k.apply(&format!(
            "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {{name: c, image: 'registry.test/web:1', command: [sh, -c, \"{script}\"]{more}}}
"
        ));
    };
    pod("good", "exec httpd -f -p 80 -h /www", "");
    pod("exits", "exit 3", "");
    pod("deaf", "trap '' TERM; while true; do sleep 1; done", "");
    pod(
        "greedy",
        "head -c 20000000 /dev/zero > /big; sleep 1000",
        ", resources: {limits: {ephemeral-storage: 5Mi}}",
    );
    pod("huge", "sleep 1000", ", resources: {requests: {memory: 100Ti}}");
    k.ok("run absent --image=127.0.0.1:1/none:1");
    let shows = |what: &str, path: &str, wanted: &str| {
        eventually(what, || k.run(&format!("get pod {what} -o jsonpath={path}")).stdout.contains(wanted));
    };
    k.ok("wait --for=condition=Ready pod/good pod/deaf --timeout=180s");
    shows("exits", "{.status.containerStatuses[0].state.waiting.reason}", "CrashLoopBackOff");
    shows("exits", "{.status.containerStatuses[0].lastState.terminated.exitCode}", "3");
    shows("absent", "{.status.containerStatuses[0].state.waiting.reason}", "ImagePullBackOff");
    shows("huge", "{.status.conditions[0].message}", "Insufficient memory");
    shows("greedy", "{.status.reason}", "Evicted");
    k.ok("delete pod deaf exits absent huge greedy --timeout=180s");
    k.prints("get pod good -o jsonpath={.status.containerStatuses[0].restartCount}", "0");
    assert_eq!(k.ok("exec good -- wget -q -O - http://127.0.0.1/index.html").stdout, "version 1\n");
    assert!(seaway.terminate().success());
}
