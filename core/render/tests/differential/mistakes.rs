//! Kustomizations with mistakes: of a good one and its files, a value or two is something else, or a field has another
//! name, or is missing. What real kustomize rejects has to be rejected, and nothing else.

use serde_json::{Map, Value, json};

use crate::grammar::{Random, TOP};

/// Every field, each used well.
fn kustomization() -> Value {
    json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "resources": ["web.yaml", "config.yaml"],
        "namespace": "shop",
        "namePrefix": "p-",
        "nameSuffix": "-s",
        "commonLabels": {"common": "v"},
        "labels": [{
            "pairs": {"l": "v"}, "includeSelectors": false, "includeTemplates": true,
            "fields": [{"path": "spec/x", "create": true, "kind": "Deployment", "group": "apps", "version": "v1"}],
        }],
        "commonAnnotations": {"note": "v"},
        "images": [{"name": "nginx", "newName": "n", "newTag": "2", "digest": ""}],
        "replicas": [{"name": "web", "count": 2}],
        "patches": [
            {
                "patch": "[{\"op\": \"add\", \"path\": \"/metadata/labels/json\", \"value\": \"1\"}]",
                "target": {"kind": "Deployment", "group": "apps", "version": "v1", "name": "web", "labelSelector": "app=web"},
                "options": {"allowNameChange": true},
            },
            {"path": "patch.json"},
        ],
        "patchesStrategicMerge": ["second.json"],
        "patchesJson6902": [
            {"target": {"group": "apps", "version": "v1", "kind": "Deployment", "name": "web"}, "path": "operations.json"},
        ],
        "replacements": [
            {
                "source": {"kind": "ConfigMap", "name": "config", "fieldPath": "data.a", "options": {"delimiter": ".", "index": 0}},
                "targets": [{
                    "select": {"kind": "Deployment", "name": "web"}, "reject": [{"name": "q"}],
                    "fieldPaths": ["metadata.labels.app"], "options": {"create": true, "delimiter": "-", "index": 1},
                }],
            },
            {"path": "replacements.json"},
        ],
        "configMapGenerator": [{
            "name": "g", "literals": ["a=b"], "files": ["k=file"], "envs": ["variables"],
            "options": {"labels": {"x": "z"}, "annotations": {"x": "z"}, "disableNameSuffixHash": true, "immutable": true},
        }],
        "secretGenerator": [{"name": "s", "type": "Opaque", "literals": ["a=b"], "behavior": "create", "namespace": "q"}],
        "generatorOptions": {
            "labels": {"go": "v"}, "annotations": {"go": "v"}, "disableNameSuffixHash": false, "immutable": false,
        },
        "vars": [{
            "name": "V", "objref": {"kind": "ConfigMap", "name": "config", "apiVersion": "v1"},
            "fieldref": {"fieldpath": "data.a"},
        }],
        "configurations": ["configuration.json"],
        "crds": ["definitions.json"],
        "components": ["component"],
        "transformers": ["transformer.json"],
        "generators": ["generator.json"],
        "validators": ["transformer.json"],
        "buildMetadata": ["originAnnotations"],
        "sortOptions": {
            "order": "legacy", "legacySortOptions": {"orderFirst": ["ConfigMap"], "orderLast": ["Deployment"]},
        },
        "openapi": {"version": "v1.21.2"},
    })
}

/// The files that it names; JSON is YAML.
fn named() -> Vec<(&'static str, Value)> {
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
    let with = |field: &str, value: Value| {
        let mut patch = web.clone();
        patch[field] = value;
        patch
    };
    let labels = json!({
        "apiVersion": "builtin", "kind": "LabelTransformer", "metadata": {"name": "t"}, "labels": {"made": "v"},
        "fieldSpecs": [{"path": "metadata/labels", "create": true}],
    });
    let property = json!({
        "x-kubernetes-object-ref-api-version": "v1", "x-kubernetes-object-ref-kind": "ConfigMap", "type": "string",
    });
    let definitions = json!({
        "x.Widget": {
            "Schema": {"description": "d", "type": "object", "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
                "spec": {"$ref": "x.Spec"},
            }},
            "Dependencies": [],
        },
        "x.Spec": {"Schema": {"properties": {"config": property}}},
    });
    vec![
        (
            "web.yaml",
            with(
                "spec",
                json!({
                    "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
                    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                        {"name": "main", "image": "nginx:1", "env": [{"name": "A", "value": "$(V)"}]},
                    ]}},
                }),
            ),
        ),
        (
            "config.yaml",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a": "b.c"}}),
        ),
        (
            "patch.json",
            with("metadata", json!({"name": "web", "annotations": {"p": "1"}, "labels": {"app": "web"}})),
        ),
        (
            "second.json",
            with(
                "spec",
                json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "main", "image": "z"}]}}}),
            ),
        ),
        (
            "operations.json",
            json!([
                {"op": "replace", "path": "/spec/replicas", "value": 4},
                {"op": "test", "path": "/kind", "value": "Deployment"},
                {"op": "copy", "from": "/metadata/name", "path": "/spec/q"},
                {"op": "move", "from": "/spec/q", "path": "/spec/r"},
                {"op": "remove", "path": "/spec/r"},
            ]),
        ),
        (
            "replacements.json",
            json!([{
                "source": {"kind": "ConfigMap", "name": "config"},
                "targets": [{
                    "select": {"kind": "Deployment"},
                    "fieldPaths": ["spec.template.spec.containers.[name=main].env.[name=A].value"],
                }],
            }]),
        ),
        (
            "configuration.json",
            json!({
                "nameReference": [{"kind": "ConfigMap", "version": "v1", "fieldSpecs": [{"path": "spec/config", "kind": "Widget"}]}],
                "images": [{"path": "spec/image", "kind": "Widget"}],
                "commonLabels": [{"path": "spec/labels", "create": true, "kind": "Widget"}],
                "varReference": [{"path": "data", "kind": "ConfigMap"}],
                "namespace": [{"path": "spec/namespace", "create": true, "kind": "Widget"}],
                "replicas": [{"path": "spec/count", "kind": "Widget"}],
            }),
        ),
        ("definitions.json", definitions),
        (
            "component/kustomization.yaml",
            json!({"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "nameSuffix": "-c"}),
        ),
        ("transformer.json", labels),
        (
            "generator.json",
            json!({"apiVersion": "builtin", "kind": "ConfigMapGenerator", "metadata": {"name": "gg"}, "name": "gg", "literals": ["a=b"]}),
        ),
    ]
}

const NAMES: &[&str] = &[
    "unknown",
    "name",
    "Name",
    "kind",
    "path",
    "patch",
    "target",
    "options",
    "namespace",
    "metadata",
    "count",
];

fn something(random: &mut Random) -> Value {
    let texts =
        &["x", "1", "true", "a b", "../x", "$(V)", "a=b", ".*", "[", "absent.yaml", "é", "/", "-", " ", ""];
    match random.below(12) {
        0 => json!(1),
        1 => json!(-1),
        2 => json!(1.5),
        3 => json!(true),
        4 => Value::Null,
        5 => json!([]),
        6 => json!({}),
        7 => json!(["x"]),
        8 => json!({"a": "b"}),
        9 => json!([{"name": "x"}]),
        _ => json!(random.of(texts)),
    }
}

/// Every place in a value but the value itself, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in inner {
        let place = format!("{at}/{key}");
        places(value, &place, found);
        found.push(place);
    }
}

fn mistake(value: &mut Value, random: &mut Random) {
    let mut all = Vec::new();
    places(value, "", &mut all);
    if all.is_empty() {
        return;
    }
    let place = all[random.below(all.len())].clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    let (action, other) = (random.below(8), something(random));
    match value.pointer_mut(parent).unwrap() {
        Value::Object(object) => match action {
            0 => drop(object.remove(&key)),
            1 => drop(object.insert(random.of(NAMES).to_owned(), other)),
            2 => {
                let content = object.remove(&key).unwrap();
                let renamed = if random.percent(50) { key.to_uppercase() } else { format!("{key}x") };
                object.insert(renamed, content);
            }
            _ => drop(object.insert(key, other)),
        },
        Value::Array(items) => {
            let index: usize = key.parse().unwrap();
            match action {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                _ => items[index] = other,
            }
        }
        _ => {}
    }
}

/// The files of one, which follow from the seed.
pub(crate) fn files(seed: u64) -> Vec<(String, String)> {
    let mut random = Random::new(seed);
    let mut top = kustomization();
    let fields: Map<String, Value> = top
        .as_object()
        .unwrap()
        .iter()
        .filter(|(field, _)| {
            let chance = match field.as_str() {
                "resources" | "apiVersion" | "kind" => 100,
                "openapi" => 8,
                _ => 25,
            };
            random.percent(chance)
        })
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    top = Value::Object(fields);
    let text = top.to_string();
    let mut named = named();
    for _ in 0..1 + random.below(2) {
        let mut used: Vec<&mut Value> = named
            .iter_mut()
            .filter(|(name, _)| text.contains(name.split('/').next().unwrap_or_default()))
            .map(|(_, content)| content)
            .collect();
        if random.percent(70) {
            mistake(&mut top, &mut random);
        } else {
            let index = random.below(used.len());
            mistake(used[index], &mut random);
        }
    }
    let mut files: Vec<(String, String)> =
        named.into_iter().map(|(name, content)| (format!("{TOP}/{name}"), content.to_string())).collect();
    files.push((format!("{TOP}/kustomization.yaml"), top.to_string()));
    files.push((format!("{TOP}/file"), "hello\n".to_owned()));
    files.push((format!("{TOP}/variables"), "A=1\n".to_owned()));
    files
}
