//! `seaway render` prints what real kustomize prints.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use support::program;

fn render(arguments: &[&str]) -> Output {
    program().arg("render").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Directories of one repository of the corpus and what kustomize printed for each.
fn corpus(repository: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/kustomize").join(repository);
    let Ok(index) = std::fs::read_to_string(folder.join("index.tsv")) else {
        println!("skipped: {} is not there", folder.display());
        return vec![];
    };
    let rows = index.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let (directory, result, file) = (columns.next()?, columns.next()?, columns.next()?);
        let expected = std::fs::read_to_string(folder.join("expected").join(file)).ok()?;
        (result == "ok").then(|| (folder.join("tree").join(directory), expected))
    });
    rows.collect()
}

#[test]
fn real_repositories_render_as_with_kustomize() {
    for repository in ["stefanprodan--podinfo", "GoogleCloudPlatform--bank-of-anthos"] {
        for (directory, expected) in corpus(repository) {
            let output = render(&[directory.to_str().unwrap()]);
            assert_eq!(text(&output.stdout), expected, "{}: {}", directory.display(), text(&output.stderr));
            assert!(output.status.success());
        }
    }
}

#[test]
fn a_kustomization_is_printed_in_each_form() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("base")).unwrap();
    std::fs::create_dir_all(at("over")).unwrap();
    std::fs::write(
        at("base/c.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: yes}\n",
    )
    .unwrap();
    std::fs::write(at("base/kustomization.yaml"), "resources: [c.yaml]\n").unwrap();
    std::fs::write(at("over/kustomization.yaml"), "resources: [../base]\nnamePrefix: my-\nnamespace: shop\n")
        .unwrap();
    let over = at("over");
    let over = over.to_str().unwrap();
    let yaml = render(&[over]);
    assert_eq!(
        text(&yaml.stdout),
        "apiVersion: v1\ndata:\n  a: \"yes\"\nkind: ConfigMap\nmetadata:\n  name: my-c\n  namespace: shop\n",
        "{}",
        text(&yaml.stderr)
    );
    assert_eq!(text(&render(&[over, "-o", "names"]).stdout), "shop configmap/my-c\n");
    let list: serde_json::Value = serde_json::from_slice(&render(&[over, "-o", "json"]).stdout).unwrap();
    assert_eq!(list["items"][0]["metadata"]["name"], "my-c");
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_nothing_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [missing.yaml]\n").unwrap();
    let output = render(&[folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = text(&output.stderr);
    assert!(message.contains("missing.yaml") && message.contains("kustomization.yaml"), "{message}");
    let output = render(&["/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/at/all"));
}
