//! `seaway serve` and `seaway install`: Seaway proper against a Kubernetes that is not its own.

#![allow(clippy::unwrap_used)]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/git.rs"]
mod git;
#[path = "real-kubernetes/mod.rs"]
mod real_kubernetes;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use cluster::Cluster;
use git::Repository;
use real_kubernetes::{Parts, RealKubernetes};
use serde_json::{Value, json};
use serving::{Serve, install};
use support::person::PASSWORD;
use support::{Kubectl, Seaway, eventually, program, unwrapped};

fn settings(color: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{color: {color}}}\n")
}

fn definitions(url: &str) -> String {
    format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    source: {{repo: \"{url}\", path: app, revision: main}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: staging, namespace: seaway}}\nspec:\n  \
         stack: shop\n  destination: {{namespace: shop}}\n"
    )
}

fn request(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// What holds on any Kubernetes.
fn an_environment_follows_git_and_people_act_as_themselves(admin: &Path) {
    let temporary = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    repository.push("main", "First", &[("app/settings.yaml", &settings("red"))]);
    let own = install(admin, temporary.path());
    let k = Kubectl::new(admin);
    let data = temporary.path().join("data");
    let mut serve = Serve::start(&own, &data, &[]);
    k.apply(&definitions(&repository.url()));
    let color = || k.run("get configmap settings -n shop -o jsonpath={.data.color}").stdout;
    eventually("the environment is deployed", || color() == "red");
    eventually("its status says so", || {
        k.run("get environment staging -n seaway -o jsonpath={.status.sync}/{.status.health}").stdout
            == "Synced/Healthy"
    });
    repository.push("main", "Blue", &[("app/settings.yaml", &settings("blue"))]);
    eventually("the push is followed", || color() == "blue");
    k.args(
        &["patch", "cm", "settings", "-n", "shop", "--type=merge", "-p", r#"{"data":{"color":"green"}}"#],
        "",
    );
    eventually("the drift is reverted", || color() == "blue");

    // The first account administers Seaway, and acts under its own name.
    let code = serve.setup_code();
    let body = json!({"code": code, "name": "ada", "password": PASSWORD}).to_string();
    let (status, answer) = request(&serve.address, "POST", "/api/v1/setup", "", &body);
    assert_eq!(status, 200, "{answer}");
    let login = json!({"name": "ada", "password": PASSWORD}).to_string();
    let (status, answer) = request(&serve.address, "POST", "/api/v1/tokens", "", &login);
    assert_eq!(status, 200, "{answer}");
    let token: Value = serde_json::from_str(&answer[answer.find('{').unwrap()..]).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", token["token"].as_str().unwrap());
    let (status, answer) = request(&serve.address, "GET", "/api/v1/environments", &bearer, "");
    assert!(status == 200 && answer.contains("\"staging\""), "{answer}");
    let (status, answer) =
        request(&serve.address, "POST", "/api/v1/environments/seaway/staging/suspend", &bearer, "");
    assert_eq!(status, 200, "{answer}");
    // A token of the cluster is checked by the cluster.
    let stranger = k.ok("create token default --namespace default").stdout;
    let stranger = format!("Authorization: Bearer {}\r\n", stranger.trim());
    let (status, answer) =
        request(&serve.address, "GET", "/api/v1/environments/seaway/staging", &stranger, "");
    assert!(status == 403 && answer.contains("system:serviceaccount:default:default"), "{answer}");

    // What was begun goes on after the end, also a sudden one.
    serve.kill();
    let serve = Serve::start(&own, &data, &[]);
    eventually("it is known again, and suspended", || {
        let (status, answer) =
            request(&serve.address, "GET", "/api/v1/environments/seaway/staging", &bearer, "");
        status == 200 && answer.contains("\"suspended\":true")
    });
    assert!(serve.terminate().success());
    assert_eq!(k.ok("get lease seaway -n seaway-system -o jsonpath={.spec.holderIdentity}").stdout, "");
}

#[test]
fn it_serves_the_embedded_api_with_the_rights_that_are_installed() {
    let cluster = Cluster::start();
    an_environment_follows_git_and_people_act_as_themselves(&cluster.kubeconfig());
}

#[test]
fn it_serves_a_real_kubernetes_with_the_rights_that_are_installed() {
    let Some(programs) = real_kubernetes::programs() else { return };
    let mut real = RealKubernetes::start(&programs, Parts { sync_writes: false });
    real.start_controllers();
    let k = Kubectl::new(&real.kubeconfig());
    eventually("the default account is there", || k.run("get serviceaccount default -n default").success);
    an_environment_follows_git_and_people_act_as_themselves(&real.kubeconfig());
}

#[test]
fn of_two_replicas_one_is_active_and_the_other_goes_on_when_it_ends() {
    let cluster = Cluster::start();
    let temporary = tempfile::tempdir().unwrap();
    let own = install(&cluster.kubeconfig(), temporary.path());
    let k = Kubectl::new(&cluster.kubeconfig());
    let holder = || k.run("get lease seaway -n seaway-system -o jsonpath={.spec.holderIdentity}").stdout;
    let first = Serve::start(&own, &temporary.path().join("first"), &[]);
    assert!(holder().ends_with("/first"), "{}", holder());
    let mut second = Serve::spawn(&own, &temporary.path().join("second"), &[]);
    let mut stderr = BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.starts_with("waits: ") && line.contains("/first is the active replica"), "{line}");
    assert!(holder().ends_with("/first"));
    assert!(first.terminate().success());
    let mut second = Serve::ready(second);
    assert!(holder().ends_with("/second"));

    // Who has lost it stops at once, and says why.
    lease_to_another(&k);
    assert_eq!(second.child.wait().unwrap().code(), Some(1));
    line.clear();
    stderr.read_to_string(&mut line).unwrap();
    assert!(line.contains("is lost: another replica has taken it"), "{line}");
    assert_eq!(holder(), "other");
}

/// Somebody else takes the Lease.
fn lease_to_another(k: &Kubectl) {
    k.args(
        &[
            "patch",
            "lease",
            "seaway",
            "-n",
            "seaway-system",
            "--type=merge",
            "-p",
            r#"{"spec":{"holderIdentity":"other"}}"#,
        ],
        "",
    );
}

/// Its first line on standard error.
fn first_words(child: &mut std::process::Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn beside_seaway_up_another_one_stands_by() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let up = Seaway::start_in(&folder);
    let k = up.kubectl();
    let holder = || k.ok("get lease seaway -n seaway-system -o jsonpath={.spec.holderIdentity}").stdout;
    assert!(holder().starts_with("seaway up on ") && holder().ends_with("/data"), "{}", holder());
    let mut serve = Serve::spawn(&folder.join("kubeconfig"), &temporary.path().join("other"), &[]);
    let said = first_words(&mut serve);
    assert!(
        said.starts_with("waits: seaway up on ") && said.contains("/data is the active replica"),
        "{said}"
    );
    serve.kill().unwrap();
    serve.wait().unwrap();

    // What is left behind by a sudden end is its own; what another one has is taken, who ends then.
    up.kill();
    let up = Seaway::start_in(&folder);
    assert!(holder().starts_with("seaway up on "));
    lease_to_another(&k);
    eventually("it is taken back", || holder().starts_with("seaway up on "));
    assert!(up.terminate().success());
    let _up = Seaway::start_in(&folder);
    assert!(holder().starts_with("seaway up on "));
}

#[test]
fn an_api_that_restarts_is_waited_for() {
    let mut cluster = Cluster::start();
    let temporary = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    repository.push("main", "First", &[("app/settings.yaml", &settings("red"))]);
    let own = install(&cluster.kubeconfig(), temporary.path());
    let k = Kubectl::new(&cluster.kubeconfig());
    let mut serve = Serve::start(&own, &temporary.path().join("data"), &[]);
    k.apply(&definitions(&repository.url()));
    let color = || k.run("get configmap settings -n shop -o jsonpath={.data.color}").stdout;
    eventually("the environment is deployed", || color() == "red");
    cluster.restart();
    repository.push("main", "Blue", &[("app/settings.yaml", &settings("blue"))]);
    eventually("the push is followed", || color() == "blue");
    k.args(
        &["patch", "cm", "settings", "-n", "shop", "--type=merge", "-p", r#"{"data":{"color":"green"}}"#],
        "",
    );
    eventually("the drift is reverted", || color() == "blue");
    assert!(serve.child.try_wait().unwrap().is_none(), "it is the same process");
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let cluster = Cluster::start();
    let temporary = tempfile::tempdir().unwrap();
    let own = install(&cluster.kubeconfig(), temporary.path());
    let data = temporary.path().join("data");
    let _serve = Serve::start(&own, &data, &[]);
    let output = Serve::spawn(&own, &data, &[]).wait_with_output().unwrap();
    let said = unwrapped(&String::from_utf8(output.stderr).unwrap());
    assert!(output.status.code() == Some(1) && said.contains("another process uses the folder"), "{said}");
}

#[test]
fn a_cluster_without_seaway_is_told_from_one_with_it() {
    let cluster = Cluster::start();
    let temporary = tempfile::tempdir().unwrap();
    let output = Serve::spawn(&cluster.kubeconfig(), temporary.path(), &[]).wait_with_output().unwrap();
    let said = unwrapped(&String::from_utf8(output.stderr).unwrap());
    assert!(output.status.code() == Some(1) && said.contains("seaway install"), "{said}");
    let output = program().args(["serve", "--data-dir"]).arg(temporary.path()).output().unwrap();
    let said = unwrapped(&String::from_utf8(output.stderr).unwrap());
    assert!(output.status.code() == Some(1) && said.contains("--in-cluster"), "{said}");
}

#[test]
fn it_serves_https_with_a_certificate() {
    let cluster = Cluster::start();
    let temporary = tempfile::tempdir().unwrap();
    let own = install(&cluster.kubeconfig(), temporary.path());
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let at = |name: &str| temporary.path().join(name).display().to_string();
    std::fs::write(at("cert"), made.cert.pem()).unwrap();
    std::fs::write(at("key"), made.signing_key.serialize_pem()).unwrap();
    let serve = Serve::start(
        &own,
        &temporary.path().join("data"),
        &["--tls-cert", &at("cert"), "--tls-key", &at("key")],
    );
    let kubeconfig: Value =
        serde_json::from_str(&std::fs::read_to_string(cluster.kubeconfig()).unwrap()).unwrap();
    let list = |trusted: &str| {
        program()
            .args(["env", "list", "-o", "json", "--server", &format!("https://{}", serve.address)])
            .env("SEAWAY_TOKEN", kubeconfig["users"][0]["user"]["token"].as_str().unwrap())
            .env("SSL_CERT_FILE", trusted)
            .output()
            .unwrap()
    };
    let listed = list(&at("cert"));
    assert_eq!(
        String::from_utf8(listed.stdout).unwrap().trim(),
        "[]",
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(at("other"), other.cert.pem()).unwrap();
    assert!(!list(&at("other")).status.success(), "another certificate is not trusted");
    // Plain http is not answered, and nobody who says nothing holds up the others.
    let mut plain = TcpStream::connect(&serve.address).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    let _silent = TcpStream::connect(&serve.address).unwrap();
    assert!(list(&at("cert")).status.success());

    // A renewed one is taken up; one that is damaged, or whose key is missing yet, changes nothing.
    std::fs::write(at("cert"), "-----BEGIN CERTIFICATE-----").unwrap();
    std::fs::write(at("cert"), other.cert.pem()).unwrap();
    std::fs::write(at("key"), other.signing_key.serialize_pem()).unwrap();
    eventually("the renewed certificate is served", || list(&at("other")).status.success());
}

#[test]
fn history_can_lie_in_a_database_elsewhere() {
    let cluster = Cluster::start();
    let temporary = tempfile::tempdir().unwrap();
    let own = install(&cluster.kubeconfig(), temporary.path());
    let elsewhere = temporary.path().join("elsewhere.db");
    let data = temporary.path().join("data");
    let url = format!("sqlite:{}", elsewhere.display());
    let serve = Serve::start(&own, &data, &["--database", &url]);
    assert!(elsewhere.is_file() && !data.join("ledger.db").exists());
    serve.kill();
    let backup = temporary.path().join("backup.tar.gz");
    let printed = program().arg("backup").arg(&backup).arg("--data-dir").arg(&data).output().unwrap();
    let stderr = unwrapped(&String::from_utf8(printed.stderr).unwrap());
    assert!(printed.status.success() && stderr.contains("holds no ledger.db"), "{stderr}");
    for (url, said) in
        [("postgres://db.example.com/seaway", "comes with several replicas"), ("x.db", "sqlite:PATH")]
    {
        let output = Serve::spawn(&own, &data, &["--database", url]).wait_with_output().unwrap();
        let stderr = unwrapped(&String::from_utf8(output.stderr).unwrap());
        assert!(output.status.code() == Some(2) && stderr.contains(said), "{stderr}");
    }
}

#[test]
fn what_is_installed_is_plain_yaml_with_few_rights() {
    let printed = program()
        .args([
            "install",
            "--external-url",
            "https://seaway.example.com",
            "--image",
            "registry.example.com/seaway:1",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    let cluster = Cluster::start();
    let k = Kubectl::new(&cluster.kubeconfig());
    k.apply(&text);
    // A second time nothing changes.
    assert!(k.apply(&text).lines().all(|line| line.ends_with("unchanged")), "{}", k.apply(&text));
    k.ok("get validatingadmissionpolicies,validatingadmissionpolicybindings seaway-copies");
    let pod = k.ok("get deployment seaway -n seaway-system -o json").stdout;
    let pod: Value = serde_json::from_str(&pod).unwrap();
    let container = &pod["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example.com/seaway:1");
    assert!(container["args"].to_string().contains("--external-url=https://seaway.example.com"));
    // The namespace enforces the strictest standard, and the pods keep to it.
    k.ok("get service seaway -n seaway-system");
    let may = |line: &str| {
        k.run(&format!("auth can-i {line} --as system:serviceaccount:seaway-system:seaway")).stdout.trim()
            == "yes"
    };
    for line in [
        "create tokenreviews.authentication.k8s.io",
        "impersonate users",
        "get pods -n kube-system",
        "update leases.coordination.k8s.io -n seaway-system",
    ] {
        assert!(may(line), "{line}");
    }
    for line in [
        "create pods -n default",
        "delete deployments.apps -n default",
        "create nodes",
        "update leases.coordination.k8s.io -n kube-system",
        "create pods/exec -n default",
        "create validatingwebhookconfigurations.admissionregistration.k8s.io",
    ] {
        assert!(!may(line), "{line}");
    }
    for (option, value, said) in [
        ("--external-url", "seaway.example.com", "http"),
        ("--storage", "foo", "such as 10Gi"),
        ("--image", "", "it is empty"),
        ("--namespace", "Bad_", "lower-case letters"),
        ("--namespace", "seaway", "holds Stacks"),
    ] {
        let printed = program().args(["install", option, value]).output().unwrap();
        let stderr = unwrapped(&String::from_utf8(printed.stderr).unwrap());
        assert!(printed.stdout.is_empty() && printed.status.code() == Some(2), "{option} {value}");
        assert!(stderr.contains(option) && stderr.contains(said), "{stderr}");
    }
}
