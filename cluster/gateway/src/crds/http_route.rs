//! HTTPRoute.

use serde_json::json;

use super::Parts;
use super::route::{HEADER_NAME, backend_ref, filter, parent_ref, status};
use super::schema::*;

const FILTERS: [&str; 6] = [
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
];

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
            ("filters", atomic_list(filter(&FILTERS), 16)),
            (
                "backendRefs",
                atomic_list(backend_ref(filter(&FILTERS)), 16).about("Requests are divided by weight."),
            ),
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
        status: Some(status()),
    }
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
