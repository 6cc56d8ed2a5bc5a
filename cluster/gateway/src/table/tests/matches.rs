use super::*;

fn rule(name: &str, matches: Value) -> Value {
    json!({"name": name, "matches": [matches]})
}

#[test]
fn paths_match_exactly_by_element_or_by_expression() {
    let table = table([(
        "r",
        json!({"rules": [
            rule("exact", json!({"path": {"type": "Exact", "value": "/exact"}})),
            rule("prefix", json!({"path": {"type": "PathPrefix", "value": "/pre/"}})),
            rule("regex", json!({"path": {"type": "RegularExpression", "value": "/v[0-9]+/x"}})),
        ]}),
    )]);
    for (path, wanted) in [
        ("/exact", "r/exact"),
        ("/exact/", "-"),
        ("/pre", "r/prefix"),
        ("/pre/", "r/prefix"),
        ("/pre/a/b?c", "r/prefix"),
        ("/prefix", "-"),
        ("/Pre", "-"),
        ("/v12/x", "r/regex"),
        ("/v12/x/y", "-"),
        ("/", "-"),
    ] {
        assert_eq!(selected(&table, &format!("GET http://a.localhost{path}"), &[]), wanted, "{path}");
    }
}

#[test]
fn headers_queries_and_methods_all_have_to_match() {
    let table = table([(
        "r",
        json!({"rules": [
            rule("all", json!({
                "method": "POST",
                "headers": [
                    {"name": "X-Canary", "value": "yes"},
                    {"name": "x-canary", "value": "a second entry of the same name is ignored"},
                    {"name": "agent", "type": "RegularExpression", "value": "Moz.*"},
                ],
                "queryParams": [{"name": "q", "value": "a b"}],
            })),
        ]}),
    )]);
    let headers = [("x-canary", "yes"), ("agent", "Mozilla")];
    assert_eq!(selected(&table, "POST http://a.localhost/?q=a%20b&q=c", &headers), "r/all");
    assert_eq!(selected(&table, "POST http://a.localhost/?q=a+b", &headers), "r/all");
    assert_eq!(selected(&table, "GET http://a.localhost/?q=a+b", &headers), "-");
    assert_eq!(selected(&table, "POST http://a.localhost/?q=c&q=a+b", &headers), "-");
    assert_eq!(selected(&table, "POST http://a.localhost/?q=a+b", &headers[..1]), "-");
    let twice = [("x-canary", "yes"), ("x-canary", "no"), ("agent", "Mozilla")];
    assert_eq!(selected(&table, "POST http://a.localhost/?q=a+b", &twice), "-");
}

#[test]
fn precedence_is_exact_path_longest_prefix_method_headers_queries() {
    let table = table([(
        "r",
        json!({"rules": [
            rule("query", json!({"path": {"value": "/a"}, "queryParams": [{"name": "q", "value": "1"}]})),
            rule("header", json!({"path": {"value": "/a"}, "headers": [{"name": "h", "value": "1"}]})),
            rule("headers", json!({
                "path": {"value": "/a"},
                "headers": [{"name": "h", "value": "1"}, {"name": "i", "value": "1"}],
            })),
            rule("method", json!({"path": {"value": "/a"}, "method": "PUT"})),
            rule("longer", json!({"path": {"value": "/a/b"}})),
            rule("exact", json!({"path": {"type": "Exact", "value": "/a/b"}})),
        ]}),
    )]);
    let all = [("h", "1"), ("i", "1")];
    assert_eq!(selected(&table, "PUT http://a.localhost/a/b?q=1", &all), "r/exact");
    assert_eq!(selected(&table, "PUT http://a.localhost/a/b/c?q=1", &all), "r/longer");
    assert_eq!(selected(&table, "PUT http://a.localhost/a?q=1", &all), "r/method");
    assert_eq!(selected(&table, "GET http://a.localhost/a?q=1", &all), "r/headers");
    assert_eq!(selected(&table, "GET http://a.localhost/a?q=1", &all[..1]), "r/header");
    assert_eq!(selected(&table, "GET http://a.localhost/a?q=1", &[]), "r/query");
}

#[test]
fn ties_go_to_the_oldest_route_then_by_name_then_to_the_first_rule() {
    let mut all = objects();
    let same = || json!({"rules": [rule("first", json!({})), rule("second", json!({}))]});
    let aged = |name: &str, created: &str| {
        let mut object = (*route(name, same())).clone();
        object["metadata"]["creationTimestamp"] = json!(created);
        Arc::new(object)
    };
    let (young, b, a) = (
        aged("young", "2025-02-01T00:00:00Z"),
        aged("b", "2025-01-01T00:00:00Z"),
        aged("a", "2025-01-01T00:00:00Z"),
    );
    for (routes, wanted) in [
        (vec![young.clone(), b.clone()], "b/first"),
        (vec![b.clone(), a.clone()], "a/first"),
        (vec![young.clone()], "young/first"),
    ] {
        all.http_routes = routes;
        assert_eq!(selected(&built(&all).table, "GET http://a.localhost/", &[]), wanted);
    }
}

#[test]
fn an_expression_that_would_take_too_much_memory_drops_its_rule_alone() {
    let table = table([(
        "r",
        json!({"rules": [
            rule("bomb", json!({"path": {"type": "RegularExpression", "value": "/(a{1000}){1000}"}})),
            rule("broken", json!({"path": {"type": "RegularExpression", "value": "/("}})),
            rule("good", json!({"path": {"value": "/good"}})),
        ]}),
    )]);
    assert_eq!(selected(&table, "GET http://a.localhost/good", &[]), "r/good");
    assert_eq!(table.rules().len(), 1);
}
