//! What stays in production has its stand-in in a copy, with real pods: volumes are filled by a program, services
//! answered by another, hosts and files replaced, and what is shared answers from production.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
#[path = "support/images.rs"]
mod images;
mod support;

use git::Repository;
use serde_json::json;
use support::person::Person;
use support::{Kubectl, Seaway, eventually};

/// Runs in production and in a hardened namespace alike.
fn deployment(name: &str, script: &str, rest: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      securityContext: {{runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000, seccompProfile: {{type: RuntimeDefault}}}}
      containers:
      - name: main
        image: registry.test/web:1
        command: [sh, -c, \"{script}; exec httpd -f -p 8080 -h /www\"]
        securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
        readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
{rest}---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    )
}

const ORDERS: &str = "        env:
        - {name: PASSWORD, valueFrom: {secretKeyRef: {name: database, key: password}}}
        - {name: PAYMENTS, valueFrom: {configMapKeyRef: {name: settings, key: payments}}}
        envFrom: [{secretRef: {name: keys}}]
        volumeMounts: [{name: orders, mountPath: /www}]
      volumes: [{name: orders, persistentVolumeClaim: {claimName: orders}}]
";

const KEPT: &str = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: orders}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Secret
metadata: {name: database}
stringData: {password: of-production}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {payments: \"http://payments.example.com/pay\"}
---
apiVersion: v1
kind: Service
metadata: {name: mail}
spec: {type: ExternalName, externalName: mail.example.com, ports: [{port: 80}]}
";

const KUSTOMIZATION: &str = "resources: [orders.yaml, kept.yaml]
secretGenerator: [{name: keys, envs: [production.env]}]
";

fn stack(url: &str) -> String {
    let source = |path: &str| json!({"repo": url, "path": path, "revision": "main"});
    let program = |script: &str| json!({"image": "registry.test/web:1", "command": ["sh", "-c", script]});
    let mut mock =
        program("mkdir /tmp/www; echo a mock > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www");
    mock["port"] = json!(8080);
    let production_only = json!([
        {"name": "orders", "target": {"kind": "PersistentVolumeClaim"},
         "standIn": {"seed": program("echo made up > /seed/index.html")}},
        {"name": "password", "target": {"kind": "Secret", "name": "database"},
         "standIn": {"secret": {"generate": ["password"]}}},
        {"name": "keys", "file": "orders/production.env", "standIn": {"content": "API_KEY=for-copies\n"}},
        {"name": "made-of-it", "target": {"kind": "Secret", "name": "keys-*"}, "standIn": {"keep": true}},
        {"name": "payments", "host": "payments.example.com", "standIn": {"host": "mail"}},
        {"name": "mail", "target": {"kind": "Service", "name": "mail"}, "standIn": {"service": mock}},
    ]);
    let stack = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Stack",
        "metadata": {"name": "shop", "namespace": "seaway"},
        "spec": {
            "components": [
                {"name": "orders", "source": source("orders")},
                {"name": "search", "source": source("search"), "copy": "shared"},
            ],
            "productionOnly": production_only}});
    let production = json!({"apiVersion": "seaway.dev/v1alpha1", "kind": "Environment",
        "metadata": {"name": "production", "namespace": "seaway"},
        "spec": {"stack": "shop", "class": "production", "destination": {"namespace": "shop"}}});
    format!("{stack}\n---\n{production}\n")
}

/// What a pod of an environment gets from there.
fn fetched(k: &Kubectl, namespace: &str, url: &str) -> String {
    let printed = k.run(&format!("exec -n {namespace} deployment/orders -- wget -q -O - {url}"));
    printed.stdout.trim().to_owned()
}

/// A service knows its pods a moment after they are ready.
fn gets(k: &Kubectl, namespace: &str, url: &str, wanted: &str) {
    let what = format!("{url} answers {wanted:?} in {namespace}");
    eventually(&what, || fetched(k, namespace, url) == wanted);
}

fn variable(k: &Kubectl, namespace: &str, name: &str) -> String {
    let printed = k.ok(&format!("exec -n {namespace} deployment/orders -- env"));
    let value = printed.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_default().to_owned()
}

#[test]
fn a_copys_pods_meet_the_stand_ins_of_what_stays_in_production() {
    let temporary = tempfile::tempdir().unwrap();
    let layout = temporary.path().join("images");
    if images::web(&layout, "www").is_none() {
        return;
    }
    let repository = Repository::new();
    let orders =
        deployment("orders", "[ -e /www/index.html ] || echo of production > /www/index.html", ORDERS);
    // Its image has a page in the folder that is served.
    let search = deployment("search", "true", "");
    repository.push(
        "main",
        "Shop",
        &[
            ("orders/kustomization.yaml", KUSTOMIZATION),
            ("orders/orders.yaml", &orders),
            ("orders/kept.yaml", KEPT),
            ("orders/production.env", "API_KEY=of-production\n"),
            ("search/search.yaml", &search),
        ],
    );
    let seaway = Seaway::start_with(
        &temporary.path().join("data"),
        &["--image-layout", &layout.display().to_string()],
    );
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows no namespaces");
        return;
    }
    let admin = Person::new(&seaway.folder.join("kubeconfig"));
    k.apply(&stack(&repository.url()));
    eventually("production is there to be copied", || {
        admin.run("env create mine --copy-of production --dry-run").success
    });
    let made = admin.ok("env create mine --copy-of production");
    assert!(!made.stdout.contains("of-production"), "{made:?}");

    // Production's own pods, then those of the copy.
    k.ok("rollout status deployment/orders -n shop --timeout=180s");
    gets(&k, "shop", "http://orders/", "of production");
    gets(&k, "mine-shop", "http://orders/", "made up");
    assert_eq!(variable(&k, "shop", "PASSWORD"), "of-production");
    let password = variable(&k, "mine-shop", "PASSWORD");
    assert!(password.len() >= 16 && password != "of-production", "{password}");
    assert_eq!(variable(&k, "shop", "API_KEY"), "of-production");
    assert_eq!(variable(&k, "mine-shop", "API_KEY"), "for-copies");
    assert_eq!(variable(&k, "mine-shop", "PAYMENTS"), "http://mail/pay");
    gets(&k, "mine-shop", "http://mail/", "a mock");
    // The shared component runs in production alone, and answers by the same name.
    assert!(k.ok("get deployments -n mine-shop -o name").stdout.lines().all(|name| !name.contains("search")));
    for name in ["search", "search.shop", "search.mine-shop.svc.cluster.local"] {
        gets(&k, "mine-shop", &format!("http://{name}/"), "version 1");
    }
    let fidelity = admin.json("env fidelity mine -o json");
    assert_eq!(fidelity["undeclared"], 0, "{fidelity}");

    // The volume is filled once: what the copy wrote since stays.
    k.ok("exec -n mine-shop deployment/orders -- sh -c echo${IFS}mine>/www/index.html");
    admin.ok("env sync mine");
    k.ok("delete pods -n mine-shop -l app=orders");
    k.ok("rollout status deployment/orders -n mine-shop --timeout=180s");
    eventually("the pod is back with its volume", || fetched(&k, "mine-shop", "http://orders/") == "mine");
    admin.ok("env delete mine --yes");
    gets(&k, "shop", "http://orders/", "of production");
    assert!(seaway.terminate().success());
}
