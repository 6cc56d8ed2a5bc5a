//! A copy is what it copies but for declared differences, and fidelity finds every other one.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use seaway_api::{EnvironmentSpec, StackSpec};
use seaway_environments::fidelity::{deviations, without};
use seaway_environments::{Class, Copy, Entry, Error, Fidelity, Rewritten, Source, compare, place};
use seaway_object::Scope;
use serde_json::{Value, json};

fn objects() -> Vec<Value> {
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web"}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "catalog"}, "spec": {"ports": [{"port": 80}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
               "data": {"CATALOG": "http://catalog.shop.svc:80", "HOST": "shop.example.com", "TITLE": "shop"}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
               "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                            {"name": "web", "image": "shop:1", "env": [{"name": "A", "value": "1"}]}]}}}}),
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"},
               "spec": {"parentRefs": [{"name": "seaway", "namespace": "seaway-system"}],
                        "hostnames": ["shop.example.com"],
                        "rules": [{"backendRefs": [{"name": "web", "namespace": "shop", "port": 80}]}]}}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
               "metadata": {"name": "web", "namespace": "monitoring"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
               "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "shop"},
                            {"kind": "Group", "name": "system:serviceaccounts:shop"}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "web"},
               "rules": []}),
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "orders"},
               "spec": {"volumeName": "pv-1", "resources": {"requests": {"storage": "1Gi"}}}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payment"},
               "data": {"key": "c2VjcmV0", "user": "YQ=="}}),
    ]
}

fn stack() -> StackSpec {
    serde_json::from_value(json!({
        "components": [{"name": "shop", "source": {"repo": "https://git/a"}}],
        "allow": {"clusterKinds": ["ClusterRole.rbac.authorization.k8s.io"], "repositories": ["https://git/a"]},
        "productionOnly": [
            {"name": "orders", "target": {"kind": "PersistentVolumeClaim"}, "standIn": {"volume": "empty"}},
            {"name": "payment", "target": {"kind": "Secret", "name": "payment"},
             "standIn": {"secret": {"values": {"user": "test"}, "generate": ["key"]}}},
        ],
        "copies": {"rules": [
            {"name": "one-replica", "target": {"kind": "Deployment"}, "replicas": 1},
            {"name": "debug", "target": {"kind": "Deployment", "name": "web"},
             "patch": "spec: {template: {spec: {containers: [{name: web, env: [{name: DEBUG, value: 'yes'}]}]}}}"},
            {"name": "addresses", "target": {"kind": "ConfigMap"}, "hosts": ["/data/*"]},
        ]},
    }))
    .unwrap()
}

fn copy() -> Copy {
    let original: EnvironmentSpec = serde_json::from_value(
        json!({"stack": "shop", "destination": {"namespace": "shop", "namespaces": ["monitoring"]}}),
    )
    .unwrap();
    Copy::new("mine", ("production", &original), &stack(), "localhost").unwrap()
}

fn scope(value: &Value) -> Scope {
    if value["kind"] == "ClusterRole" { Scope::Cluster } else { Scope::Namespaced }
}

fn rewrite(objects: &[Value], stack: &StackSpec) -> Result<Rewritten, Error> {
    let sources: Vec<Source<'_>> =
        objects.iter().map(|value| Source { component: "shop", value, scope: scope(value) }).collect();
    copy().rewrite(&sources, stack, &|secret, key| format!("generated for {secret} {key}"))
}

fn placed(objects: &[Value]) -> Vec<Value> {
    objects.iter().map(|value| place(value, scope(value), "shop")).collect()
}

fn values(rewritten: &Rewritten) -> Vec<Value> {
    rewritten.objects.iter().map(|object| object.value.clone()).collect()
}

fn against(left: &[Value], right: &[Value], record: &[Entry]) -> Fidelity {
    let copy = copy();
    compare(left, right, &|id| copy.identity(id), record)
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap()
}

#[test]
fn names_and_references_are_those_of_the_copy() {
    let made = rewrite(&objects(), &stack()).unwrap();
    let objects = values(&made);
    assert_eq!(of_kind(&objects, "Service")["metadata"]["namespace"], "mine-shop");
    let binding = of_kind(&objects, "RoleBinding");
    assert_eq!(binding["metadata"]["namespace"], "mine-monitoring");
    assert_eq!(binding["subjects"][0]["namespace"], "mine-shop");
    assert_eq!(binding["subjects"][1]["name"], "system:serviceaccounts:mine-shop");
    let route = of_kind(&objects, "HTTPRoute");
    assert_eq!(route["spec"]["hostnames"], json!(["shop.mine.localhost"]));
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0]["namespace"], "mine-shop");
    assert_eq!(
        route["spec"]["parentRefs"][0]["namespace"], "seaway-system",
        "not a namespace of what is copied"
    );
    assert_eq!(
        of_kind(&objects, "ConfigMap")["data"],
        json!({"CATALOG": "http://catalog.mine-shop.svc:80", "HOST": "shop.mine.localhost", "TITLE": "shop"})
    );
    assert_eq!(made.hosts["shop.example.com"], "shop.mine.localhost");
}

#[test]
fn what_lives_in_the_cluster_is_shared() {
    let made = rewrite(&objects(), &stack()).unwrap();
    assert_eq!(made.left_out.len(), 1);
    assert_eq!(made.left_out[0].object.to_string(), "ClusterRole.rbac.authorization.k8s.io web");
    let mut stack = stack();
    stack.allow = None;
    let made = rewrite(&objects(), &stack).unwrap();
    assert!(made.left_out.is_empty(), "what is not allowed is left for the plan to refuse");
}

#[test]
fn what_stays_in_production_gets_its_stand_in() {
    let objects = values(&rewrite(&objects(), &stack()).unwrap());
    assert_eq!(
        of_kind(&objects, "Secret")["data"],
        json!({"user": "dGVzdA==", "key": "Z2VuZXJhdGVkIGZvciBwYXltZW50IGtleQ=="})
    );
    assert_eq!(of_kind(&objects, "PersistentVolumeClaim")["spec"].get("volumeName"), None);
}

#[test]
fn what_looks_like_it_and_is_not_marked_stops_the_copy_with_a_list() {
    let mut stack = stack();
    stack.production_only.clear();
    let error = rewrite(&objects(), &stack).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stack does not say what a copy has in place of PersistentVolumeClaim shop/orders (it is a volume), Secret \
         shop/payment (it holds secret values): add an entry to spec.productionOnly of the Stack for each"
    );
}

#[test]
fn a_stand_in_has_every_key() {
    let mut stack = stack();
    stack.production_only[1].stand_in.secret.as_mut().unwrap().values.clear();
    let error = rewrite(&objects(), &stack).unwrap_err();
    assert!(error.to_string().contains("it gives no value for user"), "{error}");
}

#[test]
fn every_difference_of_a_copy_is_declared() {
    let made = rewrite(&objects(), &stack()).unwrap();
    let fidelity = against(&placed(&objects()), &values(&made), &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
    assert_eq!(fidelity.total, fidelity.identical + fidelity.declared);
    let rules = |class: Class| {
        let mut rules: Vec<&str> = fidelity
            .differences
            .iter()
            .filter(|field| field.class == class)
            .map(|field| &*field.rule)
            .collect();
        rules.sort_unstable();
        rules.dedup();
        rules.join(" ")
    };
    assert_eq!(rules(Class::Identity), "addresses cluster-scoped names");
    assert_eq!(rules(Class::Rule), "debug one-replica");
    assert_eq!(rules(Class::StandIn), "orders payment");
}

#[test]
fn a_rule_that_lies_is_found_out() {
    let made = rewrite(&objects(), &stack()).unwrap();
    let (left, right) = (placed(&objects()), values(&made));
    let lies: [fn(&mut Entry); 4] = [
        // It says that it has set something else.
        |entry| entry.to = Some(json!(7)),
        // It says that something else was there.
        |entry| entry.from = Some(json!(7)),
        // It says that it was another field.
        |entry| entry.path = entry.path[..1].to_vec(),
        // It speaks of another object.
        |entry| entry.object.name = "other".into(),
    ];
    for lie in lies {
        let mut record = made.record.clone();
        lie(record.iter_mut().find(|entry| entry.rule == "one-replica").unwrap());
        let fidelity = against(&left, &right, &record);
        assert_eq!(fidelity.undeclared, 1, "{:#?}", fidelity.differences);
    }
    assert!(against(&left, &right, &[]).undeclared > 0);
}

#[test]
fn an_override_explains_just_its_component() {
    let base = objects();
    let mut changed = base.clone();
    changed[3]["spec"]["template"]["spec"]["containers"][0]["image"] = "shop:2".into();
    changed.push(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "index"}, "data": {"a": "b"}}),
    );
    changed.remove(0);
    let made = rewrite(&changed, &stack()).unwrap();
    let mut record = deviations(&placed(&base), &placed(&changed), "shop at feature/index");
    record.extend(made.record.clone());
    let fidelity = against(&placed(&base), &values(&made), &record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
    let overridden: Vec<String> = fidelity
        .differences
        .iter()
        .filter(|field| field.class == Class::Override)
        .map(|field| format!("{}{}", field.object, field.path))
        .collect();
    assert_eq!(
        overridden,
        [
            "ConfigMap mine-shop/index",
            "ServiceAccount mine-shop/web",
            "Deployment.apps mine-shop/web.spec.template.spec.containers[name=\"web\"].image",
        ]
    );
    assert!(against(&placed(&base), &values(&made), &made.record).undeclared == 3);
}

#[test]
fn components_that_are_left_out_are_declared() {
    let base = objects();
    let fidelity = against(&placed(&base), &[], &without(&placed(&base), "components"));
    assert_eq!((fidelity.undeclared, fidelity.declared), (0, base.len()));
}

/// Every text, number and flag of an object, as a JSON pointer.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, child)| {
            leaves(child, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, child)| leaves(child, &format!("{at}/{i}"), found));
        }
        _ => found.push(at.to_owned()),
    }
}

proptest! {
    #[test]
    fn whatever_somebody_changes_besides_is_undeclared(object in 0usize..8, leaf in any::<prop::sample::Index>(), value in "[a-z]{9}") {
        let made = rewrite(&objects(), &stack()).unwrap();
        let mut right = values(&made);
        let mut places = Vec::new();
        leaves(&right[object], "", &mut places);
        *right[object].pointer_mut(&places[leaf.index(places.len())]).unwrap() = value.into();
        let fidelity = against(&placed(&objects()), &right, &made.record);
        prop_assert!(fidelity.undeclared > 0);
    }

    #[test]
    fn an_environment_agrees_with_itself(count in 0usize..9) {
        let objects = placed(&objects()[..count]);
        let fidelity = compare(&objects, &objects, &Clone::clone, &[]);
        prop_assert_eq!(fidelity.identical, fidelity.total);
        prop_assert!((fidelity.score() - 1.0).abs() < f64::EPSILON);
    }
}
