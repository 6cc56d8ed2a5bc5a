//! What HTTPRoute and GRPCRoute have in common.

use serde_json::json;

use super::schema::*;

pub(super) const HEADER_NAME: &str = "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$";

/// The status of a route: what each controller says for each parent.
pub(super) fn status() -> Schema {
    let parent = object(
        &["conditions", "controllerName", "parentRef"],
        [
            ("parentRef", parent_ref()),
            ("controllerName", string().length(1, 253)),
            ("conditions", conditions().at_least(1)),
        ],
    );
    object(&["parents"], [("parents", atomic_list(parent, 32))])
}

pub(super) fn parent_ref() -> Schema {
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

fn backend_fields() -> [(&'static str, Schema); 5] {
    [
        ("group", group().default(json!(""))),
        ("kind", kind().default(json!("Service"))),
        ("name", name()),
        ("namespace", namespace()),
        ("port", port()),
    ]
}

pub(super) fn backend_ref(filter: Schema) -> Schema {
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
            ("filters", atomic_list(filter, 16)),
        ],
    )
}

/// What a filter may do, by the names of its types.
pub(super) fn filter(kinds: &[&'static str]) -> Schema {
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
    let fraction = object(
        &["numerator"],
        [
            ("numerator", integer(0, i64::from(i32::MAX))),
            ("denominator", integer(1, i64::from(i32::MAX)).default(json!(100))),
        ],
    );
    let all = [
        ("RequestHeaderModifier", "requestHeaderModifier", header_filter()),
        ("ResponseHeaderModifier", "responseHeaderModifier", header_filter()),
        (
            "RequestMirror",
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
            "RequestRedirect",
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
        ("URLRewrite", "urlRewrite", object(&[], [("hostname", precise_hostname()), ("path", path())])),
        (
            "ExtensionRef",
            "extensionRef",
            object(&["group", "kind", "name"], [("group", group()), ("kind", kind()), ("name", name())]),
        ),
    ];
    let known = all.into_iter().filter(|(kind, ..)| kinds.contains(kind));
    let settings = known.map(|(_, field, schema)| (field, schema));
    object(&["type"], std::iter::once(("type", choice(kinds))).chain(settings))
}
