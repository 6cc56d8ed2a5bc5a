use super::*;

fn status_of(built: &Built, kind: StatusKind) -> Value {
    built.statuses.iter().find(|status| status.kind == kind).unwrap().status.clone()
}

/// `Type=Status/Reason` of each condition.
fn conditions(conditions: &Value) -> Vec<String> {
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap().to_owned();
    let show = |condition: &Value| {
        format!("{}={}/{}", text(condition, "type"), text(condition, "status"), text(condition, "reason"))
    };
    conditions.as_array().unwrap().iter().map(show).collect()
}

fn route_conditions(all: &Objects) -> Vec<String> {
    conditions(&status_of(&built(all), StatusKind::HttpRoute)["parents"][0]["conditions"])
}

fn listener_conditions(listeners: Value) -> Vec<Vec<String>> {
    let mut all = objects();
    all.gateways = vec![gateway(listeners)];
    let status = status_of(&built(&all), StatusKind::Gateway);
    status["listeners"].as_array().unwrap().iter().map(|each| conditions(&each["conditions"])).collect()
}

#[test]
fn a_good_gateway_and_route_are_accepted_programmed_and_resolved() {
    let mut all = objects();
    all.services = vec![service("shop", "web", json!([{"port": 80}]))];
    all.http_routes = vec![route("r", json!({"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}))];
    let built = built(&all);
    let class = status_of(&built, StatusKind::GatewayClass);
    assert_eq!(conditions(&class["conditions"]), ["Accepted=True/Accepted"]);
    let features = class["supportedFeatures"].as_array().unwrap();
    let features: Vec<&str> = features.iter().map(|each| each["name"].as_str().unwrap()).collect();
    assert!(features.contains(&"HTTPRoute") && features.is_sorted(), "{features:?}");

    let gateway = status_of(&built, StatusKind::Gateway);
    assert_eq!(conditions(&gateway["conditions"]), ["Accepted=True/Accepted", "Programmed=True/Programmed"]);
    assert_eq!(gateway["addresses"], json!([{"type": "IPAddress", "value": "127.0.0.1"}]));
    let listener = &gateway["listeners"][0];
    assert_eq!(listener["attachedRoutes"], 1);
    assert_eq!(listener["supportedKinds"], json!([{"group": crate::GROUP, "kind": "HTTPRoute"}]));
    assert_eq!(
        conditions(&listener["conditions"]),
        [
            "Accepted=True/Accepted",
            "Programmed=True/Programmed",
            "ResolvedRefs=True/ResolvedRefs",
            "Conflicted=False/NoConflicts"
        ]
    );

    let route = status_of(&built, StatusKind::HttpRoute);
    let parent = &route["parents"][0];
    assert_eq!(parent["parentRef"], json!({"name": "gw", "namespace": "infra"}));
    assert_eq!(parent["controllerName"], crate::CONTROLLER_NAME);
    assert_eq!(
        conditions(&parent["conditions"]),
        ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"]
    );
    assert_eq!(parent["conditions"][0]["observedGeneration"], 2);
    assert_eq!(parent["conditions"][0]["lastTransitionTime"], NOW);
}

#[test]
fn a_status_that_is_already_right_is_not_written_again() {
    let mut all = objects();
    all.http_routes = vec![route("r", json!({}))];
    let first = built(&all);
    assert_eq!(first.statuses.len(), 3);
    let apply = |object: &Arc<Value>, kind| {
        let mut object = (**object).clone();
        object["status"] = status_of(&first, kind);
        Arc::new(object)
    };
    all.gateway_classes = vec![apply(&all.gateway_classes[0], StatusKind::GatewayClass)];
    all.gateways = vec![apply(&all.gateways[0], StatusKind::Gateway)];
    all.http_routes = vec![apply(&all.http_routes[0], StatusKind::HttpRoute)];
    let later = DataPlane { now: "2027-01-01T00:00:00Z".to_owned(), ..plane() };
    assert_eq!(build(&all, &later).statuses, []);
}

#[test]
fn conditions_keep_their_time_until_their_status_changes_and_foreign_ones_stay() {
    let mut all = objects();
    let mut object =
        (*route("r", json!({"rules": [{"backendRefs": [{"name": "gone", "port": 80}]}]}))).clone();
    let old = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "Old", "message": "", "lastTransitionTime": "2025-05-05T00:00:00Z"});
    object["status"] = json!({"parents": [
        {"parentRef": {"name": "x"}, "controllerName": "example.com/other", "conditions": []},
        {
            "parentRef": {"name": "gw", "namespace": "infra"},
            "controllerName": crate::CONTROLLER_NAME,
            "conditions": [old("Accepted", "True"), old("ResolvedRefs", "True"), old("example.com/x", "True")],
        },
        {"parentRef": {"name": "former"}, "controllerName": crate::CONTROLLER_NAME, "conditions": []},
    ]});
    all.http_routes = vec![Arc::new(object)];
    let status = status_of(&built(&all), StatusKind::HttpRoute);
    let parents = status["parents"].as_array().unwrap();
    assert_eq!(parents.len(), 2, "ours for a former parent is gone, the other controller's stays");
    assert_eq!(parents[0]["controllerName"], "example.com/other");
    let time = |kind: &str| {
        let all = parents[1]["conditions"].as_array().unwrap();
        all.iter().find(|each| each["type"] == kind).unwrap()["lastTransitionTime"].clone()
    };
    assert_eq!(time("Accepted"), "2025-05-05T00:00:00Z");
    assert_eq!(time("ResolvedRefs"), NOW);
    assert_eq!(time("example.com/x"), "2025-05-05T00:00:00Z");
}

#[test]
fn a_route_that_no_longer_names_us_loses_our_entry() {
    let mut all = objects();
    let mut object = (*route("r", json!({"parentRefs": []}))).clone();
    object["status"] = json!({"parents": [
        {"parentRef": {"name": "gw"}, "controllerName": crate::CONTROLLER_NAME, "conditions": []},
    ]});
    all.http_routes = vec![Arc::new(object), route("never ours", json!({"parentRefs": []}))];
    let built = built(&all);
    let routes: Vec<_> = built.statuses.iter().filter(|each| each.kind == StatusKind::HttpRoute).collect();
    assert_eq!(routes.len(), 1);
    assert_eq!(routes[0].status, json!({"parents": []}));
}

#[test]
fn routes_are_told_why_a_gateway_refuses_them() {
    let with = |gateway_listener: Value, spec: Value| {
        let mut all = objects();
        all.gateways = vec![gateway(json!([gateway_listener]))];
        all.http_routes = vec![route("r", spec)];
        route_conditions(&all)[0].clone()
    };
    let same = json!({"name": "http", "port": 80, "protocol": "HTTP"});
    assert_eq!(with(same, json!({})), "Accepted=False/NotAllowedByListeners");
    let other_section = json!({"parentRefs": [{"name": "gw", "namespace": "infra", "sectionName": "x"}]});
    assert_eq!(with(open_listener("http"), other_section), "Accepted=False/NoMatchingParent");
    let other_port = json!({"parentRefs": [{"name": "gw", "namespace": "infra", "port": 81}]});
    assert_eq!(with(open_listener("http"), other_port), "Accepted=False/NoMatchingParent");
    let mut named = open_listener("http");
    named["hostname"] = json!("*.example.com");
    assert_eq!(
        with(named, json!({"hostnames": ["example.net"]})),
        "Accepted=False/NoMatchingListenerHostname"
    );
}

#[test]
fn namespaces_can_be_selected_by_label() {
    let listener = json!({
        "name": "http", "port": 80, "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {
            "matchLabels": {"team": "shop"},
            "matchExpressions": [{"key": "frozen", "operator": "DoesNotExist"}],
        }}},
    });
    for (labels, wanted) in [
        (json!({"team": "shop"}), "Accepted=True/Accepted"),
        (json!({"team": "shop", "frozen": "yes"}), "Accepted=False/NotAllowedByListeners"),
        (json!({}), "Accepted=False/NotAllowedByListeners"),
    ] {
        let mut all = objects();
        all.gateways = vec![gateway(json!([listener]))];
        all.namespaces = vec![Arc::new(json!({"metadata": {"name": "shop", "labels": labels}}))];
        all.http_routes = vec![route("r", json!({}))];
        assert_eq!(route_conditions(&all)[0], wanted, "{labels}");
    }
}

#[test]
fn unresolved_references_are_named_with_their_reason() {
    let with = |backend: Value| {
        let mut all = objects();
        all.services = vec![
            service("data", "web", json!([{"port": 80}])),
            service("shop", "grpc", json!([{"port": 80, "appProtocol": "kubernetes.io/h2c"}])),
        ];
        all.http_routes = vec![route("r", json!({"rules": [{"backendRefs": [backend]}]}))];
        route_conditions(&all)
    };
    for (backend, reason) in [
        (json!({"name": "gone", "port": 80}), "BackendNotFound"),
        (json!({"name": "x", "kind": "Bucket", "group": "example.com"}), "InvalidKind"),
        (json!({"name": "web", "namespace": "data", "port": 80}), "RefNotPermitted"),
        (json!({"name": "grpc", "port": 80}), "UnsupportedProtocol"),
    ] {
        assert_eq!(
            with(backend),
            ["Accepted=True/Accepted".to_owned(), format!("ResolvedRefs=False/{reason}")]
        );
    }
}

#[test]
fn invalid_rules_are_dropped_and_named_and_a_route_of_only_such_is_refused() {
    let bad = json!({"name": "odd", "filters": [{"type": "CORS"}]});
    let mut all = objects();
    all.http_routes = vec![route("r", json!({"rules": [bad, {}]}))];
    let status = status_of(&built(&all), StatusKind::HttpRoute);
    let told = &status["parents"][0]["conditions"];
    assert_eq!(
        conditions(told),
        [
            "Accepted=True/Accepted",
            "ResolvedRefs=True/ResolvedRefs",
            "PartiallyInvalid=True/UnsupportedValue"
        ]
    );
    let message = told[2]["message"].as_str().unwrap();
    assert!(message.starts_with("Dropped Rule") && message.contains("odd"), "{message}");

    all.http_routes = vec![route("r", json!({"rules": [bad]}))];
    assert_eq!(route_conditions(&all), ["Accepted=False/UnsupportedValue", "ResolvedRefs=True/ResolvedRefs"]);
    let gateway = status_of(&built(&all), StatusKind::Gateway);
    assert_eq!(gateway["listeners"][0]["attachedRoutes"], 0);
}

#[test]
fn listeners_that_cannot_be_served_say_why() {
    let with = |field: &str, value: Value| {
        let mut listener = open_listener("l");
        listener[field] = value;
        listener_conditions(json!([listener, {"name": "ok", "port": 8080, "protocol": "HTTP"}]))
            .swap_remove(0)
    };
    let protocol = with("protocol", json!("TCP"));
    assert_eq!(protocol[..2], ["Accepted=False/UnsupportedProtocol", "Programmed=False/Invalid"]);
    let secure = with("protocol", json!("HTTPS"));
    assert_eq!(secure[..2], ["Accepted=False/UnsupportedProtocol", "Programmed=False/Invalid"]);
    let kinds = with("allowedRoutes", json!({"kinds": [{"kind": "TCPRoute"}]}));
    assert_eq!(kinds[1..3], ["Programmed=False/Invalid", "ResolvedRefs=False/InvalidRouteKinds"]);
    let some_kinds = with("allowedRoutes", json!({"kinds": [{"kind": "TCPRoute"}, {"kind": "HTTPRoute"}]}));
    assert_eq!(some_kinds[1..3], ["Programmed=True/Programmed", "ResolvedRefs=False/InvalidRouteKinds"]);
}

#[test]
fn listeners_that_cannot_be_told_apart_are_all_refused() {
    let mut second = open_listener("b");
    let all = listener_conditions(json!([open_listener("a"), second]));
    assert!(all.iter().all(|each| each[3] == "Conflicted=True/HostnameConflict"), "{all:?}");
    second["protocol"] = json!("HTTPS");
    let all = listener_conditions(json!([open_listener("a"), second]));
    assert!(all.iter().all(|each| each[3] == "Conflicted=True/ProtocolConflict"), "{all:?}");
}

#[test]
fn a_gateway_is_accepted_while_one_listener_is_valid() {
    let gateway_conditions = |listeners: Value| {
        let mut all = objects();
        all.gateways = vec![gateway(listeners)];
        conditions(&status_of(&built(&all), StatusKind::Gateway)["conditions"])
    };
    let tcp = json!({"name": "tcp", "port": 81, "protocol": "TCP"});
    assert_eq!(
        gateway_conditions(json!([open_listener("http"), tcp])),
        ["Accepted=True/ListenersNotValid", "Programmed=True/Programmed"]
    );
    assert_eq!(
        gateway_conditions(json!([tcp])),
        ["Accepted=False/ListenersNotValid", "Programmed=False/Invalid"]
    );
}

#[test]
fn an_address_that_is_not_ours_is_not_usable() {
    let mut all = objects();
    let mut object = (*gateway(json!([open_listener("http")]))).clone();
    object["spec"]["addresses"] = json!([{"type": "IPAddress", "value": "192.0.2.1"}]);
    all.gateways = vec![Arc::new(object)];
    assert_eq!(
        conditions(&status_of(&built(&all), StatusKind::Gateway)["conditions"]),
        ["Accepted=True/Accepted", "Programmed=False/AddressNotUsable"]
    );
}

fn tls_listener(references: Value) -> Value {
    json!({"name": "https", "port": 443, "protocol": "HTTPS", "hostname": "shop.example.com",
           "allowedRoutes": {"namespaces": {"from": "All"}}, "tls": {"certificateRefs": references}})
}

#[test]
fn a_certificate_is_referred_to_and_what_is_wrong_with_it_is_told() {
    let key = |namespace: &str, name: &str| (namespace.to_owned(), name.to_owned());
    let states = std::collections::BTreeMap::from([
        (key("infra", "good"), Ok(())),
        (key("other", "good"), Ok(())),
        (key("infra", "broken"), Err("it has no tls.key".to_owned())),
    ]);
    let plane = DataPlane { certificates: states, ..plane() };
    let judged = |reference: Value, grants: Vec<Arc<Value>>| {
        let mut all = objects();
        all.reference_grants = grants;
        all.gateways = vec![gateway(json!([tls_listener(json!([reference]))]))];
        let built = build(&all, &plane);
        let gateway = built.statuses.iter().find(|s| s.kind == StatusKind::Gateway).unwrap();
        let conditions = gateway.status["listeners"][0]["conditions"].as_array().unwrap().clone();
        let of = |kind: &str| {
            let found = conditions.iter().find(|c| c["type"] == kind).unwrap();
            format!("{} {}", found["status"].as_str().unwrap(), found["reason"].as_str().unwrap())
        };
        (of("ResolvedRefs"), of("Programmed"), built)
    };
    let (resolved, programmed, built) = judged(json!({"name": "good"}), vec![]);
    assert_eq!((resolved.as_str(), programmed.as_str()), ("True ResolvedRefs", "True Programmed"));
    let host = HostPattern::Exact("shop.example.com".to_owned());
    assert_eq!(built.certificates, [(host, key("infra", "good"))]);

    for (reference, reason) in [
        (json!({"name": "absent"}), "False InvalidCertificateRef"),
        (json!({"name": "broken"}), "False InvalidCertificateRef"),
        (json!({"name": "good", "kind": "ConfigMap"}), "False InvalidCertificateRef"),
        (json!({"name": "good", "namespace": "other"}), "False RefNotPermitted"),
    ] {
        let (resolved, programmed, built) = judged(reference.clone(), vec![]);
        assert_eq!((resolved.as_str(), programmed.as_str()), (reason, "False Invalid"), "{reference}");
        assert!(built.certificates.is_empty());
    }
    // A Secret that does not exist yet is waited for; one that may not be read is not looked at.
    assert_eq!(judged(json!({"name": "absent"}), vec![]).2.secrets, [key("infra", "absent")].into());
    assert!(judged(json!({"name": "good", "namespace": "other"}), vec![]).2.secrets.is_empty());
    let grant = Arc::new(json!({"metadata": {"name": "g", "namespace": "other"}, "spec": {
        "from": [{"group": crate::GROUP, "kind": "Gateway", "namespace": "infra"}],
        "to": [{"group": "", "kind": "Secret"}]}}));
    let (resolved, programmed, _) = judged(json!({"name": "good", "namespace": "other"}), vec![grant]);
    assert_eq!((resolved.as_str(), programmed.as_str()), ("True ResolvedRefs", "True Programmed"));
}
