//! An environment follows Git over http, and `seaway env` shows what it did and why.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
mod support;

use std::path::{Path, PathBuf};

use git::Repository;
use serde_json::Value;
use support::{Kubectl, Seaway, eventually, program};

fn config_map(name: &str, color: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{color: {color}}}\n")
}

/// `seaway env …` as its user runs it.
struct Env(PathBuf);

impl Env {
    fn run(&self, line: &str) -> (bool, String, String) {
        let output =
            program().arg("env").args(line.split_whitespace()).env("KUBECONFIG", &self.0).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let (success, stdout, stderr) = self.run(line);
        assert!(success, "seaway env {line}: {stdout}{stderr}");
        serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("seaway env {line}: {e}: {stdout}"))
    }

    fn production(&self) -> Value {
        let list = self.json("list -o json");
        list.as_array().unwrap().iter().find(|e| e["name"] == "production").cloned().unwrap_or_default()
    }
}

fn start(folder: &Path) -> (Seaway, Kubectl, Env) {
    let seaway = Seaway::start_with(folder, &["--node", "none", "--poll-interval", "0.2"]);
    let kubectl = seaway.kubectl();
    let env = Env(folder.join("kubeconfig"));
    (seaway, kubectl, env)
}

#[test]
fn an_environment_follows_git_and_says_what_it_does_and_why() {
    let repository = Repository::new();
    let red = config_map("settings", "red");
    let other = config_map("other", "any");
    repository.push(
        "main",
        "First",
        &[
            ("app/production/settings.yaml", &red),
            ("app/production/other.yaml", &other),
            ("app/production/kustomization.yaml", "resources: [settings.yaml, other.yaml]\n"),
        ],
    );
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let (seaway, k, env) = start(&folder);
    let url = repository.url();
    k.apply(&format!(
        "
apiVersion: seaway.dev/v1alpha1
kind: Stack
metadata: {{name: shop, namespace: seaway}}
spec:
  components:
  - name: settings
    source: {{repo: \"{url}\", path: \"app/${{overlay}}\", revision: main}}
  path: [{{environment: production}}]
---
apiVersion: seaway.dev/v1alpha1
kind: Environment
metadata: {{name: production, namespace: seaway}}
spec:
  stack: shop
  class: production
  destination: {{cluster: local, namespace: shop}}
  sync: {{automated: true, prune: true, selfHeal: true}}
"
    ));
    let color = |k: &Kubectl| k.run("get configmap settings -n shop -o jsonpath={.data.color}").stdout;
    eventually("the environment is deployed", || {
        let production = env.production();
        production["sync"] == "Synced" && production["health"] == "Healthy" && color(&k) == "red"
    });
    let first = env.production();
    assert_eq!((&first["class"], &first["stack"]), (&"production".into(), &"shop".into()));

    // A branch is planned before anyone merges it, and nothing is done.
    repository.git(&repository.work(), &["checkout", "-q", "-b", "blue"]);
    repository.push("blue", "Blue", &[("app/production/settings.yaml", &config_map("settings", "blue"))]);
    let plan = env.json("plan production --revision blue -o json").to_string();
    assert!(plan.contains("settings") && plan.contains("blue"), "{plan}");
    assert_eq!(color(&k), "red");

    // A push is followed; what left Git is pruned.
    repository.push(
        "main",
        "Merge blue, drop other",
        &[
            ("app/production/kustomization.yaml", "resources: [settings.yaml]\n"),
            ("app/production/other.yaml", ""),
        ],
    );
    eventually("the push is followed", || {
        color(&k) == "blue" && !k.run("get configmap other -n shop").success
    });

    // Drift is reverted, and told.
    k.args(
        &["patch", "cm", "settings", "-n", "shop", "--type=merge", "-p", r#"{"data":{"color":"green"}}"#],
        "",
    );
    eventually("the drift is reverted", || color(&k) == "blue");
    eventually("the drift is told", || {
        let history = env.json("history production -o json").to_string();
        history.contains("drift")
    });
    let (_, history, _) = env.run("history production");
    let told = "put back .data.color of ConfigMap settings, changed by kubectl-patch";
    assert!(history.contains(told), "{history}");

    // A broken commit is reported with its file; the next good one goes through.
    repository.push("main", "Broken", &[("app/production/settings.yaml", "a: [\n")]);
    eventually("the broken file is named", || {
        env.production()["message"].as_str().is_some_and(|m| m.contains("app/production/settings.yaml"))
    });
    assert_eq!(color(&k), "blue");
    repository.push("main", "Mended", &[("app/production/settings.yaml", &config_map("settings", "white"))]);
    eventually("the mended commit is deployed", || {
        color(&k) == "white" && env.production()["sync"] == "Synced"
    });

    // Rollback holds the bad release, also over a restart, with automatic sync on.
    let bad = env.production()["release"].clone();
    let (success, stdout, stderr) = env.run("rollback production");
    assert!(success, "{stdout}{stderr}");
    eventually("it is rolled back", || color(&k) == "blue");
    let (folder, _none) = seaway.kill();
    let (_seaway, k, env) = start(&folder);
    eventually("it is there again", || env.production()["release"].is_string());
    assert_ne!(env.production()["release"], bad);
    assert_eq!(color(&k), "blue");
    // A later commit is another release and is not held.
    repository.push("main", "Better", &[("app/production/settings.yaml", &config_map("settings", "black"))]);
    eventually("the next release goes through", || color(&k) == "black");
}

#[test]
fn a_question_that_nothing_can_answer_is_told_from_an_empty_answer() {
    let temporary = tempfile::tempdir().unwrap();
    let (_seaway, _k, env) = start(&temporary.path().join("data"));
    for filter in ["--class bogus", "--sync bogus", "--health bogus"] {
        let (success, stdout, stderr) = env.run(&format!("list {filter}"));
        assert!(!success && stdout.is_empty() && stderr.contains("possible values"), "{filter}: {stderr}");
    }
    for filter in ["--class Production", "--sync synced", "--health degraded"] {
        assert_eq!(env.json(&format!("list {filter} -o json")), Value::Array(Vec::new()), "{filter}");
    }
    for name in ["nope", "seaway/nope"] {
        let (success, _, stderr) = env.run(&format!("show {name}"));
        let stderr = support::unwrapped(&stderr);
        assert!(!success && stderr.contains("there is no environment"), "{stderr}");
        assert!(stderr.contains("help: `seaway env list` shows those that you may see"), "{stderr}");
    }
    let (_, _, stderr) = env.run("show seaway/No_Pe");
    assert!(stderr.contains("is not the name of an environment"), "{stderr}");
    let (success, _, stderr) = env.run("plan seaway/nope --revision=");
    assert!(!success && stderr.contains("--revision"), "{stderr}");
}

#[test]
fn strangers_see_no_environments() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let (_seaway, k, _env) = start(&folder);
    let text = std::fs::read_to_string(folder.join("kubeconfig")).unwrap();
    let token = k.ok("create token default").stdout;
    let own = text.lines().find(|l| l.trim_start().starts_with("token:")).unwrap().trim().to_owned();
    for (token, code) in [("wrong", "401"), (token.trim(), "403")] {
        let stranger = folder.join("stranger");
        std::fs::write(&stranger, text.replace(&own, &format!("token: {token}"))).unwrap();
        let (success, stdout, stderr) = Env(stranger).run("show production -n seaway");
        assert!(!success && stdout.is_empty(), "{stdout}");
        assert!(!stderr.contains(token) || token == "wrong", "a token is never printed");
        let _ = code;
    }
}
