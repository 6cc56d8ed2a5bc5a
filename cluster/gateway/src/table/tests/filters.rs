use super::*;

fn only_rule(rule: Value) -> RoutingTable {
    table([("r", json!({"rules": [rule]}))])
}

#[test]
fn headers_are_removed_set_and_added() {
    let table = only_rule(json!({"filters": [{
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": {
            "set": [{"name": "a", "value": "new"}],
            "add": [{"name": "b", "value": "two"}],
            "remove": ["C"],
        },
    }]}));
    let mut headers = HeaderMap::new();
    for (name, value) in [("a", "old"), ("a", "older"), ("b", "one"), ("c", "gone")] {
        headers.append(name, value.parse().unwrap());
    }
    table.rules()[0].filters.request_headers.apply(&mut headers);
    let mut left: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
    left.sort();
    assert_eq!(left, ["a=new", "b=one", "b=two"]);
}

#[test]
fn a_matched_prefix_is_replaced_as_the_specification_lists() {
    for (path, prefix, replacement, changed) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
        ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo/", "/foo", "/", "/"),
        ("/foo", "/foo", "/", "/"),
        ("/foo", "/", "/xyz", "/xyz/foo"),
    ] {
        let table = only_rule(json!({
            "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
            "filters": [{
                "type": "URLRewrite",
                "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}},
            }],
        }));
        let uri: Uri = path.parse().unwrap();
        let selected = table.select(false, "a", &Method::GET, &uri, &HeaderMap::new()).unwrap();
        let rewrite = selected.rule.filters.rewrite.as_ref().unwrap();
        let result = rewrite.path.as_ref().unwrap().apply(path, selected.prefix());
        assert_eq!(result, changed, "{path} with {prefix} replaced by {replacement:?}");
    }
}

#[test]
fn redirects_point_where_the_filter_says_and_keep_the_rest() {
    let location = |redirect: Value| {
        let table = only_rule(json!({
            "matches": [{"path": {"value": "/old"}}],
            "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}],
        }));
        let redirect = table.rules()[0].filters.redirect.as_ref().unwrap();
        let to = redirect.location("http", "a.localhost:7480", &"/old/x?q=1".parse().unwrap(), "/old");
        format!("{} {to}", redirect.status.as_u16())
    };
    assert_eq!(location(json!({})), "302 http://a.localhost:7480/old/x?q=1");
    assert_eq!(location(json!({"scheme": "https", "statusCode": 301})), "301 https://a.localhost/old/x?q=1");
    assert_eq!(location(json!({"scheme": "https", "port": 8443})), "302 https://a.localhost:8443/old/x?q=1");
    assert_eq!(location(json!({"hostname": "b.org", "port": 80})), "302 http://b.org/old/x?q=1");
    assert_eq!(
        location(json!({"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}})),
        "302 http://a.localhost:7480/new?q=1"
    );
    assert_eq!(
        location(json!({"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}})),
        "302 http://a.localhost:7480/new/x?q=1"
    );
}

#[test]
fn values_that_cannot_be_served_drop_the_rule() {
    let redirect = json!({"type": "RequestRedirect", "requestRedirect": {}});
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {"hostname": "a.org"}});
    let prefix = json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"});
    for bad in [
        json!({"filters": [{"type": "CORS", "cors": {}}]}),
        json!({"filters": [redirect, rewrite]}),
        json!({"filters": [{"type": "RequestRedirect", "requestRedirect": {"statusCode": 200}}]}),
        json!({"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "javascript"}}]}),
        json!({
            "matches": [{"path": {"type": "Exact", "value": "/a"}}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path": prefix}}],
        }),
        json!({"timeouts": {"request": "soon"}}),
        json!({"matches": [{"path": {"type": "Glob", "value": "/a"}}]}),
        json!({"matches": "not a list"}),
    ] {
        assert_eq!(only_rule(bad.clone()).rules().len(), 0, "{bad}");
    }
}
