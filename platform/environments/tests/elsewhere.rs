//! Fidelity between environments in other places, and of what is called by its content.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use seaway_environments::fidelity::deviations;
use seaway_environments::{Fidelity, compare, moved};
use seaway_object::ObjectId;
use serde_json::{Value, json};

fn config(namespace: &str, name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

fn deployment(namespace: &str, config: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "a:1",
            "envFrom": [{"configMapRef": {"name": config}}]}]}}}})
}

fn why(fidelity: &Fidelity) -> Vec<String> {
    let line = |d: &seaway_environments::fidelity::Field| {
        format!("{} {}{} {} {}", d.object.kind, d.object.name, d.path, d.class.as_str(), d.rule)
    };
    fidelity.differences.iter().map(line).collect()
}

#[test]
fn what_changed_in_a_generated_config_map_is_shown_and_not_that_it_is_another_one() {
    let left = [
        config("shop", "web-2456789bcd", json!({"A": "1", "B": "same", "TITLE": "old"})),
        deployment("shop", "web-2456789bcd"),
    ];
    for name in ["web-fghkmt2222", "web-22fghkmt22"] {
        let right =
            [config("shop", name, json!({"A": "1", "B": "same", "TITLE": "new"})), deployment("shop", name)];
        let overridden = deviations(&left, &right, "web at feature");
        let reference = ".spec.template.spec.containers[name=\"web\"].envFrom";
        for (record, reason) in [(overridden, "override web at feature"), (Vec::new(), "undeclared ")] {
            let fidelity = compare(&left, &right, &Clone::clone, &record);
            assert_eq!(
                why(&fidelity),
                [
                    format!("ConfigMap {name}.data.TITLE {reason}"),
                    format!("ConfigMap {name}.metadata.name {reason}"),
                    format!("Deployment web{reference} {reason}"),
                ]
            );
        }
    }
}

#[test]
fn an_override_that_replaces_one_does_not_explain_what_somebody_changes_besides() {
    let left = [config("shop", "web-2456789bcd", json!({"A": "1"}))];
    let meant = [config("shop", "web-fghkmt2222", json!({"A": "2"}))];
    let record = deviations(&left, &meant, "web at feature");
    let mut right = meant;
    right[0]["data"]["B"] = "planted".into();
    let fidelity = compare(&left, &right, &Clone::clone, &record);
    assert_eq!(fidelity.undeclared, 1, "{:?}", why(&fidelity));
    assert!(why(&fidelity).contains(&"ConfigMap web-fghkmt2222.data.B undeclared ".to_owned()));
}

#[test]
fn where_several_could_be_the_same_none_is_paired() {
    let left = [config("shop", "web-2456789bcd", json!({"A": "1"}))];
    let right = ["web-fghkmt2222", "web-22fghkmt22"].map(|name| config("shop", name, json!({"A": "2"})));
    let fidelity = compare(&left, &right, &Clone::clone, &[]);
    assert_eq!(fidelity.differences.len(), 3);
    assert!(fidelity.differences.iter().all(|field| field.path.is_empty()));
}

fn environment(namespace: &str, host: &str, hash: &str, title: &str) -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io";
    vec![
        config(namespace, &format!("web-{hash}"), json!({"TITLE": title})),
        deployment(namespace, &format!("web-{hash}")),
        json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": "web", "namespace": namespace},
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "web"},
            "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": namespace}]}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "web", "namespace": namespace},
            "spec": {"hostnames": [host], "rules": [{"backendRefs": [{"name": "web", "namespace": namespace}]}]}}),
    ]
}

fn between(left: &[Value], right: &[Value]) -> Fidelity {
    let places = BTreeMap::from([("shop".to_owned(), "staging".to_owned())]);
    let name = |id: &ObjectId| ObjectId { namespace: Some("staging".to_owned()), ..id.clone() };
    compare(left, right, &name, &moved(left, right, &places))
}

#[test]
fn two_environments_differ_by_their_place_for_a_reason_and_by_nothing_else() {
    let left = environment("shop", "shop.example.com", "2456789bcd", "old");
    let right = environment("staging", "staging.example.com", "fghkmt2222", "new");
    let fidelity = between(&left, &right);
    let undeclared: Vec<String> =
        why(&fidelity).into_iter().filter(|line| line.ends_with("undeclared ")).collect();
    assert_eq!(undeclared, ["ConfigMap web-fghkmt2222.data.TITLE undeclared "]);
    let mut rules: Vec<&str> = fidelity.differences.iter().map(|field| field.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules, ["", "generated", "place"]);
}

#[test]
fn a_reference_to_a_third_place_and_a_host_of_the_other_side_are_no_identity() {
    let left = environment("shop", "shop.example.com", "2456789bcd", "same");
    let mut right = environment("staging", "shop.example.com", "2456789bcd", "same");
    right[2]["subjects"][0]["namespace"] = "elsewhere".into();
    assert_eq!(between(&left, &right).undeclared, 1, "{:?}", why(&between(&left, &right)));
    // One more route on the right, at the left's own host.
    let mut right = environment("staging", "staging.example.com", "2456789bcd", "same");
    let mut other = right[3].clone();
    other["metadata"]["name"] = "other".into();
    other["spec"]["hostnames"] = json!(["shop.example.com"]);
    right.push(other);
    let lines = why(&between(&left, &right));
    assert!(lines.contains(&"HTTPRoute web.spec.hostnames undeclared ".to_owned()), "{lines:?}");
}
