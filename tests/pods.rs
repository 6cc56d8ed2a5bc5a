//! Pods really run on one machine, and answer.

#![allow(clippy::unwrap_used)]

#[path = "support/images.rs"]
mod images;
#[path = "../cluster/node/tests/support/registry.rs"]
#[allow(dead_code, unreachable_pub)]
mod registry;
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use seaway_node::image::{ImageConfig, LayoutFolder};
use support::{Seaway, eventually, skipped};

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

/// Asks again and again from several threads, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<std::thread::JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    fn start(gateway: SocketAddr, host: &'static str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut good, mut bad) = (0, vec![]);
                while !stop.load(Ordering::Relaxed) {
                    match get(gateway, host) {
                        Ok((200, body)) if body.starts_with("version ") && body.ends_with('\n') => good += 1,
                        other => bad.push(format!("{other:?}")),
                    }
                }
                (good, bad)
            })
        };
        let clients = (0..clients).map(|_| client()).collect();
        Self { stop, clients }
    }

    /// How many requests were answered, and what became of the others.
    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.clients.into_iter().map(|client| client.join().unwrap());
        ended.fold((0, vec![]), |(good, bad), (more, worse)| (good + more, [bad, worse].concat()))
    }
}

/// A server that does at SIGTERM what it should: takes no more connections, finishes those that it has, and ends.
const POLITE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: polite}
spec:
  replicas: 3
  selector: {matchLabels: {app: polite}}
  template:
    metadata: {labels: {app: polite}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
      - name: web
        image: registry.test/web:1
        command: [sh, -c, \"trap 'kill $!; sleep 0.5; exit 0' TERM; httpd -f -p 80 -h /www & wait\"]
        ports: [{name: http, containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1, timeoutSeconds: 20, failureThreshold: 10}
---
apiVersion: v1
kind: Service
metadata: {name: polite}
spec:
  selector: {app: polite}
  ports: [{port: 8080, targetPort: http}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: polite}
spec:
  parentRefs: [{name: seaway, namespace: seaway-system}]
  hostnames: [polite.localhost]
  rules: [{backendRefs: [{name: polite, port: 8080}]}]
";

#[test]
fn rollovers_fail_no_request_of_several_clients_though_no_hook_delays_the_end_of_pods() {
    let temporary = tempfile::tempdir().unwrap();
    let layout = temporary.path().join("images");
    if images::web(&layout, "www").is_none() {
        return;
    }
    let layout = layout.display().to_string();
    let seaway = Seaway::start_with(&temporary.path().join("data"), &["--image-layout", &layout]);
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows no namespaces");
        return;
    }
    k.apply(POLITE);
    k.ok("rollout status deployment/polite --timeout=180s");
    let gateway = seaway.gateway();
    eventually("the gateway answers", || matches!(get(gateway, "polite.localhost"), Ok((200, _))));
    let load = Load::start(gateway, "polite.localhost", 4);
    for version in [2, 1, 2] {
        k.ok(&format!("set image deployment/polite web=registry.test/web:{version}"));
        k.ok("rollout status deployment/polite --timeout=180s");
        eventually("the old pods are gone", || k.ok("get pods -l app=polite -o name").rows().len() == 3);
    }
    let (good, bad) = load.end();
    assert!(good > 100 && bad.is_empty(), "{good} good, failed: {bad:?}");
    assert!(seaway.terminate().success());
}

/// What stands in for the program of the manifests below: it takes their arguments and answers where they say.
const STAND_IN: &str = "#!/bin/sh
for each; do case $each in --port=*) port=${each#--port=};; esac; done
exec httpd -f -p \"$port\" -h /srv
";

/// `podcli check http HOST:PORT/PATH`.
const CHECK: &str = "#!/bin/sh
[ \"$1 $2\" = 'check http' ] && exec wget -q -O /dev/null \"http://$3\"
";

const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: podinfo}
spec:
  parentRefs: [{name: seaway, namespace: seaway-system}]
  hostnames: [podinfo.localhost]
  rules: [{backendRefs: [{name: podinfo, port: 9898}]}]
";

#[test]
fn manifests_that_somebody_else_wrote_run_from_a_registry_and_answer_through_the_gateway() {
    // As they lie in their repository: nothing of them is changed.
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/kustomize");
    let manifests = corpus.join("stefanprodan--podinfo/tree/kustomize");
    if !manifests.is_dir() {
        println!("skipped: the corpus of other people's repositories does not lie beside the checkout");
        return;
    }
    let deployment = std::fs::read_to_string(manifests.join("deployment.yaml")).unwrap();
    let name = deployment.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap().to_owned();
    let (host, repository, tag) = {
        let (path, tag) = name.rsplit_once(':').unwrap();
        let (host, repository) = path.split_once('/').unwrap();
        (host, repository, tag)
    };
    let temporary = tempfile::tempdir().unwrap();
    let layout = temporary.path().join("image");
    let config = ImageConfig {
        env: Some(vec!["PATH=/bin".to_owned()]),
        working_dir: Some("/home/app".to_owned()),
        ..ImageConfig::default()
    };
    let files = [
        ("home/app/podinfo", 0o755, STAND_IN),
        ("bin/podcli", 0o755, CHECK),
        ("srv/index.html", 0o644, "from somebody else's manifest\n"),
        ("srv/healthz", 0o644, "ok\n"),
        ("srv/readyz", 0o644, "ok\n"),
    ];
    if images::with_files(&layout, &name, &config, &files).is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (registry, digest) = {
        let _entered = runtime.enter();
        let Some(registry) = runtime.block_on(registry::DebianRegistry::start(temporary.path())) else {
            return;
        };
        let digest = runtime.block_on(registry.push(&LayoutFolder::new(&layout), repository, tag));
        (registry, digest)
    };
    let mirror = format!("{host}={}", registry.address);
    let seaway = Seaway::start_with(&temporary.path().join("data"), &["--registry-mirror", &mirror]);
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows no namespaces");
        return;
    }
    for file in ["deployment.yaml", "service.yaml", "hpa.yaml"] {
        k.ok(&format!("apply -f {}", manifests.join(file).display()));
    }
    k.apply(ROUTE);
    k.ok("rollout status deployment/podinfo --timeout=180s");
    let gateway = seaway.gateway();
    eventually(
        "the gateway answers",
        || matches!(get(gateway, "podinfo.localhost"), Ok((200, body)) if body == "from somebody else's manifest\n"),
    );
    let status =
        "get pods -l app=podinfo -o jsonpath={.items[0].status.containerStatuses[0]['image','imageID']}";
    k.prints(status, &format!("{name} {host}/{repository}@{digest}"));
    k.ok("scale deployment podinfo --replicas=2");
    k.ok("rollout status deployment/podinfo --timeout=180s");
    assert!(k.ok("exec deployment/podinfo -- podcli check http localhost:9898/readyz").success);
    assert!(seaway.terminate().success());
}
