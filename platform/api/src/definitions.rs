//! The CustomResourceDefinitions: structural schemas, columns, short names, and rules in CEL for what crosses fields.

mod environment;
mod schema;

use serde_json::{Value, json};

use self::environment::{environment, environment_status};
use self::schema::*;
use crate::{GROUP, VERSION};

/// The CustomResourceDefinitions of all kinds, to be applied as they are.
pub fn crds() -> Vec<Value> {
    vec![
        definition(
            "Stack",
            "stacks",
            &["stk"],
            stack(),
            stack_status(),
            &[
                ("Ready", "string", ".status.conditions[?(@.type==\"Ready\")].status", 0),
                ("Reason", "string", ".status.conditions[?(@.type==\"Ready\")].reason", 0),
                ("Environments", "integer", ".status.environmentCount", 0),
                ("Message", "string", ".status.conditions[?(@.type==\"Ready\")].message", 1),
                ("Age", "date", ".metadata.creationTimestamp", 0),
            ],
        ),
        definition(
            "Environment",
            "environments",
            &["env", "envs"],
            environment(),
            environment_status(),
            &[
                ("Class", "string", ".spec.class", 0),
                ("Stack", "string", ".spec.stack", 0),
                ("Copy of", "string", ".spec.copyOf", 0),
                ("Sync", "string", ".status.sync", 0),
                ("Health", "string", ".status.health", 0),
                ("Revision", "string", ".status.revision", 0),
                ("Message", "string", ".status.message", 1),
                ("Age", "date", ".metadata.creationTimestamp", 0),
            ],
        ),
    ]
}

fn definition(
    kind: &str,
    plural: &str,
    short_names: &[&str],
    spec: Value,
    status: Value,
    columns: &[(&str, &str, &str, i32)],
) -> Value {
    let columns: Vec<Value> = columns
        .iter()
        .map(|(name, of, path, priority)| json!({"name": name, "type": of, "jsonPath": path, "priority": priority}))
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind, "listKind": format!("{kind}List"), "plural": plural,
                "singular": kind.to_lowercase(), "shortNames": short_names, "categories": ["seaway"],
            },
            "versions": [{
                "name": VERSION, "served": true, "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "required": ["spec"],
                    "properties": {
                        "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                        "metadata": {"type": "object"},
                        "spec": spec, "status": status,
                    },
                }},
            }],
        },
    })
}

fn link() -> Value {
    object(
        "A page elsewhere.",
        &["name", "url"],
        json!({
            "name": {"type": "string", "minLength": 1, "maxLength": 63, "description": "What is there."},
            "url": {"type": "string", "maxLength": 2048, "pattern": "^https?://[^/?#]",
                    "description": "Http or https. {environment}, {namespace}, {stack} and {class} stand for those of an \
                                    environment; with {component} there is a link for each component."},
        }),
    )
}

fn health_check() -> Value {
    let expression = |description: &str| json!({"type": "string", "minLength": 1, "maxLength": 2048, "description": description});
    object(
        "How objects of a kind are judged, in CEL: the first of inProgress, failed and current that holds decides; when none \
         does, the object is in progress. They see the object's fields as variables, and the whole object as self.",
        &["apiVersion", "current"],
        json!({
            "apiVersion": {"type": "string", "maxLength": 317, "pattern": "^[-.A-Za-z0-9]+(/[-.A-Za-z0-9]+)?$",
                           "description": "The group of the kind, with any version of it."},
            "kind": {"type": "string", "minLength": 1, "maxLength": 63, "description": "Absent: every kind of the group that no other rule names."},
            "inProgress": expression("Holds while the object is on its way."),
            "failed": expression("Holds once the object has failed."),
            "current": expression("Holds once the object does what it should."),
            "message": expression("Gives a text that says why."),
        }),
    )
}

fn stack() -> Value {
    let source = object(
        "Where its manifests are.",
        &["repo"],
        json!({
            "repo": repository("What git clone takes."),
            "path": rules(
                json!({"type": "string", "maxLength": 1024,
                       "description": "Directory from the repository's root; ${overlay} stands for the environment's overlay."}),
                &[("!self.matches('^/|(^|/)[.][.](/|$)')", "it leaves the repository: paths are relative to its root")],
            ),
            "revision": revision("Branch, tag or commit; absent: the repository's default branch."),
        }),
    );
    let render = object(
        "How files become objects; absent: detected.",
        &[],
        json!({
            // Of the kinds of rendering, those that there are.
            "kind": choice("Absent: detected.", &["plain", "kustomize"]),
            "parameters": parameters("For scripts and charts: plain and kustomize take none."),
        }),
    );
    let component = object(
        "A part of the stack.",
        &["name", "source"],
        json!({
            "name": name("Unique in the stack."),
            "source": source,
            "render": render,
            "dependsOn": {"type": "array", "maxItems": 64, "items": name("A component that must be healthy before this one.")},
            "copy": choice("Whether a copy of an environment gets its own.", &["copied", "shared"]),
        }),
    );
    let component = rule(
        component,
        "!has(self.dependsOn) || !(self.name in self.dependsOn)",
        ".dependsOn",
        "a component does not wait for itself",
    );
    let allow = object(
        "What the components may touch; absent: their own repositories, no cluster-scoped kind.",
        &[],
        json!({
            "repositories": texts("URLs; * stands for any text."),
            "clusterKinds": {"type": "array", "maxItems": 256, "items": cluster_kind(),
                             "description": "Cluster-scoped kinds, as Kind (core group) or Kind.group."},
        }),
    );
    let step = object(
        "A step on the way to production.",
        &["environment"],
        json!({
            "environment": name("The environment."),
            "gates": {"type": "array", "description": "What must hold before a release enters it.",
                      "items": open("A gate.")},
        }),
    );
    let ignore = object(
        "Fields that are left to others.",
        &[],
        json!({
            "group": text("API group; absent: any."), "kind": text("Kind; absent: any."),
            "name": text("Name; absent: any."), "namespace": text("Namespace; absent: any."),
            "jsonPointers": {"type": "array", "description": "Fields (RFC 6901).",
                             "items": {"type": "string", "pattern": "^/"}},
            "jqPathExpressions": {"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1, "maxLength": 1024},
                                  "description": "Fields, as path expressions of jq: .a.b, [0], [], .., select(.name == \"x\")."},
            "fieldManagers": texts("Every field that one of these managers owns."),
        }),
    );
    // Which names are there is looked up once for each component and not for each name: so it stays affordable, and a name
    // may stand there once.
    let components = rules(
        with(list("name", 256, component), "minItems", 1.into()),
        &[(
            "self.all(c, !has(c.dependsOn) || self.filter(other, other.name in c.dependsOn).size() == c.dependsOn.size())",
            "dependsOn names components of this stack, each of them once",
        )],
    );
    object(
        "What runs.",
        &["components"],
        json!({
            "components": components,
            "allow": allow,
            "path": list("environment", 64, step),
            "productionOnly": with(list("name", 256, production_only()), "description",
                                   "What stays in production, each with its stand-in.".into()),
            "copies": copies(),
            "ignore": {"type": "array", "maxItems": 256, "items": ignore},
            "healthCheckExprs": {"type": "array", "maxItems": 64, "items": health_check(),
                                 "description": "How objects of kinds of its own are judged, in place of the built-in rules."},
            "links": with(list("name", 32, link()), "description",
                          "Pages elsewhere about each environment, such as dashboards and logs.".into()),
        }),
    )
}

fn cluster_kind() -> Value {
    rules(
        json!({"type": "string", "maxLength": 317}),
        &[(
            "self.matches('^[A-Za-z][-A-Za-z0-9]*([.][a-z0-9][-a-z0-9.]*)?$')",
            "it is a kind of the core group, or Kind.group, such as ClusterRole.rbac.authorization.k8s.io",
        )],
    )
}

fn target() -> Value {
    object(
        "Which rendered objects are meant: all that is given must hold. In names, * stands for any text.",
        &[],
        json!({
            "group": text("API group; absent: any, empty: the core group."), "kind": text("Kind; absent: any."),
            "name": text("Name; absent: any."),
            "namespace": text("Namespace in the environment that is copied; absent: any."),
            "component": text("Component; absent: any."),
        }),
    )
}

/// The properties of a program in an image, and more.
fn program(more: Value) -> Value {
    let mut properties = json!({
        "image": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "The image."},
        "command": texts("What is run; absent: what the image says."),
        "args": texts("Its arguments."),
        "env": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Its variables."},
    });
    if let (Some(properties), Value::Object(more)) = (properties.as_object_mut(), more) {
        properties.extend(more);
    }
    properties
}

fn production_only() -> Value {
    let secret = object(
        "A Secret of the same name with other values.",
        &[],
        json!({
            "values": {"type": "object", "additionalProperties": {"type": "string"},
                       "description": "Values as texts, by key: they lie in Git, so they are no secrets."},
            "generate": texts("Keys that get a password of their own in each copy."),
        }),
    );
    let stand_in = object(
        "What a copy has in its place: exactly one of these.",
        &[],
        json!({
            "secret": secret,
            "volume": choice("A volume of the same name and size that holds nothing.", &["empty"]),
            "seed": object(
                "A volume of the same name and size that a program fills, at /seed, before anything else uses it.",
                &["image"],
                program(json!({})),
            ),
            "service": object(
                "A Service of the same name, behind which another program answers.",
                &["image", "port"],
                program(json!({"port": {"type": "integer", "minimum": 1, "maximum": 65535,
                                        "description": "The port at which it answers."}})),
            ),
            "host": {"type": "string", "minLength": 1, "maxLength": 260,
                     "pattern": "^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?$",
                     "description": "Another host, with or without a port."},
            "content": {"type": "string", "maxLength": 65536,
                        "description": "What a file holds: it lies in Git, so it is no secret."},
            "keep": {"type": "boolean", "description": "The same as in production: a copy may use it. Not for Secrets."},
            "omit": {"type": "boolean", "description": "Nothing: the copy goes without."},
        }),
    );
    let stand_in = rule(
        stand_in,
        "[has(self.secret), has(self.volume), has(self.seed), has(self.service), has(self.host), has(self.content), \
         has(self.keep) && self.keep, has(self.omit) && self.omit].exists_one(given, given)",
        "",
        "give exactly one stand-in",
    );
    object(
        "Something that stays in production: objects, a host or a file.",
        &["name", "standIn"],
        json!({
            "name": name("Unique in the list; fidelity names it."),
            "target": target(),
            "host": {"type": "string", "minLength": 1, "maxLength": 253,
                     "description": "A host outside the cluster, in values of ConfigMaps and in variables and arguments \
                                     of containers; * stands for any text."},
            "file": {"type": "string", "minLength": 1, "maxLength": 1024,
                     "description": "A file of a component's repository, from its root, which a copy does not read; * \
                                     stands for any text."},
            "standIn": stand_in,
        }),
    )
}

fn copies() -> Value {
    let entry = object(
        "A difference that every copy has on purpose: exactly one of patch, replicas, resources and hosts.",
        &["name"],
        json!({
            "name": name("Unique in the list; fidelity names it."),
            "target": target(),
            "patch": {"type": "string", "maxLength": 65536,
                      "description": "A strategic merge patch or a JSON patch (RFC 6902), as YAML."},
            "replicas": {"type": "integer", "minimum": 0, "maximum": 10000, "description": "How many replicas."},
            "resources": open("The resources of every container."),
            "hosts": {"type": "array", "maxItems": 64, "items": {"type": "string", "pattern": "^/"},
                      "description": "Fields in whose texts hosts and service names become those of the copy: JSON \
                                      pointers in which * stands for any key or element."},
        }),
    );
    let quantities = |description: &str| {
        json!({"type": "object", "description": description,
        "additionalProperties": {"type": "string"}})
    };
    let limit = object(
        "An item of a LimitRange.",
        &["type"],
        json!({
            "type": choice("Of what.", &["Container", "Pod", "PersistentVolumeClaim"]),
            "max": quantities("The most."), "min": quantities("The least."),
            "default": quantities("The limit of a container that has none."),
            "defaultRequest": quantities("The request of a container that has none."),
            "maxLimitRequestRatio": quantities("How far a limit may be above its request."),
        }),
    );
    object(
        "What a copy may change, and where copies answer.",
        &[],
        json!({
            "rules": list("name", 256, entry),
            "domain": {"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
                       "description": "Copies answer at *.NAME.DOMAIN; absent: the installation's."},
            "sharedFrom": name("The environment, beside the one that is copied, whose shared components copies use; absent: \
                                that one itself."),
            "podSecurity": with(
                choice("Which Pod Security Standard holds in the namespaces of copies.", &["restricted", "baseline"]),
                "default",
                "restricted".into(),
            ),
            "most": object(
                "How many copies there may be of one environment.",
                &[],
                json!({
                    "personal": {"type": "integer", "minimum": 0, "maximum": 1000, "description": "Of each person."},
                    "preview": {"type": "integer", "minimum": 0, "maximum": 1000,
                                "description": "Of class preview, in all."},
                }),
            ),
            "quota": {"type": "object", "additionalProperties": {"type": "string"},
                      "description": "How much each namespace of a copy may ask for: hard of a ResourceQuota; absent: \
                                      what Seaway thinks is enough."},
            "limits": {"type": "array", "maxItems": 16, "items": limit,
                       "description": "How much one pod or container may ask for, and has where it asks for nothing: \
                                       limits of a LimitRange; absent: what a quota needs."},
            "egress": with(list("name", 256, egress()), "description",
                           "Where the pods of a copy may connect to, besides the copy itself and the cluster's names."
                           .into()),
            "gateway": object(
                "The Gateway that each copy gets for itself; absent: routes stay attached to what they name.",
                &["class"],
                json!({
                    "class": {"type": "string", "minLength": 1, "maxLength": 253, "description": "The GatewayClass."},
                    "namespaces": {"type": "array", "maxItems": 16, "items": name("A namespace."),
                                   "description": "Where its proxies run, which must reach the pods of copies."},
                    "certificate": {"type": "string", "maxLength": 317, "pattern": "^[^/]+/[^/]+$",
                                    "description": "The Secret, as NAMESPACE/NAME, with the certificate of all copies' \
                                                    hosts; absent: plain http."},
                }),
            ),
        }),
    )
}

fn egress() -> Value {
    let cidr = |description: &str| {
        json!({"type": "string", "maxLength": 43, "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$",
        "description": description})
    };
    let port = object(
        "A port.",
        &["port"],
        json!({
            "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "The port."},
            "protocol": choice("Absent: TCP.", &["TCP", "UDP", "SCTP"]),
        }),
    );
    let place = object(
        "A place that pods of a copy may connect to: exactly one of cidr and namespace.",
        &["name"],
        json!({
            "name": name("Unique in the list."),
            "cidr": cidr("Addresses, such as 192.0.2.0/24."),
            "except": {"type": "array", "maxItems": 64, "items": cidr("Addresses within cidr that are not meant.")},
            "namespace": name("All pods of a namespace of the cluster."),
            "ports": {"type": "array", "maxItems": 64, "items": port, "description": "Only these; absent: all."},
        }),
    );
    // That one of cidr and namespace is given, validation says: `namespace` is a word of CEL.
    place
}

fn stack_status() -> Value {
    object(
        "What Seaway says about the stack.",
        &[],
        json!({
            "observedGeneration": observed_generation(),
            "environments": with(texts("The environments that use it, a hundred at the most."), "maxItems", 100.into()),
            "environmentCount": {"type": "integer", "format": "int64", "description": "How many use it."},
            "conditions": conditions(),
        }),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn schema(index: usize) -> Value {
        crds()[index]["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    }

    /// Every field of the Rust types is in the schema: what is not would be dropped by the API without a word.
    #[test]
    fn the_schemas_know_every_field_of_the_types() {
        let image = json!({"name": "i", "newName": "n", "tag": "t", "digest": "d"});
        let spec: crate::EnvironmentSpec = serde_json::from_value(json!({
            "stack": "s", "class": "preview", "copyOf": "p", "overlay": "o", "suspend": true,
            "components": ["c"], "follow": "revision", "expires": "e",
            "destination": {"cluster": "local", "namespace": "n", "namespaces": ["m"]},
            "pins": [{"component": "c", "commit": "x", "images": [image]}],
            "overrides": [{"component": "c", "repo": "r", "revision": "v", "parameters": {"a": 1},
                           "images": [image], "expires": "e", "reason": "b",
                           "proposal": {"branch": "b", "commit": "c"}}],
            "sync": {"automated": false, "prune": false, "selfHeal": false, "allowEmpty": true,
                     "forceConflicts": true, "waveTimeoutSeconds": 3},
        }))
        .unwrap();
        assert_known(&schema(1)["properties"]["spec"], &serde_json::to_value(spec).unwrap(), "spec");
        let spec: crate::StackSpec = serde_json::from_value(json!({
            "components": [{"name": "c", "source": {"repo": "r", "path": "p", "revision": "v"},
                            "render": {"kind": "plain", "parameters": {"a": 1}},
                            "dependsOn": ["d"], "copy": "shared"}],
            "allow": {"repositories": ["r"], "clusterKinds": ["k"]},
            "path": [{"environment": "e", "gates": [{"a": 1}]}],
            "productionOnly": [{"name": "p", "target": {"group": "g", "kind": "k", "name": "n", "namespace": "s",
                                                        "component": "c"},
                                "standIn": {"secret": {"values": {"a": "b"}, "generate": ["k"]}, "volume": "empty",
                                            "omit": true}}],
            "copies": {"domain": "d", "podSecurity": "baseline", "quota": {"pods": "5"}, "rules": [{"name": "r", "target": {"kind": "k"}, "patch": "p", "replicas": 1,
                                                 "resources": {"limits": {}}, "hosts": ["/data/*"]}]},
            "ignore": [{"group": "g", "kind": "k", "name": "n", "namespace": "s", "jsonPointers": ["/a"],
                        "fieldManagers": ["m"]}],
        }))
        .unwrap();
        assert_known(&schema(0)["properties"]["spec"], &serde_json::to_value(spec).unwrap(), "spec");
        let status: crate::EnvironmentStatus = serde_json::from_value(json!({
            "observedGeneration": 1, "release": "r", "revision": "v", "sync": "s", "health": "h", "message": "m",
            "components": [{"name": "n", "repo": "r", "commit": "c"}],
            "conditions": [{"type": "t", "status": "True", "reason": "r", "message": "m",
                            "lastTransitionTime": "2024-01-01T00:00:00Z", "observedGeneration": 1}],
        })).unwrap();
        assert_known(&schema(1)["properties"]["status"], &serde_json::to_value(status).unwrap(), "status");
    }

    fn assert_known(schema: &Value, value: &Value, path: &str) {
        if schema["x-kubernetes-preserve-unknown-fields"] == true {
            return;
        }
        match value {
            Value::Object(_) if schema["additionalProperties"].is_object() => {}
            Value::Object(map) => {
                for (key, value) in map {
                    assert!(schema["properties"].get(key).is_some(), "{path}.{key} is not in the schema");
                    assert_known(&schema["properties"][key], value, &format!("{path}.{key}"));
                }
            }
            Value::Array(items) => {
                items.iter().for_each(|item| assert_known(&schema["items"], item, &format!("{path}[]")));
            }
            _ => {}
        }
    }

    #[test]
    fn the_schemas_are_structural() {
        for index in [0, 1] {
            seaway_merge::schema::from_structural(&schema(index)).unwrap();
        }
    }
}
