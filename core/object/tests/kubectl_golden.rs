//! What is read from a file and printed again is, letter by letter, what kubectl and kustomize make of that file.
//!
//! `tests/fixtures/regenerate` writes the expected files with a real kubectl.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

use seaway_object::yaml::{self, Dialect};
use seaway_object::{ReadOptions, read_objects};

fn compare(dialect: Dialect, suffix: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut compared = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".in.yaml") else { continue };
        let text = fs::read_to_string(folder.join(&file)).unwrap();
        let objects = read_objects(&text, &ReadOptions::new(dialect)).unwrap();
        let printed = yaml::write_documents(objects.iter().map(|object| &object.value));
        let expected = fs::read_to_string(folder.join(format!("{name}.{suffix}.yaml"))).unwrap();
        let difference = printed.lines().zip(expected.lines()).find(|(ours, theirs)| ours != theirs);
        assert!(printed == expected, "{name}.{suffix}: (ours, expected) = {difference:#?}\n");
        compared += 1;
    }
    assert!(compared >= 4, "fixtures are missing");
}

#[test]
fn files_mean_what_kubectl_takes_them_for() {
    compare(Dialect::Kubernetes, "kubernetes");
}

#[test]
fn files_mean_what_kustomize_takes_them_for() {
    compare(Dialect::Kustomize, "kustomize");
}
