//! CustomResourceDefinitions of the kinds that the gateway reads, for an API
//! that lacks them: the fields, types, defaults and list keys of Gateway API v1,
//! standard channel. Rules across fields (`x-kubernetes-validations`) are left
//! out; what they would refuse gets a condition instead.

mod gateway;
mod grpc_route;
mod http_route;
mod route;
mod schema;

use serde_json::{Value, json};

use schema::{Schema, atomic_list, group, kind, name, namespace, object};

/// GatewayClass, Gateway and HTTPRoute (`v1`, also served as `v1beta1`), GRPCRoute
/// (`v1`) and ReferenceGrant (`v1beta1`), as `apiextensions.k8s.io/v1` objects.
pub fn crds() -> Vec<Value> {
    let both = &["v1", "v1beta1"];
    let condition = |kind: &str| format!(".status.conditions[?(@.type==\"{kind}\")].status");
    vec![
        definition(
            Names { kind: "GatewayClass", plural: "gatewayclasses", short: "gc", scope: "Cluster" },
            both,
            &gateway::gateway_class(),
            &[
                ("Controller", "string", ".spec.controllerName"),
                ("Accepted", "string", &condition("Accepted")),
            ],
        ),
        definition(
            Names { kind: "Gateway", plural: "gateways", short: "gtw", scope: "Namespaced" },
            both,
            &gateway::gateway(),
            &[
                ("Class", "string", ".spec.gatewayClassName"),
                ("Address", "string", ".status.addresses[*].value"),
                ("Programmed", "string", &condition("Programmed")),
            ],
        ),
        definition(
            Names { kind: "HTTPRoute", plural: "httproutes", short: "", scope: "Namespaced" },
            both,
            &http_route::http_route(),
            &[("Hostnames", "string", ".spec.hostnames")],
        ),
        definition(
            Names { kind: "GRPCRoute", plural: "grpcroutes", short: "", scope: "Namespaced" },
            &["v1"],
            &grpc_route::grpc_route(),
            &[("Hostnames", "string", ".spec.hostnames")],
        ),
        definition(
            Names {
                kind: "ReferenceGrant",
                plural: "referencegrants",
                short: "refgrant",
                scope: "Namespaced",
            },
            &["v1beta1"],
            &reference_grant(),
            &[],
        ),
    ]
}

struct Names {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    scope: &'static str,
}

/// `versions`: the first is stored.
fn definition(names: Names, versions: &[&str], parts: &Parts, columns: &[(&str, &str, &str)]) -> Value {
    let mut properties = json!({
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": parts.spec.clone().into_value(),
    });
    if let Some(status) = &parts.status {
        properties["status"] = status.clone().into_value();
    }
    let schema = json!({
        "description": parts.description,
        "type": "object",
        "required": ["spec"],
        "properties": properties,
    });
    let mut printed: Vec<Value> = columns
        .iter()
        .map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path}))
        .collect();
    printed.push(json!({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}));
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, version)| {
            let mut version = json!({
                "name": version,
                "served": true,
                "storage": index == 0,
                "schema": {"openAPIV3Schema": schema},
                "additionalPrinterColumns": printed,
            });
            if parts.status.is_some() {
                version["subresources"] = json!({"status": {}});
            }
            version
        })
        .collect();
    let mut resource = json!({
        "kind": names.kind,
        "listKind": format!("{}List", names.kind),
        "plural": names.plural,
        "singular": names.kind.to_lowercase(),
        "categories": ["gateway-api"],
    });
    if !names.short.is_empty() {
        resource["shortNames"] = json!([names.short]);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{}", names.plural, crate::GROUP),
            // A group of k8s.io asks who approved the definition.
            "annotations": {
                "api-approved.kubernetes.io": "unapproved, a compact definition of the Gateway API's standard channel by Seaway",
            },
        },
        "spec": {
            "group": crate::GROUP,
            "names": resource,
            "scope": names.scope,
            "versions": versions,
        },
    })
}

/// What is particular to one kind.
struct Parts {
    description: &'static str,
    spec: Schema,
    status: Option<Schema>,
}

fn reference_grant() -> Parts {
    let from = object(
        &["group", "kind", "namespace"],
        [("group", group()), ("kind", kind()), ("namespace", namespace())],
    );
    let to = object(
        &["group", "kind"],
        [
            ("group", group()),
            ("kind", kind()),
            ("name", name().about("One object; absent: all of the kind in this namespace.")),
        ],
    );
    Parts {
        description: "Lets objects of other namespaces refer to objects of this one.",
        spec: object(
            &["from", "to"],
            [
                ("from", atomic_list(from, 16).at_least(1).about("Who may refer.")),
                ("to", atomic_list(to, 16).at_least(1).about("What may be referred to.")),
            ],
        ),
        status: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
