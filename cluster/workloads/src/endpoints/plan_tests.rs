#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn service(spec: Value) -> Service {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "s", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.20",
                 "ports": [{"port": 80, "targetPort": "http", "protocol": "TCP"}]},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn pod(number: usize, change: Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {"name": format!("p{number:03}"), "namespace": "shop", "uid": format!("u{number}"),
                     "labels": {"app": "web"}},
        "spec": {"nodeName": "here",
                 "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": format!("10.244.{}.{}", number / 200, number % 200 + 1),
                   "conditions": [{"type": "Ready", "status": "True"}]},
    });
    for (pointer, value) in change.as_object().unwrap() {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[field] = value.clone();
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

/// Does what is planned, as the API would.
fn apply(mut slices: Vec<Arc<EndpointSlice>>, plan: Plan) -> Vec<Arc<EndpointSlice>> {
    for update in plan.update {
        let place = slices.iter_mut().find(|s| s.name_any() == update.name_any()).unwrap();
        *place = Arc::new(update);
    }
    slices.retain(|s| !plan.delete.iter().any(|d| d.name_any() == s.name_any()));
    for mut made in plan.create {
        let number = (0..).find(|n| slices.iter().all(|s| s.name_any() != format!("web-{n}"))).unwrap();
        made.metadata.name = Some(format!("web-{number}"));
        slices.push(Arc::new(made));
    }
    slices
}

fn settle(service: &Service, pods: &[Arc<Pod>], slices: Vec<Arc<EndpointSlice>>) -> Vec<Arc<EndpointSlice>> {
    let first = plan(service, pods, &slices).unwrap();
    let slices = apply(slices, first);
    let again = plan(service, pods, &slices).unwrap();
    assert!(
        again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(),
        "it never comes to rest: {again:?}"
    );
    slices
}

fn facts(slices: &[Arc<EndpointSlice>]) -> Value {
    let endpoint = |e: &Endpoint| {
        let c = e.conditions.as_ref().unwrap();
        json!([e.addresses[0], c.ready, c.serving, c.terminating])
    };
    let slice = |s: &Arc<EndpointSlice>| -> Value {
        let ports: Vec<_> = s.ports.iter().flatten().map(|p| p.port).collect();
        json!({"ports": ports, "endpoints": s.endpoints.iter().flatten().map(endpoint).collect::<Vec<_>>()})
    };
    slices.iter().map(slice).collect()
}

#[test]
fn a_slice_says_who_answers_where_and_whose_it_is() {
    let slices = settle(&service(json!({})), &[pod(0, json!({}))], vec![]);
    let mut value = serde_json::to_value(&*slices[0]).unwrap();
    value["metadata"].as_object_mut().unwrap().remove("name");
    assert_eq!(
        value,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"generateName": "web-", "namespace": "shop",
                "labels": {"team": "a", "kubernetes.io/service-name": "web",
                           "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s",
                                     "controller": true, "blockOwnerDeletion": true}]},
            "endpoints": [{"addresses": ["10.244.0.1"], "nodeName": "here",
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p000", "uid": "u0"}}],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        })
    );
}

#[test]
fn conditions_follow_the_pod() {
    let pods = [
        pod(0, json!({})),
        pod(1, json!({"/status/conditions": [{"type": "Ready", "status": "False"}]})),
        pod(2, json!({"/metadata/deletionTimestamp": "2026-01-01T00:00:00Z"})),
        pod(3, json!({"/status/phase": "Failed"})),
        pod(4, json!({"/status/podIP": null})),
        pod(5, json!({"/metadata/labels": {"app": "other"}})),
    ];
    let ports = json!([8080]);
    assert_eq!(
        facts(&settle(&service(json!({})), &pods, vec![])),
        json!([{"ports": ports, "endpoints": [
            ["10.244.0.1", true, true, false],
            ["10.244.0.2", false, false, false],
            ["10.244.0.3", false, true, true]]}])
    );
    let publishing = service(json!({"publishNotReadyAddresses": true}));
    assert_eq!(
        facts(&settle(&publishing, &pods, vec![])),
        json!([{"ports": ports, "endpoints": [
            ["10.244.0.1", true, true, false],
            ["10.244.0.2", true, false, false],
            ["10.244.0.3", true, true, true]]}])
    );
}

#[test]
fn target_ports_are_numbers_names_or_the_same() {
    let of = |port: Value| {
        let service = service(json!({"ports": [port]}));
        facts(&settle(&service, &[pod(0, json!({}))], vec![]))[0]["ports"].clone()
    };
    assert_eq!(of(json!({"port": 80})), json!([80]));
    assert_eq!(of(json!({"port": 80, "targetPort": 0})), json!([80]));
    assert_eq!(of(json!({"port": 80, "targetPort": 9000})), json!([9000]));
    assert_eq!(of(json!({"port": 80, "targetPort": "http"})), json!([8080]));
    assert_eq!(of(json!({"port": 80, "targetPort": "http", "protocol": "UDP"})), json!([]));
    assert_eq!(of(json!({"port": 80, "targetPort": "unknown"})), json!([]));
}

#[test]
fn pods_whose_ports_differ_are_in_different_slices() {
    let other = json!([{"name": "c", "ports": [{"name": "http", "containerPort": 9090}]}]);
    let pods = [pod(0, json!({})), pod(1, json!({"/spec/containers": other}))];
    assert_eq!(
        facts(&settle(&service(json!({})), &pods, vec![])),
        json!([{"ports": [8080], "endpoints": [["10.244.0.1", true, true, false]]},
               {"ports": [9090], "endpoints": [["10.244.0.2", true, true, false]]}])
    );
}

#[test]
fn a_service_without_pods_has_an_empty_slice_that_the_first_pod_takes() {
    let service = service(json!({}));
    let empty = settle(&service, &[], vec![]);
    assert_eq!(facts(&empty), json!([{"ports": [], "endpoints": []}]));
    let first = settle(&service, &[pod(0, json!({}))], empty.clone());
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].name_any(), empty[0].name_any());
    assert_eq!(settle(&service, &[], first).len(), 1);
}

#[test]
fn addresses_stay_in_their_slice_and_slices_hold_a_hundred() {
    let service = service(json!({}));
    let pods: Vec<_> = (0..250).map(|n| pod(n, json!({}))).collect();
    let slices = settle(&service, &pods, vec![]);
    let sizes = |slices: &[Arc<EndpointSlice>]| -> Vec<usize> {
        slices.iter().map(|s| s.endpoints.as_ref().unwrap().len()).collect()
    };
    assert_eq!(sizes(&slices), [100, 100, 50]);
    // One goes from the first: nothing else moves.
    let plan = plan(&service, &pods[1..], &slices).unwrap();
    assert_eq!((plan.create.len(), plan.update.len(), plan.delete.len()), (0, 1, 0));
    // All of the second go: it is not needed any more.
    let rest: Vec<_> = pods[..100].iter().chain(&pods[200..]).cloned().collect();
    assert_eq!(sizes(&settle(&service, &rest, slices)), [100, 50]);
}

#[test]
fn headless_services_say_so_and_name_their_pods() {
    let service = service(json!({"clusterIP": "None", "ports": []}));
    let named = pod(0, json!({"/spec/hostname": "db-0", "/spec/subdomain": "web"}));
    let elsewhere = pod(1, json!({"/spec/hostname": "db-1", "/spec/subdomain": "other"}));
    let slices = settle(&service, &[named, elsewhere], vec![]);
    assert_eq!(slices[0].labels()[HEADLESS], "");
    let names: Vec<_> = slices[0].endpoints.iter().flatten().map(|e| e.hostname.as_deref()).collect();
    assert_eq!(names, [Some("db-0"), None]);
}

#[test]
fn each_address_family_has_its_own_slices() {
    let both = json!({"/status/podIPs": [{"ip": "10.244.0.1"}, {"ip": "fd00::1"}]});
    let service = service(json!({"ipFamilies": ["IPv4", "IPv6"]}));
    let slices = settle(&service, &[pod(0, both)], vec![]);
    let kinds: Vec<_> = slices.iter().map(|s| s.address_type.as_str()).collect();
    assert_eq!(kinds, ["IPv4", "IPv6"]);
    assert_eq!(slices[1].endpoints.as_ref().unwrap()[0].addresses, ["fd00::1"]);
}

#[test]
fn services_without_a_selector_are_somebody_elses_and_external_names_have_no_slices() {
    assert!(plan(&service(json!({"selector": null})), &[], &[]).is_none());
    let slices = settle(&service(json!({})), &[], vec![]);
    let external = service(json!({"type": "ExternalName"}));
    assert_eq!(plan(&external, &[], &slices).unwrap().delete.len(), 1);
}
