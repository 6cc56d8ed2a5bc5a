//! Bodies that kubectl 1.37.1 sent, against what the same command prints as JSON (`--dry-run=client -o json`).
#![allow(clippy::unwrap_used)]

use seaway_protobuf::{Error, MAX_BYTES, Problem, decode};
use serde_json::{Value, json};
use std::path::Path;

fn bodies() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bodies"))
}

fn body(name: &str) -> Vec<u8> {
    std::fs::read(bodies().join(format!("{name}.bin"))).unwrap()
}

/// Go prints a list without elements as null.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[test]
fn a_body_says_what_kubectl_prints() {
    let mut compared = 0;
    for entry in std::fs::read_dir(bodies()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let printed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut read = decode(&body(name)).unwrap();
        // Only what is sent gets the namespace of the kubeconfig.
        if printed["metadata"].get("namespace").is_none() {
            read["metadata"].as_object_mut().unwrap().remove("namespace");
        }
        assert_eq!(read, without_nulls(printed), "{name}");
        compared += 1;
    }
    assert!(compared >= 15, "{compared} bodies");
}

#[test]
fn a_pointer_to_zero_stays() {
    let deployment = decode(&body("deployment")).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
    assert_eq!(deployment["spec"].get("paused"), None);
}

#[test]
fn a_token_is_requested() {
    assert_eq!(
        decode(&body("token")).unwrap(),
        json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": {"audiences": ["api"], "expirationSeconds": 600},
            "status": {"token": ""},
        })
    );
}

#[test]
fn rights_are_asked_for() {
    assert_eq!(
        decode(&body("cani")).unwrap(),
        json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {
                "namespace": "shop", "verb": "create", "resource": "pods",
            }},
            "status": {"allowed": false},
        })
    );
    assert_eq!(decode(&body("canilist")).unwrap()["spec"], json!({"namespace": "default"}));
    assert_eq!(
        decode(&body("whoami")).unwrap(),
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}, "status": {"userInfo": {}},
        })
    );
}

#[test]
fn a_body_cut_anywhere_is_an_error_or_less_of_the_object() {
    let whole = body("deployment");
    for end in 0..whole.len() {
        let _ = decode(&whole[..end]);
    }
    assert_eq!(decode(&whole[..3]), Err(Error::NoEnvelope));
    assert!(matches!(decode(&whole[..20]), Err(Error::Field { problem: Problem::Truncated, .. })));
}

#[test]
fn a_body_that_is_too_long_is_not_read() {
    assert_eq!(decode(&vec![0; MAX_BYTES + 1]), Err(Error::TooLarge { bytes: MAX_BYTES + 1 }));
}
