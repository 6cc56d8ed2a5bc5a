//! Private repositories, from the Secret to what runs: `seaway up`, a token over https and a key over ssh.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
#[path = "../platform/git/tests/support/sshd.rs"]
mod sshd;
mod support;

use git::Repository;
use git::http::PASSWORD;
use serde_json::json;
use sshd::Sshd;
use support::{Kubectl, Seaway, eventually};

fn settings(color: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{color: {color}}}\n")
}

fn follow(k: &Kubectl, url: &str) {
    k.apply(&format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    source: {{repo: \"{url}\", path: app, revision: main}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: staging, namespace: seaway}}\nspec:\n  \
         stack: shop\n  destination: {{namespace: shop}}\n"
    ));
}

fn secret(k: &Kubectl, values: &serde_json::Value) {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": values, "metadata": {
        "name": "repositories", "namespace": "seaway", "labels": {"seaway.dev/credentials": "git"}}});
    k.apply(&secret.to_string());
}

fn color(k: &Kubectl) -> String {
    k.run("get configmap settings -n shop -o jsonpath={.data.color}").stdout
}

/// What is said of the environment and of its stack.
fn said(k: &Kubectl) -> String {
    let environment = k.run("get environment staging -n seaway -o jsonpath={.status.message}").stdout;
    let stack = k
        .run("get stack shop -n seaway -o jsonpath={.status.conditions[?(@.type==\"Ready\")].message}")
        .stdout;
    format!("{environment} {stack}")
}

fn start() -> (tempfile::TempDir, Seaway) {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--node", "none", "--poll-interval", "0.3"];
    let seaway = Seaway::start_with(&folder.path().join("data"), &options);
    (folder, seaway)
}

#[test]
fn a_token_opens_a_repository_over_https_and_another_one_closes_it_again() {
    let repository = Repository::new();
    repository.push("main", "First", &[("app/settings.yaml", &settings("red"))]);
    let (url, ca) = repository.private_url_over_tls();
    let (_folder, seaway) = start();
    let k = seaway.kubectl();
    follow(&k, &url);
    eventually("its certificate is not trusted", || said(&k).contains("certificate"));
    secret(&k, &json!({"url": url, "ca.crt": ca}));
    eventually("it asks for credentials", || said(&k).contains("refuses access"));
    let token =
        |password: &str| json!({"url": url, "ca.crt": ca, "username": git::http::USER, "password": password});
    secret(&k, &token(PASSWORD));
    eventually("it is deployed", || color(&k) == "red");
    eventually("its stack is ready", || {
        k.ok("get stacks -n seaway --no-headers").rows()[0].starts_with("shop True Ready 1 ")
    });

    secret(&k, &token("another"));
    eventually("the token is told to be wrong while what is known runs", || {
        said(&k).contains("refuses access") && color(&k) == "red"
    });
    repository.push("main", "Blue", &[("app/settings.yaml", &settings("blue"))]);
    secret(&k, &token(PASSWORD));
    eventually("the push is followed", || color(&k) == "blue");
    eventually("nobody complains any more", || said(&k) == " environments can use it");
    for printed in [k.ok("get environments,stacks,events -A -o json").stdout, seaway.ready_line.clone()] {
        assert!(!printed.contains(PASSWORD), "the token is shown");
    }
}

#[test]
fn a_key_opens_a_repository_over_ssh_at_a_server_that_is_known() {
    let Some(sshd) = Sshd::start() else { return };
    let repository = Repository::new();
    repository.push("main", "First", &[("app/settings.yaml", &settings("red"))]);
    let url = sshd.url(&repository.bare());
    let (_folder, seaway) = start();
    let k = seaway.kubectl();
    follow(&k, &url);
    let key = |key: &str, host: &str| json!({"url": sshd.address(), "ssh-privatekey": sshd.read(key), "known_hosts": sshd.known_hosts(host)});
    secret(&k, &key("client", "stranger"));
    eventually("the server is not the known one", || said(&k).contains("known_hosts"));
    secret(&k, &key("stranger", "host"));
    eventually("the key is not a known one", || said(&k).contains("refuses access"));
    secret(&k, &key("client", "host"));
    eventually("it is deployed", || color(&k) == "red");
    repository.push("main", "Blue", &[("app/settings.yaml", &settings("blue"))]);
    eventually("the push is followed", || color(&k) == "blue");
}
