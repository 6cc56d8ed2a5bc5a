//! HTTPRoute.

use serde_json::json;

use super::Parts;
use super::schema::*;

const HEADER_NAME: &str = "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$";

pub(super) fn http_route() -> Parts {
    let everything = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    let rule = object(
        &[],
        [
            ("name", section_name()),
            (
                "matches",
                atomic_list(request_match(), 64)
                    .default(everything.clone())
                    .about("The rule takes requests that one of these matches."),
            ),
            ("filters", atomic_list(filter(), 16)),
            ("backendRefs", atomic_list(backend_ref(), 16).about("Requests are divided by weight.")),
            (
                "timeouts",
                object(
                    &[],
                    [
                        ("request", duration().about("For the whole request; 0s is no limit.")),
                        ("backendRequest", duration().about("For one attempt at a backend; 0s is no limit.")),
                    ],
                ),
            ),
        ],
    );
    let parent_status = object(
        &["conditions", "controllerName", "parentRef"],
        [
            ("parentRef", parent_ref()),
            ("controllerName", string().length(1, 253)),
            ("conditions", conditions().at_least(1)),
        ],
    );
    Parts {
        description: "Which requests go to which Services, by host, path, header, query and method.",
        spec: object(
            &[],
            [
                (
                    "parentRefs",
                    atomic_list(parent_ref(), 32).about("The Gateways that the route attaches to."),
                ),
                ("hostnames", atomic_list(hostname(), 16).about("Absent: the hosts of the listener.")),
                ("rules", atomic_list(rule, 16).at_least(1).default(json!([{"matches": everything}]))),
            ],
        ),
        status: Some(object(&["parents"], [("parents", atomic_list(parent_status, 32))])),
    }
}

fn parent_ref() -> Schema {
    object(
        &["name"],
        [
            ("group", group().default(json!(crate::GROUP))),
            ("kind", kind().default(json!("Gateway"))),
            ("namespace", namespace()),
            ("name", name()),
            ("sectionName", section_name().about("The name of a listener.")),
            ("port", port()),
        ],
    )
}

fn request_match() -> Schema {
    let values = |max| {
        object(
            &["name", "value"],
            [
                ("type", choice(&["Exact", "RegularExpression"]).default(json!("Exact"))),
                ("name", string().length(1, 256).pattern(HEADER_NAME)),
                ("value", string().length(1, max)),
            ],
        )
    };
    let path = object(
        &[],
        [
            ("type", choice(&["Exact", "PathPrefix", "RegularExpression"]).default(json!("PathPrefix"))),
            ("value", string().length(0, 1024).default(json!("/"))),
        ],
    );
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    object(
        &[],
        [
            ("path", path.default(json!({"type": "PathPrefix", "value": "/"}))),
            ("headers", keyed_list(values(4096), "name", 16)),
            ("queryParams", keyed_list(values(1024), "name", 16)),
            ("method", choice(&methods)),
        ],
    )
}

fn backend_fields() -> [(&'static str, Schema); 5] {
    [
        ("group", group().default(json!(""))),
        ("kind", kind().default(json!("Service"))),
        ("name", name()),
        ("namespace", namespace()),
        ("port", port()),
    ]
}

fn backend_ref() -> Schema {
    let [group, kind, name, namespace, port] = backend_fields();
    object(
        &["name"],
        [
            group,
            kind,
            name,
            namespace,
            port,
            ("weight", integer(0, 1_000_000).default(json!(1))),
            ("filters", atomic_list(filter(), 16)),
        ],
    )
}

fn filter() -> Schema {
    let header = || {
        object(
            &["name", "value"],
            [("name", string().length(1, 256).pattern(HEADER_NAME)), ("value", string().length(1, 4096))],
        )
    };
    let header_filter = || {
        object(
            &[],
            [
                ("set", keyed_list(header(), "name", 16)),
                ("add", keyed_list(header(), "name", 16)),
                ("remove", set(string(), 16)),
            ],
        )
    };
    let path = || {
        object(
            &["type"],
            [
                ("type", choice(&["ReplaceFullPath", "ReplacePrefixMatch"])),
                ("replaceFullPath", string().length(0, 1024)),
                ("replacePrefixMatch", string().length(0, 1024)),
            ],
        )
    };
    let kinds = [
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestMirror",
        "RequestRedirect",
        "URLRewrite",
        "ExtensionRef",
    ];
    let fraction = object(
        &["numerator"],
        [
            ("numerator", integer(0, i64::from(i32::MAX))),
            ("denominator", integer(1, i64::from(i32::MAX)).default(json!(100))),
        ],
    );
    object(
        &["type"],
        [
            ("type", choice(&kinds)),
            ("requestHeaderModifier", header_filter()),
            ("responseHeaderModifier", header_filter()),
            (
                "requestMirror",
                object(
                    &["backendRef"],
                    [
                        ("backendRef", object(&["name"], backend_fields())),
                        ("percent", integer(0, 100)),
                        ("fraction", fraction),
                    ],
                ),
            ),
            (
                "requestRedirect",
                object(
                    &[],
                    [
                        ("scheme", choice(&["http", "https"])),
                        ("hostname", precise_hostname()),
                        ("path", path()),
                        ("port", port()),
                        ("statusCode", integer_in(&[301, 302, 303, 307, 308]).default(json!(302))),
                    ],
                ),
            ),
            ("urlRewrite", object(&[], [("hostname", precise_hostname()), ("path", path())])),
            (
                "extensionRef",
                object(&["group", "kind", "name"], [("group", group()), ("kind", kind()), ("name", name())]),
            ),
        ],
    )
}
