//! GRPCRoute. The gateway carries gRPC by HTTPRoutes; these objects are kept for other implementations.

use serde_json::json;

use super::Parts;
use super::route::{HEADER_NAME, backend_ref, filter, parent_ref, status};
use super::schema::*;

const FILTERS: [&str; 4] =
    ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"];

pub(super) fn grpc_route() -> Parts {
    let header = object(
        &["name", "value"],
        [
            ("type", choice(&["Exact", "RegularExpression"]).default(json!("Exact"))),
            ("name", string().length(1, 256).pattern(HEADER_NAME)),
            ("value", string().length(1, 4096)),
        ],
    );
    let method = object(
        &[],
        [
            ("type", choice(&["Exact", "RegularExpression"]).default(json!("Exact"))),
            ("service", string().length(0, 1024)),
            ("method", string().length(0, 1024)),
        ],
    );
    let request_match = object(&[], [("method", method), ("headers", keyed_list(header, "name", 16))]);
    let rule = object(
        &[],
        [
            ("name", section_name()),
            (
                "matches",
                atomic_list(request_match, 64)
                    .about("The rule takes calls that one of these matches; absent: all."),
            ),
            ("filters", atomic_list(filter(&FILTERS), 16)),
            (
                "backendRefs",
                atomic_list(backend_ref(filter(&FILTERS)), 16).about("Calls are divided by weight."),
            ),
        ],
    );
    Parts {
        description: "Which gRPC calls go to which Services. This gateway does not serve it.",
        spec: object(
            &[],
            [
                (
                    "parentRefs",
                    atomic_list(parent_ref(), 32).about("The Gateways that the route attaches to."),
                ),
                ("hostnames", atomic_list(hostname(), 16).about("Absent: the hosts of the listener.")),
                ("rules", atomic_list(rule, 16)),
            ],
        ),
        status: Some(status()),
    }
}
