//! GatewayClass and Gateway.

use serde_json::json;

use super::Parts;
use super::schema::*;

pub(super) fn gateway_class() -> Parts {
    let parameters = object(
        &["group", "kind", "name"],
        [("group", group()), ("kind", kind()), ("name", name()), ("namespace", namespace())],
    );
    let feature = object(&["name"], [("name", string())]);
    Parts {
        description: "Which controller serves the Gateways that name this class.",
        spec: object(&["controllerName"], [
            (
                "controllerName",
                string()
                    .length(1, 253)
                    .pattern(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$")
                    .about("A domain and a path, such as seaway.dev/gateway."),
            ),
            ("description", string().length(0, 64)),
            ("parametersRef", parameters),
        ]),
        status: Some(
            object(&[], [
                ("conditions", conditions().default(pending_conditions(&["Accepted"]))),
                ("supportedFeatures", keyed_list(feature, "name", 128)),
            ])
            .default(json!({"conditions": pending_conditions(&["Accepted"])})),
        ),
    }
}

pub(super) fn gateway() -> Parts {
    let address = |required: &[&str]| {
        object(
            required,
            [
                ("type", string().length(1, 253).default(json!("IPAddress"))),
                ("value", string().length(0, 253)),
            ],
        )
    };
    let infrastructure = object(
        &[],
        [
            ("labels", map(string().length(0, 63), 8)),
            ("annotations", map(string().length(0, 4096), 8)),
            (
                "parametersRef",
                object(&["group", "kind", "name"], [("group", group()), ("kind", kind()), ("name", name())]),
            ),
        ],
    );
    let pending = pending_conditions(&["Accepted", "Programmed"]);
    Parts {
        description: "Where requests arrive: listeners by port, protocol and host.",
        spec: object(
            &["gatewayClassName", "listeners"],
            [
                ("gatewayClassName", name().about("The GatewayClass whose controller serves this Gateway.")),
                ("listeners", keyed_list(listener(), "name", 64).at_least(1)),
                (
                    "addresses",
                    atomic_list(address(&[]), 16).about("Requested addresses; absent: the controller's."),
                ),
                ("infrastructure", infrastructure),
            ],
        ),
        status: Some(
            object(
                &[],
                [
                    ("addresses", atomic_list(address(&["value"]), 16)),
                    ("conditions", conditions().default(pending.clone())),
                    ("listeners", keyed_list(listener_status(), "name", 64)),
                ],
            )
            .default(json!({"conditions": pending})),
        ),
    }
}

fn route_kind() -> Schema {
    object(&["kind"], [("group", group().default(json!(crate::GROUP))), ("kind", kind())])
}

fn listener() -> Schema {
    let certificate = object(
        &["name"],
        [
            ("group", group().default(json!(""))),
            ("kind", kind().default(json!("Secret"))),
            ("name", name()),
            ("namespace", namespace()),
        ],
    );
    let tls = object(
        &[],
        [
            ("mode", choice(&["Terminate", "Passthrough"]).default(json!("Terminate"))),
            ("certificateRefs", atomic_list(certificate, 64)),
            ("options", map(string().length(0, 4096), 16)),
        ],
    );
    let namespaces = object(
        &[],
        [
            ("from", choice(&["All", "Selector", "Same"]).default(json!("Same"))),
            ("selector", label_selector()),
        ],
    );
    let allowed = object(
        &[],
        [
            ("namespaces", namespaces.default(json!({"from": "Same"}))),
            ("kinds", atomic_list(route_kind(), 8)),
        ],
    );
    object(&["name", "port", "protocol"], [
        ("name", section_name()),
        ("hostname", hostname().about("Requests for other hosts are not this listener's; absent: all hosts.")),
        ("port", port()),
        (
            "protocol",
            string()
                .length(1, 255)
                .pattern(r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$"),
        ),
        ("tls", tls),
        (
            "allowedRoutes",
            allowed
                .default(json!({"namespaces": {"from": "Same"}}))
                .about("Which routes may attach: their kinds and namespaces."),
        ),
    ])
}

fn listener_status() -> Schema {
    object(
        &["attachedRoutes", "conditions", "name", "supportedKinds"],
        [
            ("name", section_name()),
            ("attachedRoutes", integer(0, i64::from(i32::MAX))),
            ("supportedKinds", atomic_list(route_kind(), 8)),
            ("conditions", conditions()),
        ],
    )
}
