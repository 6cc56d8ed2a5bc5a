//! Generated sequences: three managers apply (forced or not), update and patch one object.
//!
//! The seeds are fixed, so that every run sends the same requests. After each request the whole answer is
//! compared: the object, and who owns which field. `SEAWAY_CONFORMANCE_SEQUENCES=n` makes n sequences of
//! each kind.

use serde_json::{Map, Value, json};

use crate::client::Sender;
use crate::scenario::{Scenario, Step, Until};

/// SplitMix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn choose<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Some of these, in order.
    fn some<'a>(&mut self, from: &[&'a str]) -> Vec<&'a str> {
        from.iter().copied().filter(|_| self.once_in(2)).collect()
    }
}

/// Adds a field, or does not.
fn maybe(random: &mut Random, object: &mut Value, field: &str, make: impl FnOnce(&mut Random) -> Value) {
    if random.once_in(2) {
        let value = make(random);
        object[field] = value;
    }
}

/// What a generated object is for.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// Stands for everything: what the base manager applied is in it.
    Whole,
    /// Some fields, as one of several appliers has them.
    Part,
}

// Every map and list that a sequence can touch has an entry from the start that nobody takes away: an owner
// of a map itself, all of whose entries others took, is where the two servers part
// (structured-merge-diff#192; the scenario `applying-atomic` has it).

/// Some entries, and the first one in a whole object.
fn entries(random: &mut Random, wanted: Use, base: &str, keys: &[&str]) -> Value {
    let mut map = Map::new();
    for key in keys.iter().filter(|_| random.once_in(2)).collect::<Vec<_>>() {
        map.insert((*key).into(), random.choose(&["1", "2", "3"]).into());
    }
    if wanted == Use::Whole {
        map.insert(base.into(), "0".into());
    } else if map.is_empty() {
        map.insert(keys[0].into(), random.choose(&["1", "2", "3"]).into());
    }
    map.into()
}

fn set(random: &mut Random, wanted: Use, base: &str, keys: &[&str]) -> Value {
    let mut list = random.some(keys);
    if wanted == Use::Whole || list.is_empty() {
        list.insert(0, base);
    }
    list.into()
}

fn metadata(random: &mut Random, wanted: Use) -> Value {
    let mut metadata = json!({"name": "it"});
    let whole = wanted == Use::Whole;
    for (field, keys) in [("labels", ["app", "tier"]), ("annotations", ["note", "example.com/owner"])] {
        if whole || random.once_in(2) {
            metadata[field] = entries(random, wanted, "base", &keys);
        }
    }
    if whole || random.once_in(4) {
        metadata["finalizers"] = set(random, wanted, "example.com/base", &["example.com/a", "example.com/b"]);
    }
    metadata
}

fn config_map(random: &mut Random, wanted: Use) -> Value {
    let mut object = json!({"metadata": metadata(random, wanted)});
    if wanted == Use::Whole || random.once_in(2) {
        object["data"] = entries(random, wanted, "base", &["a", "b", "c", "d"]);
    }
    if wanted == Use::Whole || random.once_in(4) {
        object["binaryData"] = json!({"z": random.choose(&["YQ==", "Yg=="])});
    }
    object
}

fn container(random: &mut Random, name: &str, wanted: Use) -> Value {
    let whole = wanted == Use::Whole;
    let mut container = json!({"name": name, "image": random.choose(&["busybox:1", "busybox:2"])});
    if whole || random.once_in(2) {
        let mut names = random.some(&["X", "Y", "Z"]);
        if whole || names.is_empty() {
            names.insert(0, "BASE");
        }
        container["env"] =
            names.into_iter().map(|n| json!({"name": n, "value": random.choose(&["1", "2"])})).collect();
    }
    if whole || random.once_in(2) {
        let mut ports = vec![];
        for port in [79, 80, 81] {
            if (port == 79 && whole) || random.once_in(2) {
                let mut one = json!({"containerPort": port});
                if port > 79 && random.once_in(2) {
                    one["protocol"] = random.choose(&["TCP", "UDP"]).into();
                }
                maybe(random, &mut one, "name", |_| format!("p{port}").into());
                ports.push(one);
            }
        }
        if !ports.is_empty() {
            container["ports"] = ports.into();
        }
    }
    if random.once_in(2) {
        let mut words = random.some(&["sh", "-c"]);
        words.push("true");
        container["command"] = words.into();
    }
    container
}

fn deployment(random: &mut Random, wanted: Use) -> Value {
    let whole = wanted == Use::Whole;
    let mut spec = json!({"revisionHistoryLimit": 3 + random.below(3)});
    maybe(random, &mut spec, "replicas", |r| r.below(3).into());
    maybe(random, &mut spec, "minReadySeconds", |r| (1 + r.below(3)).into());
    if whole || random.once_in(2) {
        spec["selector"] = json!({"matchLabels": {"run": "it"}});
        let mut names = vec!["base"];
        names.extend(random.some(&["main", "side"]));
        let containers: Value = names
            .into_iter()
            .map(|n| container(random, n, if n == "base" { wanted } else { Use::Whole }))
            .collect();
        let mut pod = json!({"containers": containers});
        maybe(random, &mut pod, "tolerations", |r| {
            let mut keys = r.some(&["a", "b"]);
            keys.push("c");
            keys.into_iter().map(|k| json!({"key": k, "operator": "Exists"})).collect()
        });
        if whole || random.once_in(2) {
            let mut names = vec!["u"];
            names.extend(random.some(&["v", "w"]));
            pod["volumes"] =
                names.into_iter().map(|n| json!({"name": n, "configMap": {"name": "c"}})).collect();
        }
        spec["template"] = json!({"metadata": {"labels": {"run": "it"}}, "spec": pod});
        if random.once_in(3) {
            spec["template"]["metadata"]["labels"]["tier"] = random.choose(&["1", "2"]).into();
        }
    }
    json!({"metadata": metadata(random, wanted), "spec": spec})
}

fn service(random: &mut Random, wanted: Use) -> Value {
    let mut spec = json!({"publishNotReadyAddresses": true});
    if wanted == Use::Whole || random.once_in(2) {
        let mut ports = vec![json!({"port": 79, "name": "p79"})];
        for port in [80, 81] {
            if random.once_in(2) {
                let mut one = json!({"port": port, "name": format!("p{port}")});
                maybe(random, &mut one, "protocol", |r| r.choose(&["TCP", "UDP"]).into());
                maybe(random, &mut one, "targetPort", |r| match r.below(2) {
                    0 => 8080.into(),
                    _ => "web".into(),
                });
                ports.push(one);
            }
        }
        spec["ports"] = ports.into();
    }
    if random.once_in(3) {
        spec["sessionAffinity"] = random.choose(&["None", "ClientIP"]).into();
    }
    if random.once_in(4) {
        let mut addresses = vec!["192.0.2.3"];
        addresses.extend(random.some(&["192.0.2.1", "192.0.2.2"]));
        spec["externalIPs"] = addresses.into();
    }
    json!({"metadata": metadata(random, wanted), "spec": spec})
}

fn pod(random: &mut Random, wanted: Use) -> Value {
    let mut object = json!({"metadata": metadata(random, wanted)});
    if wanted == Use::Whole || random.once_in(2) {
        let image = random.choose(&["busybox:1", "busybox:2"]);
        object["spec"] = json!({"automountServiceAccountToken": false, "serviceAccountName": "own",
            "containers": [{"name": "main", "image": image, "env": [{"name": "X", "value": "1"}]}]});
        if random.once_in(4) {
            object["spec"]["activeDeadlineSeconds"] = (60 - 10 * random.below(3)).into();
        }
        if random.once_in(4) {
            object["spec"]["tolerations"] =
                json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]);
        }
        if random.once_in(5) {
            object["spec"]["restartPolicy"] = "Never".into();
        }
    }
    object
}

fn custom(random: &mut Random, wanted: Use) -> Value {
    let whole = wanted == Use::Whole;
    let mut spec = json!({"always": random.choose(&["1", "2"])});
    maybe(random, &mut spec, "replicas", |r| r.below(3).into());
    if whole || random.once_in(2) {
        spec["tags"] = set(random, wanted, "w", &["x", "y", "z"]);
    }
    if whole || random.once_in(2) {
        let mut names = vec!["l"];
        names.extend(random.some(&["n", "m", "o"]));
        let part = |r: &mut Random, n: &str| {
            let mut part = json!({"name": n});
            maybe(r, &mut part, "size", |r| r.below(3).into());
            maybe(r, &mut part, "list", |r| if r.once_in(2) { json!(["p"]) } else { json!(["p", "q"]) });
            part
        };
        spec["parts"] = names.into_iter().map(|n| part(random, n)).collect();
    }
    if whole || random.once_in(2) {
        let mut ports = vec![json!({"port": 3})];
        for port in [1, 2] {
            if random.once_in(2) {
                let mut one = json!({"port": port});
                maybe(random, &mut one, "protocol", |r| r.choose(&["TCP", "UDP"]).into());
                maybe(random, &mut one, "name", |r| r.choose(&["s", "t"]).into());
                ports.push(one);
            }
        }
        spec["ports"] = ports.into();
    }
    maybe(random, &mut spec, "whole", |r| entries(r, Use::Part, "", &["a", "b"]));
    maybe(random, &mut spec, "plain", |r| if r.once_in(2) { json!(["1"]) } else { json!(["1", "2"]) });
    if random.once_in(8) {
        spec["unknown"] = 1.into();
    }
    json!({"metadata": metadata(random, wanted), "spec": spec})
}

/// A value without a schema; no map, see above.
fn loose(random: &mut Random) -> Value {
    match random.below(4) {
        0 => random.below(3).into(),
        1 => random.choose(&["s", "t"]).into(),
        2 => (random.below(2) == 0).into(),
        _ => json!([random.below(3), {"a": random.below(2)}]),
    }
}

fn schemaless(random: &mut Random, wanted: Use) -> Value {
    let mut spec = json!({"known": random.choose(&["1", "2"])});
    for key in ["one", "two"] {
        maybe(random, &mut spec, key, loose);
    }
    if wanted == Use::Whole || random.once_in(2) {
        let mut map = json!({"base": 0});
        for key in ["k", "l"] {
            maybe(random, &mut map, key, loose);
        }
        spec["map"] = map;
    }
    json!({"metadata": metadata(random, wanted), "spec": spec})
}

/// A CustomResourceDefinition of `widgets` in the scenario's own group.
pub(crate) fn definition(schema: &Value) -> Value {
    json!({
        "metadata": {"name": "widgets.$ns.example.com"},
        "spec": {
            "group": "$ns.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]
        }
    })
}

fn schema_of(kind: &str) -> Option<Value> {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let spec = match kind {
        "custom" => json!({"type": "object", "properties": {
            "always": text(), "replicas": {"type": "integer", "default": 1},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": text(), "size": {"type": "integer"}, "list": texts()}}},
            "ports": {"type": "array", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port", "protocol"],
                "items": {"type": "object", "required": ["port"], "properties": {
                    "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
                    "name": text()}}},
            "whole": {"type": "object", "additionalProperties": text(), "x-kubernetes-map-type": "atomic"},
            "plain": texts()
        }}),
        "schemaless" => json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"known": text()}}),
        _ => return None,
    };
    Some(json!({"type": "object", "properties": {"spec": spec,
        "status": {"type": "object", "properties": {"phase": text()}}}}))
}

type Generator = fn(&mut Random, Use) -> Value;

const KINDS: &[(&str, &str, Generator)] = &[
    ("configmap", "configmaps", config_map),
    ("deployment", "deployments", deployment),
    ("service", "services", service),
    ("pod", "pods", pod),
    ("custom", "widgets", custom),
    ("schemaless", "widgets", schemaless),
];

/// Requests in one sequence, after the first apply.
const LENGTH: usize = 9;

/// Some sequences of every kind.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let count = std::env::var("SEAWAY_CONFORMANCE_SEQUENCES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut scenarios = vec![];
    for (k, (kind, plural, generator)) in KINDS.iter().enumerate() {
        for seed in 0..count {
            let mut random = Random((k as u64 + 1) << 32 | seed);
            scenarios.push(sequence(
                &format!("sequence-{kind}-{seed}"),
                kind,
                plural,
                *generator,
                &mut random,
            ));
        }
    }
    scenarios
}

fn sequence(name: &str, kind: &str, plural: &str, generator: Generator, random: &mut Random) -> Scenario {
    let mut steps = vec![];
    if let Some(schema) = schema_of(kind) {
        steps.push(Step::new("POST customresourcedefinitions").body(definition(&schema)));
        steps[0].ignore = vec!["status".into(), "metadata".into()];
        let mut served = Step::new("GET widgets");
        served.until = Some(Until::Code(200));
        steps.push(served);
    }
    if kind == "pod" {
        steps.push(Step::new("POST serviceaccounts").body(json!({"metadata": {"name": "own"}})));
    }
    let first = generator(random, Use::Whole);
    let line = format!("PATCH {plural}/it?fieldManager=base");
    steps.push(keep(Step::new(&line).media_type("apply").body(first)));
    for _ in 0..LENGTH {
        let manager = random.choose(&["a", "b", "c"]);
        let line = |method: &str, more: &str| format!("{method} {plural}/it?fieldManager={manager}{more}");
        let step = match random.below(10) {
            6 | 7 if plural != "services" => {
                let mut object = generator(random, Use::Whole);
                if plural == "widgets" {
                    object["metadata"]["resourceVersion"] = "$rv".into();
                }
                Step::new(&line("PUT", "")).body(object)
            }
            6 | 8 => patch(random, &line("PATCH", ""), "merge", generator),
            7 | 9 if plural != "widgets" => patch(random, &line("PATCH", ""), "strategic", generator),
            _ => {
                let force = if random.once_in(2) { "&force=true" } else { "" };
                let object = generator(random, Use::Part);
                Step::new(&line("PATCH", force)).media_type("apply").body(object)
            }
        };
        steps.push(keep(step));
    }
    for step in &mut steps {
        if let Some(body) = &step.body {
            step.title = format!("{} ({}) {body}", step.title, step.media_type);
        }
        step.sender = Sender::Admin;
    }
    Scenario { name: name.to_owned(), namespace: true, controllers: false, unordered: true, steps }
}

/// A patch that sets some fields and removes others.
fn patch(random: &mut Random, line: &str, media_type: &str, generator: Generator) -> Step {
    let mut object = generator(random, Use::Part);
    erase(random, "", &mut object, media_type == "merge");
    let mut step = Step::new(line).media_type(media_type);
    step.body = Some(object);
    step
}

/// Turns some values into removals. Lists are left out where a patch would replace them as a whole.
fn erase(random: &mut Random, at: &str, value: &mut Value, without_lists: bool) {
    let Value::Object(map) = value else { return };
    if without_lists {
        map.retain(|_, value| !value.is_array());
    }
    for (key, value) in map.iter_mut() {
        if value.is_object() {
            erase(random, key, value, without_lists);
        } else if !value.is_array()
            && !matches!(key.as_str(), "name" | "run" | "known" | "always" | "base")
            && at != "matchLabels"
            && random.once_in(4)
        {
            *value = Value::Null;
        }
    }
}

/// The next full update names the revision that this answer has.
fn keep(mut step: Step) -> Step {
    step.repeat = 1;
    step.save.insert("rv".into(), "metadata.resourceVersion".into());
    step
}
