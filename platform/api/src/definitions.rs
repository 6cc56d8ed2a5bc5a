//! The CustomResourceDefinitions: structural schemas, columns, short names, and rules in CEL for what crosses fields.

use serde_json::{Map, Value, json};

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

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn flag(description: &str, default: bool) -> Value {
    json!({"type": "boolean", "description": description, "default": default})
}

fn name(description: &str) -> Value {
    json!({"type": "string", "description": description, "minLength": 1, "maxLength": 63,
           "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"})
}

fn choice(description: &str, values: &[&str]) -> Value {
    json!({"type": "string", "description": description, "enum": values})
}

fn texts(description: &str) -> Value {
    json!({"type": "array", "description": description, "items": {"type": "string"}})
}

fn open(description: &str) -> Value {
    json!({"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": true})
}

fn object(description: &str, required: &[&str], properties: Value) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("description".into(), description.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema.insert("properties".into(), properties);
    Value::Object(schema)
}

/// A list whose elements are told apart by a field.
fn list(key: &str, most: u32, items: Value) -> Value {
    json!({"type": "array", "maxItems": most, "items": items,
           "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})
}

fn with(mut schema: Value, key: &str, value: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert(key.to_owned(), value);
    }
    schema
}

fn rule(schema: Value, rule: &str, field: &str, message: &str) -> Value {
    with(schema, "x-kubernetes-validations", json!([{"rule": rule, "fieldPath": field, "message": message}]))
}

fn repository(description: &str) -> Value {
    json!({"type": "string", "description": description, "minLength": 1, "maxLength": 2048, "pattern": "^[^-]"})
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

fn stack() -> Value {
    let source = object(
        "Where its manifests are.",
        &["repo"],
        json!({
            "repo": repository("What git clone takes."),
            "path": {"type": "string", "maxLength": 1024,
                     "description": "Directory from the repository's root; ${overlay} stands for the environment's overlay."},
            "revision": text("Branch, tag or commit; absent: the repository's default branch."),
        }),
    );
    let render = object(
        "How files become objects; absent: detected.",
        &[],
        json!({
            "kind": choice("Absent: detected.", &["plain", "kustomize", "script", "helm"]),
            "parameters": open("For scripts and charts."),
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
            "clusterKinds": texts("Cluster-scoped kinds, as Kind (core group) or Kind.group."),
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
            "fieldManagers": texts("Every field that one of these managers owns."),
        }),
    );
    object(
        "What runs.",
        &["components"],
        json!({
            "components": with(list("name", 256, component), "minItems", 1.into()),
            "allow": allow,
            "path": list("environment", 64, step),
            "productionOnly": with(list("name", 256, production_only()), "description",
                                   "What stays in production, each with its stand-in.".into()),
            "copies": copies(),
            "ignore": {"type": "array", "maxItems": 256, "items": ignore},
            "links": with(list("name", 32, link()), "description",
                          "Pages elsewhere about each environment, such as dashboards and logs.".into()),
        }),
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

fn image() -> Value {
    object(
        "An image that takes the place of another.",
        &["name"],
        json!({
            "name": text("The image's name, without tag and digest."),
            "newName": text("What the name becomes."),
            "tag": text("What the tag becomes."),
            "digest": {"type": "string", "description": "What the digest becomes.", "pattern": "^sha256:[0-9a-f]{64}$"},
        }),
    )
}

fn environment() -> Value {
    let destination = object(
        "Where the objects go.",
        &["namespace"],
        json!({
            "cluster": {"type": "string", "default": "local", "enum": ["local"],
                        "description": "local is the cluster that holds the Environment."},
            "namespace": name("For objects without a namespace."),
            "namespaces": {"type": "array", "maxItems": 64, "description": "Further namespaces that objects may name.",
                           "items": name("A namespace.")},
        }),
    );
    let pin = object(
        "Exactly what a component runs.",
        &["component"],
        json!({
            "component": name("The component."),
            "commit": {"type": "string", "description": "The full commit.", "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$"},
            "images": {"type": "array", "items": image()},
        }),
    );
    let deviation = object(
        "A deviation of one component from the stack.",
        &["component"],
        json!({
            "component": name("The component."),
            "repo": repository("Another repository, which the stack must allow."),
            "revision": text("Another revision."),
            "parameters": open("Parameters that replace the stack's, key by key."),
            "images": {"type": "array", "items": image()},
            "expires": {"type": "string", "format": "date-time", "description": "From when on it does not count."},
            "reason": text("Why."),
            "proposal": object(
                "Where it was handed back; once what runs without the override has that, the override ends.",
                &["branch", "commit"],
                json!({
                    "branch": text("The branch."), "commit": text("The full commit that was proposed."),
                    "url": text("The page of the merge request, where a forge is known."),
                }),
            ),
        }),
    );
    let sync = with(
        object(
            "What happens on its own.",
            &[],
            json!({
                "automated": flag("New commits are applied.", true),
                "prune": flag("What left Git is deleted.", true),
                "selfHeal": flag("Changes by others of rendered fields are reverted.", true),
                "allowEmpty": flag("An empty result may delete everything.", false),
                "forceConflicts": flag("Take fields from other appliers.", false),
                "waveTimeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 86400,
                                       "description": "How long a wave may take to become healthy; absent: 300."},
            }),
        ),
        "default",
        json!({}),
    );
    let class = with(
        choice("What the environment is for.", &["production", "staging", "preview", "personal"]),
        "default",
        "staging".into(),
    );
    let spec = object(
        "Where a stack runs, and how.",
        &[],
        json!({
            "stack": name("The stack's name, in the same namespace; a copy has the stack of what it copies."),
            "class": class,
            "copyOf": {"type": "string", "maxLength": 127,
                       "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                       "description": "The environment that this one is a copy of: NAMESPACE/NAME, or a name in the \
                                       namespace seaway."},
            "components": {"type": "array", "maxItems": 256, "items": name("A component."),
                           "description": "The components that a copy has; absent: all."},
            "follow": choice("What a copy follows where nothing is pinned or overridden: the releases of what it \
                              copies (the default), or the revisions that the stack names.",
                             &["environment", "revision"]),
            "expires": {"type": "string", "format": "date-time",
                        "description": "From when on the environment is deleted with all that is in it."},
            "overlay": {"type": "string", "pattern": "^[^/]+$", "description": "What ${overlay} stands for; absent: the name."},
            "destination": destination,
            "pins": list("component", 256, pin),
            "overrides": list("component", 256, deviation),
            "sync": sync,
            "suspend": flag("Nothing is applied while this is set.", false),
        }),
    );
    let rules = [
        ("!(has(self.copyOf) && self.class == 'production')", "a production environment is not a copy"),
        (
            "has(self.copyOf) || has(self.stack)",
            "name the stack, or the environment that this one is a copy of",
        ),
        (
            "has(self.copyOf) != has(self.destination)",
            "an environment has a destination, unless it is a copy: the \
          namespaces of a copy follow from its name",
        ),
        (
            "has(self.copyOf) || !(has(self.components) || has(self.follow) || has(self.expires))",
            "only a copy has components, follow and expires",
        ),
        (
            "has(self.copyOf) == has(oldSelf.copyOf) && (!has(self.copyOf) || self.copyOf == oldSelf.copyOf)",
            "what an environment is a copy of stays what it is: make another one",
        ),
    ];
    let rules = rules.map(|(rule, message)| json!({"rule": rule, "message": message}));
    with(spec, "x-kubernetes-validations", rules.to_vec().into())
}

fn conditions() -> Value {
    let condition = object(
        "A condition.",
        &["type", "status", "lastTransitionTime", "reason", "message"],
        json!({
            "type": text("What."), "status": choice("Whether.", &["True", "False", "Unknown"]),
            "reason": text("Why, in a word."), "message": text("Why, in a sentence."),
            "lastTransitionTime": {"type": "string", "format": "date-time", "description": "Since when."},
            "observedGeneration": {"type": "integer", "format": "int64", "description": "Of which generation."},
        }),
    );
    list("type", 32, condition)
}

fn observed_generation() -> Value {
    json!({"type": "integer", "format": "int64", "description": "The generation that was looked at."})
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

fn environment_status() -> Value {
    let component = object(
        "What a component runs.",
        &["name"],
        json!({
            "name": text("The component."), "repo": text("Its repository."), "commit": text("The full commit."),
        }),
    );
    object(
        "What the environment runs, and how well.",
        &[],
        json!({
            "observedGeneration": observed_generation(),
            "release": text("The release that was last applied as a whole."),
            "revision": text("The commits of that release, shortened."),
            "sync": choice("Whether what runs is what Git says.", &["Synced", "OutOfSync", "Unknown"]),
            "health": choice("How well it runs.",
                &["Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown"]),
            "message": text("What a person should know first."),
            "components": list("name", 256, component),
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
