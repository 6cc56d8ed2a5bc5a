//! What `kubectl rollout` does with the controllers' objects, when there is a kubectl to ask: in the
//! variable `KUBECTL`, or on the path.
#![allow(clippy::unwrap_used)]

#[path = "cluster/mod.rs"]
#[allow(dead_code)]
mod cluster;

use std::process::Stdio;

use cluster::Cluster;
use serde_json::json;

struct Kubectl {
    program: String,
    config: tempfile::NamedTempFile,
    _authority: tempfile::NamedTempFile,
}

impl Kubectl {
    /// `None`, with a word about it, when there is no kubectl.
    fn of(cluster: &Cluster) -> Option<Self> {
        let program = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let found = std::process::Command::new(&program)
            .args(["version", "--client"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        if !found {
            println!("skipped: there is no kubectl; name one in the variable KUBECTL");
            return None;
        }
        let server = &cluster.server;
        let authority = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(authority.path(), server.ca_pem()).unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{}", server.address().unwrap()), "certificate-authority": authority.path()}}],
            "users": [{"name": "test", "user": {"token": server.admin_token().expose()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        Some(Self { program, config: file, _authority: authority })
    }

    async fn run(&self, arguments: &str) -> String {
        let output = tokio::process::Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(self.config.path())
            .args(arguments.split_whitespace())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments}: {text}{errors}");
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rollout_commands_work_on_every_kind() {
    let cluster = Cluster::start().await;
    let Some(kubectl) = Kubectl::of(&cluster) else { return cluster.stop().await };
    let template = json!({"metadata": {"labels": {"app": "web"}},
                          "spec": {"containers": [{"name": "web", "image": "web:1"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    cluster
        .create::<k8s_openapi::api::apps::v1::Deployment>(json!({"metadata": {"name": "web"},
            "spec": {"replicas": 2, "selector": selector, "template": template}}))
        .await;
    let status = kubectl.run("rollout status deployment/web --timeout=60s").await;
    assert!(status.ends_with("deployment \"web\" successfully rolled out\n"), "{status}");
    kubectl.run("set image deployment/web web=web:2").await;
    kubectl.run("rollout status deployment/web --timeout=60s").await;
    let history = kubectl.run("rollout history deployment/web").await;
    assert_eq!(revisions(&history), ["1", "2"]);
    assert!(kubectl.run("rollout history deployment/web --revision=1").await.contains("web:1"));
    kubectl.run("rollout undo deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=60s").await;
    assert_eq!(image(&kubectl, "deployment").await, "web:1");
    assert_eq!(revisions(&kubectl.run("rollout history deployment/web").await), ["2", "3"]);
    kubectl.run("rollout restart deployment/web").await;
    kubectl.run("rollout status deployment/web --timeout=60s").await;
    kubectl.run("rollout pause deployment/web").await;
    kubectl.run("rollout resume deployment/web").await;
    kubectl.run("scale deployment/web --replicas=1").await;
    kubectl.run("wait deployment/web --for=condition=Available --timeout=60s").await;
    assert!(kubectl.run("describe deployment/web").await.contains("ScalingReplicaSet"));
    kubectl.run("delete deployment/web --cascade=foreground").await;

    for kind in ["statefulset", "daemonset"] {
        let mut spec = json!({"selector": selector, "template": template});
        let object = if kind == "statefulset" {
            spec["serviceName"] = json!("web");
            json!({"metadata": {"name": "web"}, "spec": spec})
        } else {
            json!({"metadata": {"name": "web"}, "spec": spec})
        };
        if kind == "statefulset" {
            cluster.create::<k8s_openapi::api::apps::v1::StatefulSet>(object).await;
        } else {
            cluster.create::<k8s_openapi::api::apps::v1::DaemonSet>(object).await;
        }
        kubectl.run(&format!("rollout status {kind}/web --timeout=60s")).await;
        kubectl.run(&format!("set image {kind}/web web=web:2")).await;
        kubectl.run(&format!("rollout status {kind}/web --timeout=60s")).await;
        assert_eq!(revisions(&kubectl.run(&format!("rollout history {kind}/web")).await), ["1", "2"]);
        kubectl.run(&format!("rollout undo {kind}/web")).await;
        kubectl.run(&format!("rollout status {kind}/web --timeout=60s")).await;
        assert_eq!(image(&kubectl, kind).await, "web:1");
        assert_eq!(revisions(&kubectl.run(&format!("rollout history {kind}/web")).await), ["2", "3"]);
        kubectl.run(&format!("rollout restart {kind}/web")).await;
        kubectl.run(&format!("rollout status {kind}/web --timeout=60s")).await;
        kubectl.run(&format!("delete {kind}/web --cascade=foreground")).await;
    }

    kubectl.run("create job task --image=task:works").await;
    kubectl.run("wait job/task --for=condition=Complete --timeout=60s").await;
    let pods = kubectl.run("get pods --selector=job-name=task --no-headers").await;
    assert!(pods.contains("Completed") || pods.contains("Succeeded"), "{pods}");
    cluster.stop().await;
}

/// The first column of a history.
fn revisions(history: &str) -> Vec<&str> {
    let rows = history.lines().filter_map(|line| line.split_whitespace().next());
    rows.filter(|word| word.parse::<u32>().is_ok()).collect()
}

async fn image(kubectl: &Kubectl, kind: &str) -> String {
    kubectl.run(&format!("get {kind}/web -o jsonpath={{.spec.template.spec.containers[0].image}}")).await
}
