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
fn routes_attach_to_the_copys_own_gateway_and_listeners_accept_its_hosts_alone() {
    let mut stack = stack();
    stack.copies.as_mut().unwrap().gateway =
        Some(serde_json::from_value(json!({"class": "example"})).unwrap());
    let original: EnvironmentSpec = serde_json::from_value(
        json!({"stack": "shop", "destination": {"namespace": "shop", "namespaces": ["monitoring"]}}),
    )
    .unwrap();
    let copy = Copy::new("mine", ("production", &original), &stack, "localhost").unwrap();
    let own = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "inner"},
        "spec": {"gatewayClassName": "example", "listeners": [
            {"name": "every", "port": 80, "protocol": "HTTP"},
            {"name": "one", "port": 81, "protocol": "HTTP", "hostname": "shop.example.com"},
            {"name": "raw", "port": 82, "protocol": "TCP"}]}});
    let mut route = objects().remove(4);
    route["spec"]["parentRefs"] = json!([{"name": "public", "namespace": "infra", "sectionName": "https"},
        {"name": "inner"}, {"name": "other", "namespace": "infra"}]);
    let objects = [own, route];
    let sources: Vec<Source<'_>> =
        objects.iter().map(|value| Source { component: "shop", value, scope: Scope::Namespaced }).collect();
    let made = copy.rewrite(&sources, &stack, &|_, _| String::new()).unwrap();
    let changed = values(&made);
    assert_eq!(
        of_kind(&changed, "HTTPRoute")["spec"]["parentRefs"],
        json!([{"name": "inner"}, {"name": "seaway", "namespace": "mine-shop"}])
    );
    let hosts: Vec<&Value> =
        (0..3).map(|i| &of_kind(&changed, "Gateway")["spec"]["listeners"][i]["hostname"]).collect();
    assert_eq!(hosts, [&json!("*.mine.localhost"), &json!("shop.mine.localhost"), &Value::Null]);
    let fidelity = compare(&placed(&objects), &changed, &|id| copy.identity(id), &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
}

fn marked(kept: Value) -> StackSpec {
    let mut stack = stack();
    stack.production_only.push(serde_json::from_value(kept).unwrap());
    stack
}

#[test]
fn a_volume_is_filled_by_a_program_before_anything_uses_it() {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "catalog"},
        "spec": {"dataSource": {"kind": "VolumeSnapshot", "name": "s"}, "accessModes": ["ReadWriteOnce"]}});
    let mut stack = stack();
    stack.production_only[0].stand_in = serde_json::from_value(
        json!({"seed": {"image": "registry.example.com/seed:1", "args": ["--few"], "env": {"A": "https://x.example.com"}}}),
    )
    .unwrap();
    let objects = [claim];
    let made = rewrite(&objects, &stack).unwrap();
    let changed = values(&made);
    let (claim, job) = (of_kind(&changed, "PersistentVolumeClaim"), of_kind(&changed, "Job"));
    assert!(claim["spec"].get("dataSource").is_none());
    for object in [claim, job] {
        assert_eq!(object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"], "-1");
        assert_eq!(object["metadata"]["namespace"], "mine-shop");
    }
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["claimName"], "catalog");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let fidelity = against(&placed(&objects), &changed, &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
    assert!(fidelity.differences.iter().any(|d| d.object.kind == "Job" && d.class == Class::StandIn));
    // Another program is another Job.
    let name = job["metadata"]["name"].clone();
    stack.production_only[0].stand_in.seed.as_mut().unwrap().image = "registry.example.com/seed:2".into();
    assert_ne!(of_kind(&values(&rewrite(&objects, &stack).unwrap()), "Job")["metadata"]["name"], name);
}

#[test]
fn another_program_answers_in_place_of_a_service() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pay"},
        "spec": {"type": "ExternalName", "externalName": "pay.example.com"}});
    let error = rewrite(std::slice::from_ref(&service), &stack()).unwrap_err().to_string();
    assert!(error.contains("Service shop/pay (it leads to pay.example.com, outside the cluster)"), "{error}");
    let mock = json!({"name": "pay", "target": {"kind": "Service", "name": "pay"},
        "standIn": {"service": {"image": "registry.example.com/mock:1", "port": 8080}}});
    let objects = [service];
    let made = rewrite(&objects, &marked(mock)).unwrap();
    let changed = values(&made);
    let (service, deployment) = (of_kind(&changed, "Service"), of_kind(&changed, "Deployment"));
    assert_eq!(service["spec"]["ports"], json!([{"port": 8080, "targetPort": 8080}]));
    assert!(service["spec"].get("externalName").is_none());
    assert_eq!(service["spec"]["selector"], deployment["spec"]["template"]["metadata"]["labels"]);
    assert_eq!(deployment["metadata"]["name"], "mock-pay");
    let fidelity = against(&placed(&objects), &changed, &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
}

#[test]
fn hosts_outside_that_nobody_has_marked_stop_the_copy() {
    let objects = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
               "data": {"app.yaml": "pay: https://pay.example.org/v1\nmail: smtp.example.org:25\ndocs: https://docs.example.net"}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
               "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [
                   {"name": "web", "image": "registry.example.org/web:1", "args": ["--pay=https://pay.example.org"],
                    "env": [{"name": "DB", "value": "postgres://a@db.example.org/shop"}]}]}}}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web",
               "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/web", "a": "b"}}}),
    ];
    let mut stack = stack();
    stack.copies = None;
    let error = rewrite(&objects, &stack).unwrap_err().to_string();
    for text in [
        "ConfigMap shop/web (it names docs.example.net, pay.example.org, smtp.example.org, outside the cluster)",
        "Deployment.apps shop/web (it names db.example.org, pay.example.org, outside the cluster)",
        "ServiceAccount shop/web (it is an identity outside the cluster)",
    ] {
        assert!(error.contains(text), "{error}");
    }
    for kept in [
        json!({"name": "docs", "host": "docs.*", "standIn": {"keep": true}}),
        json!({"name": "pay", "host": "pay.example.org", "standIn": {"host": "mock-pay"}}),
        json!({"name": "others", "host": "*.example.org", "standIn": {"host": "mock:8025"}}),
        json!({"name": "identity", "target": {"kind": "ServiceAccount"}, "standIn": {"omit": true}}),
    ] {
        stack.production_only.push(serde_json::from_value(kept).unwrap());
    }
    let made = rewrite(&objects, &stack).unwrap();
    let changed = values(&made);
    assert_eq!(
        of_kind(&changed, "ConfigMap")["data"]["app.yaml"],
        "pay: https://mock-pay/v1\nmail: mock:8025\ndocs: https://docs.example.net"
    );
    let container = &of_kind(&changed, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][0], "--pay=https://mock-pay");
    assert_eq!(container["env"][0]["value"], "postgres://a@mock:8025/shop");
    assert_eq!(container["image"], "registry.example.org/web:1");
    assert_eq!(of_kind(&changed, "ServiceAccount")["metadata"]["annotations"], json!({"a": "b"}));
    let fidelity = against(&placed(&objects), &changed, &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
    let rules: Vec<&str> = fidelity
        .differences
        .iter()
        .filter(|field| field.class == Class::StandIn)
        .map(|field| field.rule.as_str())
        .collect();
    assert!(
        ["pay", "others", "identity"].iter().any(|rule| rules.contains(rule)) && !rules.contains(&"docs"),
        "{rules:?}"
    );
}

#[test]
fn what_is_shared_leads_to_another_environment() {
    let spec = |namespace: &str| -> EnvironmentSpec {
        serde_json::from_value(json!({"stack": "shop", "destination": {"namespace": namespace, "namespaces": [format!("{namespace}-m")]}})).unwrap()
    };
    let mut stack = stack();
    stack.components.push(
        serde_json::from_value(
            json!({"name": "data", "source": {"repo": "https://git/a"}, "copy": "shared"}),
        )
        .unwrap(),
    );
    let (original, staging) = (spec("shop"), spec("staging"));
    let copy = Copy::new("mine", ("production", &original), &stack, "localhost").unwrap();
    let copy = copy.sharing(&stack, &original, ("staging", &staging)).unwrap();
    let objects = [
        (
            "data",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"},
                        "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}}),
        ),
        (
            "data",
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
                        "spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}}),
        ),
        (
            "data",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"a": "Yg=="}}),
        ),
        (
            "data",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "db"},
                        "spec": {"hostnames": ["db.example.org"]}}),
        ),
        (
            "shop",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"},
                        "data": {"DB": "postgres://db.shop.svc:5432", "ADMIN": "https://db.example.org"}}),
        ),
        (
            "shop",
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"},
                        "spec": {"rules": [{"backendRefs": [{"name": "db", "port": 5432}, {"name": "web", "port": 80}]}]}}),
        ),
    ];
    let sources: Vec<Source<'_>> = objects
        .iter()
        .map(|(component, value)| Source { component, value, scope: Scope::Namespaced })
        .collect();
    // Staging's is shared, and not that of production.
    let error = copy.rewrite(&sources, &stack, &|_, _| String::new()).unwrap_err().to_string();
    assert!(error.contains("ConfigMap shop/web (it names db.example.org, outside the cluster)"), "{error}");
    let keep =
        json!({"name": "admin", "host": "db.example.org", "standIn": {"host": "db.staging.example.org"}});
    stack.production_only.push(serde_json::from_value(keep).unwrap());
    let made = copy.rewrite(&sources, &stack, &|_, _| String::new()).unwrap();
    let changed = values(&made);
    let alias = of_kind(&changed, "Service");
    assert_eq!(alias["metadata"], json!({"name": "db", "namespace": "mine-shop"}));
    assert_eq!(
        alias["spec"],
        json!({"type": "ExternalName", "externalName": "db.staging.svc.cluster.local"})
    );
    assert_eq!(made.shared["mine-shop/db"], "db.staging.svc.cluster.local");
    assert!(!changed.iter().any(|object| object["kind"] == "StatefulSet" || object["kind"] == "Secret"));
    // By whatever name it is called, the alias answers; a gateway needs the service itself.
    let config = of_kind(&changed, "ConfigMap");
    assert_eq!(
        config["data"],
        json!({"DB": "postgres://db.mine-shop.svc:5432", "ADMIN": "https://db.staging.example.org"})
    );
    let backends = &of_kind(&changed, "HTTPRoute")["spec"]["rules"][0]["backendRefs"];
    assert_eq!(backends[0]["namespace"], "staging");
    assert!(backends[1].get("namespace").is_none());
    let left: Vec<Value> = objects.iter().map(|(_, value)| place(value, Scope::Namespaced, "shop")).collect();
    let fidelity = compare(&left, &changed, &|id| copy.identity(id), &made.record);
    assert_eq!(fidelity.undeclared, 0, "{:#?}", fidelity.differences);
    assert!(fidelity.differences.iter().any(|d| d.object.kind == "StatefulSet" && d.rule == "shared"));
    // Who shares must have a place for each namespace, and be no copy.
    let few: EnvironmentSpec =
        serde_json::from_value(json!({"stack": "shop", "destination": {"namespace": "x"}})).unwrap();
    let copied: EnvironmentSpec = serde_json::from_value(json!({"copyOf": "production"})).unwrap();
    for lender in [&few, &copied] {
        assert!(copy.clone().sharing(&stack, &original, ("other", lender)).is_err());
    }
}

#[test]
fn network_policies_are_the_copys_own() {
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "open"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}});
    let objects = [policy];
    let made = rewrite(&objects, &stack()).unwrap();
    assert!(made.objects.is_empty());
    assert_eq!(made.left_out[0].object.to_string(), "NetworkPolicy.networking.k8s.io shop/open");
    let fidelity = against(&placed(&objects), &[], &made.record);
    assert_eq!((fidelity.undeclared, fidelity.declared), (0, 1));
    assert_eq!(fidelity.differences[0].rule, "network-policies");
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
