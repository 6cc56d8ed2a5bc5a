use super::*;

fn shop_with(mut change: impl FnMut(&mut Objects)) -> Built {
    let mut all = objects();
    all.services = vec![service("shop", "web", json!([{"name": "http", "port": 80, "targetPort": "web"}]))];
    all.endpoint_slices = vec![slice(
        "web",
        json!([{"name": "http", "port": 8080}, {"name": "admin", "port": 9090}]),
        json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]),
    )];
    all.http_routes = vec![route("r", json!({"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}))];
    change(&mut all);
    built(&all)
}

/// The addresses of the first backend of the first rule; `None` if the reference leads nowhere.
fn addresses(built: &Built) -> Option<Vec<String>> {
    let backend = built.table.rules()[0].backends[0].backend.as_ref()?;
    Some(backend.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect())
}

#[test]
fn a_service_port_leads_to_the_endpoint_port_of_the_same_name() {
    assert_eq!(addresses(&shop_with(|_| ())), Some(vec!["10.0.0.1:8080".to_owned()]));
    let unnamed = shop_with(|all| {
        all.services = vec![service("shop", "web", json!([{"port": 80}]))];
        all.endpoint_slices =
            vec![slice("web", json!([{"name": "", "port": 8081}]), json!([{"addresses": ["10.0.0.1"]}]))];
    });
    assert_eq!(addresses(&unnamed), Some(vec!["10.0.0.1:8081".to_owned()]));
}

#[test]
fn only_ready_endpoints_that_do_not_terminate_get_requests() {
    let some = shop_with(|all| {
        all.endpoint_slices = vec![slice(
            "web",
            json!([{"name": "http", "port": 1}]),
            json!([
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": false, "terminating": false}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.4"]},
            ]),
        )];
    });
    assert_eq!(addresses(&some), Some(vec!["10.0.0.3:1".to_owned(), "10.0.0.4:1".to_owned()]));
}

#[test]
fn if_all_endpoints_terminate_those_that_still_serve_are_used() {
    let all = shop_with(|all| {
        all.endpoint_slices = vec![slice(
            "web",
            json!([{"name": "http", "port": 1}]),
            json!([
                {"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": false, "terminating": true}},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
            ]),
        )];
    });
    assert_eq!(addresses(&all), Some(vec!["10.0.0.1:1".to_owned()]));
}

#[test]
fn a_missing_service_or_port_is_no_backend_and_a_service_without_endpoints_an_empty_one() {
    assert_eq!(addresses(&shop_with(|all| all.services.clear())), None);
    let other_port = shop_with(|all| all.services = vec![service("shop", "web", json!([{"port": 81}]))]);
    assert_eq!(addresses(&other_port), None);
    assert_eq!(addresses(&shop_with(|all| all.endpoint_slices.clear())), Some(vec![]));
}

#[test]
fn another_namespace_needs_a_reference_grant() {
    let refer = |all: &mut Objects| {
        all.services = vec![service("data", "web", json!([{"port": 80}]))];
        let backend = json!([{"name": "web", "namespace": "data", "port": 80}]);
        all.http_routes = vec![route("r", json!({"rules": [{"backendRefs": backend}]}))];
    };
    let grant = |from: &str, to: Value| {
        Arc::new(json!({
            "metadata": {"name": "g", "namespace": "data"},
            "spec": {
                "from": [{"group": crate::GROUP, "kind": "HTTPRoute", "namespace": from}],
                "to": [to],
            },
        }))
    };
    assert_eq!(addresses(&shop_with(refer)), None);
    for (from, to, allowed) in [
        ("shop", json!({"group": "", "kind": "Service"}), true),
        ("shop", json!({"group": "", "kind": "Service", "name": "web"}), true),
        ("shop", json!({"group": "", "kind": "Service", "name": "other"}), false),
        ("other", json!({"group": "", "kind": "Service"}), false),
        ("shop", json!({"group": "", "kind": "Secret"}), false),
    ] {
        let built = shop_with(|all| {
            refer(all);
            all.reference_grants = vec![grant(from, to.clone())];
        });
        assert_eq!(addresses(&built).is_some(), allowed, "{from} {to}");
    }
}

#[test]
fn endpoints_know_the_revision_of_their_pod() {
    let built = shop_with(|all| {
        all.endpoint_slices = vec![slice(
            "web",
            json!([{"name": "http", "port": 1}]),
            json!([
                {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "web-1"}},
                {"addresses": ["10.0.0.2"]},
            ]),
        )];
        all.pods = vec![Arc::new(json!({
            "metadata": {"name": "web-1", "namespace": "shop", "labels": {"pod-template-hash": "abc"}},
        }))];
    });
    let backend = built.table.rules()[0].backends[0].backend.clone().unwrap();
    let revisions: Vec<&str> = backend.endpoints.iter().map(|endpoint| &*endpoint.revision).collect();
    assert_eq!(revisions, ["abc", ""]);
}

#[test]
fn weights_divide_the_requests_and_zero_gets_none() {
    let built = shop_with(|all| {
        let backends = json!([
            {"name": "web", "port": 80, "weight": 3},
            {"name": "web", "port": 80, "weight": 0},
            {"name": "web", "port": 80},
        ]);
        all.http_routes = vec![route("r", json!({"rules": [{"backendRefs": backends}]}))];
    });
    let rule = &built.table.rules()[0];
    let chosen: Vec<_> = (0..8).map(|ticket| rule.choose(ticket).unwrap()).collect();
    assert_eq!(chosen, [0, 0, 0, 2, 0, 0, 0, 2]);

    let none = shop_with(|all| {
        let backends = json!([{"name": "web", "port": 80, "weight": 0}]);
        all.http_routes = vec![route("r", json!({"rules": [{"backendRefs": backends}]}))];
    });
    assert_eq!(none.table.rules()[0].choose(7), None);
}
