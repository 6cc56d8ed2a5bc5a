//! `seaway health`: any object, by the rules that environments are judged by.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use support::{program, unwrapped};

const OBJECTS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, generation: 1}
spec: {replicas: 2}
status:
  observedGeneration: 1
  replicas: 2
  updatedReplicas: 2
  availableReplicas: 1
---
apiVersion: v1
kind: List
items:
- apiVersion: batch/v1
  kind: Job
  metadata: {name: migrate, namespace: shop}
  status: {conditions: [{type: Failed, status: \"True\", reason: BackoffLimitExceeded, message: it gave up}]}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: shop}}
";

fn health(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = program()
        .arg("health")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), unwrapped(&text(output.stderr)))
}

#[test]
fn status_and_message_of_each_object_are_printed() {
    let (code, stdout, stderr) = health(&["-"], OBJECTS);
    assert_eq!(code, Some(0), "{stderr}");
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["OBJECT", "STATUS", "MESSAGE"]);
    assert_eq!(rows[1][..3], ["Deployment.apps", "shop/web", "Progressing"]);
    assert_eq!(rows[2][..3], ["Job.batch", "shop/migrate", "Degraded"]);
    assert!(stdout.contains("BackoffLimitExceeded: it gave up"), "{stdout}");
    assert_eq!(rows[3], ["ConfigMap", "shop/settings", "Healthy"]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, OBJECTS).unwrap();
    let (code, stdout, _) = health(&[file.to_str().unwrap(), "-o", "json", "--exit-code"], "");
    let lines: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(
        lines[1],
        json!({"apiVersion": "batch/v1", "kind": "Job", "namespace": "shop", "name": "migrate", "status": "Degraded",
            "message": "BackoffLimitExceeded: it gave up"})
    );
    assert_eq!(
        health(&["-", "--exit-code"], "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}").0,
        Some(0)
    );
}

#[test]
fn what_is_no_object_is_named_with_its_place() {
    for (input, part) in
        [("a: b\n", "apiVersion"), ("a: [\n", "not valid YAML"), ("- 1\n", "a map with apiVersion")]
    {
        let (code, stdout, stderr) = health(&["-"], input);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{input}");
        assert!(stderr.contains("standard input: line") && stderr.contains(part), "{stderr}");
    }
    let (code, _, stderr) = health(&["/nonexistent.yaml"], "");
    assert!(code == Some(1) && stderr.contains("/nonexistent.yaml"), "{stderr}");
}

const RULES: &str = "
apiVersion: seaway.dev/v1alpha1
kind: Stack
metadata: {name: shop}
spec:
  components: []
  healthCheckExprs:
  - apiVersion: example.com/v1
    kind: Database
    inProgress: status.phase == 'Creating'
    failed: status.phase == 'Broken'
    current: status.phase == 'Ready'
    message: status.detail
";

const DATABASES: &str = "
{apiVersion: example.com/v1beta1, kind: Database, metadata: {name: a}, status: {phase: Ready, detail: two replicas}}
---
{apiVersion: example.com/v1beta1, kind: Database, metadata: {name: b}, status: {phase: Broken, detail: no disk}}
---
{apiVersion: example.com/v1beta1, kind: Database, metadata: {name: c}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: d}}
";

#[test]
fn health_rules_are_tried_before_anything_is_deployed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stack.yaml");
    let judge = |rules: &str| {
        std::fs::write(&file, rules).unwrap();
        health(&["-", "-o", "json", "--rules", file.to_str().unwrap()], DATABASES)
    };
    let list = "
- apiVersion: example.com/v1
  failed: status.phase == 'Broken'
  current: status.phase == 'Ready'
  message: status.detail
";
    for rules in [RULES, list] {
        let (code, stdout, stderr) = judge(rules);
        assert_eq!(code, Some(0), "{stderr}");
        let lines: Value = serde_json::from_str(&stdout).unwrap();
        let told =
            |index: usize| (lines[index]["status"].as_str(), lines[index]["message"].as_str().unwrap());
        assert_eq!(told(0), (Some("Healthy"), "two replicas"));
        assert_eq!(told(1), (Some("Degraded"), "no disk"));
        assert_eq!(told(2).0, Some("Progressing"));
        assert!(told(2).1.contains("no such attribute(s): status"), "{}", told(2).1);
        assert_eq!(told(3), (Some("Healthy"), ""), "what no rule is about is judged as ever");
    }
    for (rules, part) in [
        (RULES.replace("== 'Ready'", "=="), "stack.yaml: line 8, column 5: [0].current: line 1, column"),
        (
            RULES.replace("inProgress:", "inprogress:"),
            "line 10, column 5: a health rule has no field inprogress",
        ),
        (RULES.replace("    current: status.phase == 'Ready'\n", ""), "missing field `current`"),
        (OBJECTS.to_owned(), "has no health rules"),
    ] {
        let (code, stdout, stderr) = judge(&rules);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}
