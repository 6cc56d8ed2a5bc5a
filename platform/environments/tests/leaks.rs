//! What would lead out of a copy in silence stops it, until the stack says what the copy has instead.

#![allow(clippy::unwrap_used)]

use seaway_api::{EnvironmentSpec, StackSpec};
use seaway_environments::{Class, Copy, Error, Rewritten, Source, compare, place};
use seaway_object::Scope;
use serde_json::{Value, json};

fn stack(more: Value) -> StackSpec {
    let mut stack = json!({"components": [{"name": "shop", "source": {"repo": "https://git/a"}}]});
    stack.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(stack).unwrap()
}

fn copy(stack: &StackSpec) -> Copy {
    let original: EnvironmentSpec =
        serde_json::from_value(json!({"stack": "shop", "destination": {"namespace": "shop"}})).unwrap();
    Copy::new("mine", ("production", &original), stack, "localhost").unwrap()
}

fn rewrite(objects: &[Value], stack: &StackSpec) -> Result<Rewritten, Error> {
    let sources: Vec<Source<'_>> =
        objects.iter().map(|value| Source { component: "shop", value, scope: Scope::Namespaced }).collect();
    copy(stack).rewrite(&sources, stack, &|_, _| "generated".to_owned())
}

/// What became of them, each difference being declared.
fn declared(objects: &[Value], stack: &StackSpec) -> Vec<Value> {
    let made = rewrite(objects, stack).unwrap();
    let left: Vec<Value> = objects.iter().map(|value| place(value, Scope::Namespaced, "shop")).collect();
    let right: Vec<Value> = made.objects.iter().map(|kept| kept.value.clone()).collect();
    let fidelity = compare(&left, &right, &|id| copy(stack).identity(id), &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
    right
}

fn shop() -> Vec<Value> {
    let route = "gateway.networking.k8s.io/v1";
    vec![
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "catalog",
               "annotations": {"external-dns.alpha.kubernetes.io/hostname": "shop.example.com"}}, "spec": {}}),
        json!({"apiVersion": route, "kind": "HTTPRoute", "metadata": {"name": "web"},
               "spec": {"hostnames": ["shop.example.com", "*.apps.example.com"]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
               "data": {"API": "http://catalog.shop.svc:80", "PUBLIC": "https://one.apps.example.com/x",
                        "OWN": "http://catalog", "MAIL": "jane@shop.example.com"}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
               "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop.example.com/web:1",
                   "env": [{"name": "DB", "value": "postgres://db.shop.svc.cluster.local/a"}]}]}}}}),
    ]
}

#[test]
fn what_would_call_production_stops_the_copy_with_the_fields_that_do() {
    let error = rewrite(&shop(), &stack(json!({}))).unwrap_err().to_string();
    assert_eq!(
        error,
        "the copy would call what it copies from Service shop/catalog (it names shop.example.com at \
         /metadata/annotations/external-dns.alpha.kubernetes.io~1hostname, of production), ConfigMap shop/web (it names \
         catalog.shop.svc at /data/API, one.apps.example.com at /data/PUBLIC, of production), Deployment.apps shop/web \
         (it names db.shop.svc.cluster.local at /spec/template/spec/containers/0/env/0/value, of production): list these \
         fields in `hosts` of a rule in spec.copies.rules of the Stack, or keep the name by an entry of \
         spec.productionOnly"
    );
}

#[test]
fn with_rules_for_these_fields_the_copy_calls_itself() {
    let stack = stack(json!({"copies": {"rules": [{"name": "links", "hosts": ["/data/*",
        "/metadata/annotations/external-dns.alpha.kubernetes.io~1hostname",
        "/spec/template/spec/containers/*/env/*/value"]}]}}));
    let made = declared(&shop(), &stack);
    assert_eq!(
        made[2]["data"],
        json!({"API": "http://catalog.mine-shop.svc:80", "PUBLIC": "https://one.apps.mine.localhost/x",
               "OWN": "http://catalog", "MAIL": "jane@shop.mine.localhost"})
    );
    let container = &made[3]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"][0]["value"], "postgres://db.mine-shop.svc.cluster.local/a");
    assert_eq!(container["image"], "shop.example.com/web:1", "images are pulled from where they are");
}

#[test]
fn a_name_of_production_that_is_meant_is_kept_and_only_when_it_is_written_out() {
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
        "data": {"API": "http://catalog.shop.svc:80"}});
    let keep = |host: &str| {
        stack(json!({"productionOnly": [{"name": "catalog", "host": host, "standIn": {"keep": true}}]}))
    };
    let made = declared(std::slice::from_ref(&config), &keep("catalog.shop.svc"));
    assert_eq!(made[0]["data"]["API"], "http://catalog.shop.svc:80");
    assert!(rewrite(&[config], &keep("*.svc")).is_err());
}

#[test]
fn both_lists_come_at_once() {
    let mut objects = shop();
    objects.push(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"a": "Yg=="}}),
    );
    let error = rewrite(&objects, &stack(json!({}))).unwrap_err().to_string();
    assert!(
        error.starts_with("the stack does not say what a copy has in place of Secret shop/db"),
        "{error}"
    );
    assert!(error.contains("; and the copy would call what it copies from Service shop/catalog"), "{error}");
}

fn workload(volumes: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "a:1"}], "volumes": volumes}}}})
}

fn volumes(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["volumes"]
}

#[test]
fn volumes_that_are_not_the_copys_own_stop_it() {
    let own = json!([{"name": "a", "configMap": {"name": "a"}}, {"name": "b", "secret": {"secretName": "b"}},
        {"name": "c", "emptyDir": {}}, {"name": "d"}, {"name": "e", "projected": {"sources": []}},
        {"name": "f", "downwardAPI": {}}, {"name": "g", "persistentVolumeClaim": {"claimName": "g"}},
        {"name": "h", "image": {"reference": "registry.example.com/data:1"}},
        {"name": "i", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}]);
    declared(&[workload(own)], &stack(json!({})));
    let snapshot = json!({"kind": "VolumeSnapshot", "name": "production"});
    for (volume, told) in [
        (json!({"nfs": {"server": "nas.example.com", "path": "/"}}), "data (nfs)"),
        (json!({"hostPath": {"path": "/srv"}}), "data (hostPath)"),
        (json!({"csi": {"driver": "secrets-store.csi.k8s.io"}}), "data (csi secrets-store.csi.k8s.io)"),
        (json!({"iscsi": {"targetPortal": "10.0.0.1"}}), "data (iscsi)"),
        (
            json!({"ephemeral": {"volumeClaimTemplate": {"spec": {"dataSource": snapshot}}}}),
            "data (ephemeral with dataSource)",
        ),
    ] {
        let mut volume = volume;
        volume["name"] = "data".into();
        let objects = [workload(json!([volume, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]))];
        let error = rewrite(&objects, &stack(json!({}))).unwrap_err().to_string();
        assert!(error.contains(&format!("its pods mount what is not the copy's own: {told}")), "{error}");
        let marked = |stand_in: Value| {
            stack(
                json!({"productionOnly": [{"name": "files", "target": {"kind": "Deployment"}, "standIn": stand_in}]}),
            )
        };
        let made = declared(&objects, &marked(json!({"volume": "empty"})));
        let is_claim = volume.get("ephemeral").is_some();
        let empty = match is_claim {
            true => json!({"name": "data", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
            false => json!({"name": "data", "emptyDir": {}}),
        };
        assert_eq!(volumes(&made[0]), &json!([empty, {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]));
        let made = declared(&objects, &marked(json!({"keep": true})));
        assert_eq!(volumes(&made[0])[0], volume, "the stack says that a copy may use it");
    }
    // Templates of other kinds have pods as well.
    let job = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "a"}, "spec": {"jobTemplate":
        {"spec": {"template": {"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}}}}});
    assert!(rewrite(&[job], &stack(json!({}))).unwrap_err().to_string().contains("x (hostPath)"));
}

#[test]
fn addresses_that_somebody_wrote_stop_the_copy() {
    let endpoints = [
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "db"},
               "subsets": [{"addresses": [{"ip": "10.1.2.3"}]}]}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "db"},
               "endpoints": [{"addresses": ["10.1.2.3"]}]}),
    ];
    let error = rewrite(&endpoints, &stack(json!({}))).unwrap_err().to_string();
    assert_eq!(error.matches("it leads to addresses that somebody wrote").count(), 2, "{error}");
}

#[test]
fn names_that_pods_give_to_addresses_are_hosts_outside() {
    let mut objects = [workload(json!([]))];
    objects[0]["spec"]["template"]["spec"]["hostAliases"] =
        json!([{"ip": "10.1.2.3", "hostnames": ["db.prod.example.com"]}]);
    let error = rewrite(&objects, &stack(json!({}))).unwrap_err().to_string();
    assert!(error.contains("it names db.prod.example.com, outside the cluster"), "{error}");
    let kept = json!({"productionOnly": [
        {"name": "db", "host": "db.prod.example.com", "standIn": {"keep": true}}]});
    declared(&objects, &stack(kept));
}

#[test]
fn what_makes_secrets_in_the_cluster_stops_the_copy_until_a_secret_stands_in() {
    let objects = [
        json!({"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "pay"},
               "spec": {"target": {"name": "payment"}, "data": [{"secretKey": "key"}]}}),
        json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "db"},
               "spec": {"encryptedData": {"password": "AgB"}, "template": {"type": "Opaque"}}}),
    ];
    let error = rewrite(&objects, &stack(json!({}))).unwrap_err().to_string();
    for named in ["ExternalSecret.external-secrets.io shop/pay", "SealedSecret.bitnami.com shop/db"] {
        assert!(error.contains(&format!("{named} (an operator makes secrets of it")), "{error}");
    }
    let stack = stack(json!({"productionOnly": [
        {"name": "pay", "target": {"kind": "ExternalSecret"}, "standIn": {"secret": {"values": {"key": "test"}}}},
        {"name": "db", "target": {"kind": "SealedSecret"}, "standIn": {"secret": {"generate": ["password"]}}}]}));
    let made = declared(&objects, &stack);
    let brief =
        |object: &Value| (object["kind"].clone(), object["metadata"]["name"].clone(), object["data"].clone());
    assert_eq!(brief(&made[0]), ("Secret".into(), "payment".into(), json!({"key": "dGVzdA=="})));
    assert_eq!(brief(&made[1]), ("Secret".into(), "db".into(), json!({"password": "Z2VuZXJhdGVk"})));
    let fidelity = rewrite(&objects, &stack).unwrap().record;
    assert!(fidelity.iter().any(|entry| entry.class == Class::StandIn && entry.rule == "pay"));
}
