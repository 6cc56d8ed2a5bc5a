use super::*;

#[test]
fn the_narrowest_host_wins_and_unmatched_requests_fall_through_to_wider_ones() {
    let table = table([
        ("any", json!({})),
        ("wide", json!({"hostnames": ["*.example.com"]})),
        ("narrow", json!({"hostnames": ["*.a.example.com"]})),
        (
            "exact",
            json!({"hostnames": ["x.a.example.com"], "rules": [{"matches": [{"path": {"value": "/only"}}]}]}),
        ),
    ]);
    assert_eq!(selected(&table, "GET http://x.a.example.com/only", &[]), "exact/0");
    assert_eq!(selected(&table, "GET http://x.a.example.com/else", &[]), "narrow/0");
    assert_eq!(selected(&table, "GET http://y.b.a.example.com/", &[]), "narrow/0");
    assert_eq!(selected(&table, "GET http://a.example.com/", &[]), "wide/0");
    assert_eq!(selected(&table, "GET http://example.com/", &[]), "any/0");
}

#[test]
fn the_port_and_case_of_the_host_are_ignored() {
    let table = table([("shop", json!({"hostnames": ["shop.mycopy.localhost"]}))]);
    assert_eq!(selected(&table, "GET http://Shop.MyCopy.localhost:7480/", &[]), "shop/0");
    assert_eq!(selected(&table, "GET http://other.mycopy.localhost:7480/", &[]), "-");
}

#[test]
fn a_route_serves_only_the_hosts_that_its_listener_has_as_well() {
    let mut all = objects();
    let mut listener = open_listener("http");
    listener["hostname"] = json!("*.example.com");
    all.gateways = vec![gateway(json!([listener]))];
    all.http_routes = vec![
        route("named", json!({"hostnames": ["a.example.com", "a.example.net"]})),
        route("unnamed", json!({})),
    ];
    let table = built(&all).table;
    assert_eq!(selected(&table, "GET http://a.example.com/", &[]), "named/0");
    assert_eq!(selected(&table, "GET http://a.example.net/", &[]), "-");
    assert_eq!(selected(&table, "GET http://b.example.com/", &[]), "unnamed/0");
    assert_eq!(selected(&table, "GET http://b.example.net/", &[]), "-");
}

#[test]
fn routes_of_a_namespace_that_is_bound_to_a_domain_answer_nowhere_else() {
    let mut all = objects();
    let namespace = |domain: &str| {
        Arc::new(json!({"metadata": {"name": "shop", "labels": {"seaway.dev/domain": domain}}}))
    };
    let mut own = open_listener("own");
    own["hostname"] = json!("shop.localhost");
    all.gateways = vec![gateway(json!([open_listener("http"), own]))];
    all.http_routes = vec![
        route(
            "named",
            json!({"hostnames": ["shop.mine.localhost", "shop.localhost"],
                              "rules": [{"matches": [{"path": {"type": "Exact", "value": "/login"}}]}]}),
        ),
        route("unnamed", json!({})),
    ];
    all.namespaces = vec![namespace("mine.localhost")];
    let table = built(&all).table;
    assert_eq!(selected(&table, "GET http://shop.mine.localhost/login", &[]), "named/0");
    assert_eq!(selected(&table, "GET http://other.mine.localhost/", &[]), "unnamed/0");
    for host in ["shop.localhost", "mine.localhost", "localhost", "other.localhost", "xmine.localhost"] {
        assert_eq!(selected(&table, &format!("GET http://{host}/login"), &[]), "-", "{host}");
    }
    all.namespaces = vec![namespace("-")];
    assert_eq!(
        selected(&built(&all).table, "GET http://shop.mine.localhost/login", &[]),
        "-",
        "bound to no domain"
    );
}

#[test]
fn a_request_belongs_to_the_narrowest_listener_of_a_gateway_alone() {
    let mut all = objects();
    let mut narrow = open_listener("narrow");
    narrow["hostname"] = json!("shop.example.com");
    all.gateways = vec![gateway(json!([open_listener("wide"), narrow]))];
    let parent = |section: &str| json!([{"name": "gw", "namespace": "infra", "sectionName": section}]);
    all.http_routes = vec![
        route("wide", json!({"parentRefs": parent("wide")})),
        route(
            "narrow",
            json!({"parentRefs": parent("narrow"), "rules": [{"matches": [{"path": {"value": "/a"}}]}]}),
        ),
    ];
    let table = built(&all).table;
    assert_eq!(selected(&table, "GET http://shop.example.com/a", &[]), "narrow/0");
    assert_eq!(selected(&table, "GET http://shop.example.com/b", &[]), "-");
    assert_eq!(selected(&table, "GET http://other.example.com/b", &[]), "wide/0");
}

#[test]
fn gateways_of_other_controllers_and_routes_without_parents_serve_nothing() {
    let mut all = objects();
    all.http_routes = vec![route("orphan", json!({"parentRefs": []}))];
    assert_eq!(selected(&built(&all).table, "GET http://a.localhost/", &[]), "-");

    all.http_routes = vec![route("shop", json!({}))];
    assert_eq!(selected(&built(&all).table, "GET http://a.localhost/", &[]), "shop/0");
    all.gateway_classes = vec![Arc::new(
        json!({"metadata": {"name": "seaway"}, "spec": {"controllerName": "example.com/other"}}),
    )];
    let other = built(&all);
    assert_eq!(selected(&other.table, "GET http://a.localhost/", &[]), "-");
    assert_eq!(other.statuses, []);
}

#[test]
fn tls_listeners_route_only_what_came_over_tls() {
    let mut all = objects();
    let mut secure = open_listener("https");
    secure["protocol"] = json!("HTTPS");
    secure["port"] = json!(443);
    all.gateways = vec![gateway(json!([secure]))];
    all.http_routes = vec![route("shop", json!({}))];
    let table = build(&all, &DataPlane { tls: true, ..plane() }).table;
    let uri: Uri = "/".parse().unwrap();
    let select = |secure| table.select(secure, "a.localhost", &Method::GET, &uri, &HeaderMap::new());
    assert!(select(true).is_some());
    assert!(select(false).is_none());
}
