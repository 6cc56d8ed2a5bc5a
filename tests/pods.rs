//! Pods really run on one machine, and answer.

#![allow(clippy::unwrap_used)]

#[path = "support/images.rs"]
mod images;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Seaway, eventually};

const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      # busybox' server, being the first process, does not end at SIGTERM.
      terminationGracePeriodSeconds: 3
      containers:
      - name: web
        image: registry.test/web:1
        ports: [{name: http, containerPort: 80}]
        # A machine that is busy with other tests answers late, and that is not what is tried here.
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10}
        # Requests that were on their way when the pod left the Service are still answered.
        lifecycle: {preStop: {exec: {command: [sleep, '1']}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 8080, targetPort: http}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: seaway, namespace: seaway-system}]
  hostnames: [web.localhost]
  rules:
  - backendRefs: [{name: web, port: 8080}]
";

/// Status and body of a GET through the gateway.
fn get(gateway: SocketAddr, host: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}:{}\r\nConnection: close\r\n\r\n", gateway.port())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}

/// Processes whose command line holds a word.
fn processes(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok());
    let lines = numbers.filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
}

#[test]
fn a_deployment_runs_answers_scales_rolls_over_and_survives() {
    let temporary = tempfile::tempdir().unwrap();
    let layout = temporary.path().join("images");
    let marker = format!("www-{}", std::process::id());
    if images::web(&layout, &marker).is_none() {
        return;
    }
    let folder = temporary.path().join("data");
    let layout = layout.display().to_string();
    let options = ["--image-layout", &layout];
    let seaway = Seaway::start_with(&folder, &options);
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows no namespaces");
        return;
    }
    k.apply(MANIFEST);
    k.ok("rollout status deployment/web --timeout=180s");
    k.ok("wait --for=condition=Ready pods -l app=web --timeout=180s");
    let answers = |seaway: &Seaway, body: &str| {
        let gateway = seaway.gateway();
        eventually(
            "the gateway answers",
            || matches!(get(gateway, "web.localhost"), Ok((200, b)) if b.contains(body)),
        );
    };
    answers(&seaway, "version 1");
    assert_eq!(get(seaway.gateway(), "nobody.localhost").unwrap().0, 404);

    k.ok("scale deployment web --replicas=3");
    k.ok("rollout status deployment/web --timeout=180s");
    assert_eq!(k.ok("get pods -l app=web --field-selector status.phase=Running -o name").rows().len(), 3);

    // Another image, under load: no request fails.
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (stop, gateway) = (stop.clone(), seaway.gateway());
        std::thread::spawn(move || {
            let (mut good, mut bad) = (0, vec![]);
            while !stop.load(Ordering::Relaxed) {
                match get(gateway, "web.localhost") {
                    Ok((200, body)) if body.starts_with("version") => good += 1,
                    other => bad.push(format!("{other:?}")),
                }
            }
            (good, bad)
        })
    };
    k.ok("set image deployment/web web=registry.test/web:2");
    k.ok("rollout status deployment/web --timeout=180s");
    eventually("the old pods are gone", || k.ok("get pods -l app=web -o name").rows().len() == 3);
    stop.store(true, Ordering::Relaxed);
    let (good, bad) = load.join().unwrap();
    assert!(good > 20 && bad.is_empty(), "{good} good, failed: {bad:?}");
    answers(&seaway, "version 2");
    // What each revision answered is counted by itself.
    let metrics = k.ok("get --raw /metrics").stdout;
    let counted = metrics.lines().filter(|line| {
        line.starts_with("seaway_gateway_requests_total{")
            && ["route=\"web\"", "backend=\"web\"", "code_class=\"2xx\""]
                .iter()
                .all(|label| line.contains(label))
    });
    let revisions: std::collections::HashSet<&str> =
        counted.filter_map(|line| line.split("pod_template_hash=\"").nth(1)?.split('"').next()).collect();
    assert_eq!(revisions.into_iter().filter(|hash| !hash.is_empty()).count(), 2, "{metrics}");

    let pod = k.ok("get pods -l app=web -o jsonpath={.items[0].metadata.name}").stdout;
    eventually("the log tells of a request", || k.ok(&format!("logs {pod}")).stdout.contains("response:200"));
    let printed = k.ok(&format!("exec {pod} -- cat /{marker}/index.html"));
    assert_eq!(printed.stdout, "version 2\n");
    let printed = k.run(&format!("exec {pod} -- sh -c exit${{IFS}}3"));
    assert!(printed.stderr.contains("exit code 3"), "{printed:?}");
    let printed = k.args(&["exec", "-i", &pod, "--", "tr", "a-z", "A-Z"], "hello");
    assert_eq!(printed.stdout, "HELLO", "{printed:?}");

    // kill -9 leaves no process behind, and a restart brings everything back.
    assert!(processes(&marker) >= 3);
    let (folder, _none) = seaway.kill();
    eventually("no process is left", || processes(&marker) == 0);
    let seaway = Seaway::start_with(&folder, &options);
    answers(&seaway, "version 2");
    let k = seaway.kubectl();
    eventually("all pods are ready again", || {
        k.ok("get deployment web -o jsonpath={.status.readyReplicas}").stdout == "3"
    });
    k.ok("delete deployment web");
    eventually("the pods are gone", || k.ok("get pods -o name").stdout.is_empty() && processes(&marker) == 0);
    assert!(seaway.terminate().success());
}
