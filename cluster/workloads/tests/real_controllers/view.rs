//! What is compared of a namespace, and how two views differ.
//!
//! Names that are made up on the way are told by what they stand for: the hash of a template by its image, a random end
//! by the word. Times, ids and addresses are left out, as is what the API server fills in (its own suite compares that).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What is looked at; the order does not matter.
pub(crate) const PLURALS: &[&str] = &[
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "controllerrevisions",
    "jobs",
    "pods",
    "persistentvolumeclaims",
    "endpointslices",
    "poddisruptionbudgets",
    "events",
];

/// Of each plural, what its objects show, in a fixed order.
pub(crate) type View = BTreeMap<String, Vec<Value>>;

/// `known` are the made-up names so far: events tell of objects that are gone.
pub(crate) fn of(lists: Vec<(&str, Vec<Value>)>, known: &mut BTreeMap<String, String>) -> View {
    known.extend(words(&lists));
    let mut words: Vec<(String, String)> = known.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    words.sort_by_key(|(made_up, _)| std::cmp::Reverse(made_up.len()));
    let view = lists.into_iter().map(|(plural, objects)| {
        let shown = objects.iter().filter_map(|object| show(plural, object));
        let mut shown: Vec<Value> = shown.map(|object| named(&object, &words)).collect();
        shown.sort_by_cached_key(Value::to_string);
        if plural == "events" {
            // The same thing may be told once with a count or several times.
            shown.dedup();
        }
        (plural.to_owned(), shown)
    });
    view.collect()
}

/// Made-up parts of names, and what they stand for.
fn words(lists: &[(&str, Vec<Value>)]) -> Vec<(String, String)> {
    let mut words = vec![];
    let text = |object: &Value, pointer: &str| {
        object.pointer(pointer).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
    };
    for (plural, objects) in lists {
        for object in objects {
            let name = text(object, "/metadata/name");
            match *plural {
                "replicasets" => {
                    let image = text(object, "/spec/template/spec/containers/0/image");
                    let hash = object.pointer("/metadata/labels/pod-template-hash").and_then(Value::as_str);
                    words.extend(hash.map(|hash| (hash.to_owned(), format!("<{image}>"))));
                }
                "controllerrevisions" => {
                    let image = text(object, "/data/spec/template/spec/containers/0/image");
                    let selector = object.pointer("/data/spec/template/spec/nodeSelector").is_some();
                    let hash = name.rsplit('-').next().unwrap_or_default().to_owned();
                    words.push((hash, format!("<{image}{}>", if selector { " chosen" } else { "" })));
                }
                _ => {}
            }
            words.push((text(object, "/metadata/uid"), "<uid>".to_owned()));
            let base = text(object, "/metadata/generateName");
            if !base.is_empty() && name.starts_with(&base) && name.len() == base.len() + 5 {
                words.push((name.clone(), format!("{base}<random>")));
            }
        }
    }
    words
}

fn named(value: &Value, words: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => {
            let mut text = text.clone();
            for (made_up, stands_for) in words.iter().filter(|(made_up, _)| !made_up.is_empty()) {
                text = text.replace(made_up, stands_for);
            }
            // Of pods that are gone only their events still tell.
            Value::String(endings(&text))
        }
        Value::Array(list) => list.iter().map(|v| named(v, words)).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (k.clone(), named(v, words))).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// `web-<web:1>-x7k2p` and `good-x7k2p` without what is random.
fn endings(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let (head, end) = word.rsplit_once('-').unwrap_or((word, ""));
        let is_random = end.len() == 5 && end.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
        if is_random { format!("{head}-<random>") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn show(plural: &str, object: &Value) -> Option<Value> {
    if plural == "events" {
        const KINDS: [&str; 5] = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"];
        let about = &object["involvedObject"];
        let kind = about["kind"].as_str()?;
        let message = object["message"].as_str().unwrap_or_default();
        // A real API server that is busy refuses what is asked again a moment later.
        let busy = message.contains("could not be completed at this time, please try again");
        return (KINDS.contains(&kind) && !busy).then(|| {
            // The real one's client joins events when there are many of a kind.
            let message = message.strip_prefix("(combined from similar events): ").unwrap_or(message);
            // How many at a time, and whether that is told apart, depends on when pods become ready; since
            // kubernetes/kubernetes#101142 the message also says how many there were before.
            let message = match message.split_once(" replica set ") {
                Some((head, _)) if head.starts_with("Scaled ") => format!("{head} replica set"),
                _ => message.to_owned(),
            };
            json!({"about": format!("{kind} {}", about["name"].as_str().unwrap_or_default()), "type": object["type"],
                   "reason": object["reason"], "message": message, "by": object["source"]["component"]})
        });
    }
    let meta = &object["metadata"];
    let owners = meta["ownerReferences"].as_array().into_iter().flatten();
    let owners: Vec<Value> = owners
        .map(|o| json!({"kind": o["kind"], "name": o["name"], "controller": o["controller"], "blocks": o["blockOwnerDeletion"]}))
        .collect();
    let annotations = meta["annotations"].as_object().into_iter().flatten();
    // Times, and what tells that somebody provides volumes, which nobody does beside the real one.
    let annotations =
        annotations.filter(|(name, _)| !name.ends_with("-time") && !name.starts_with("pv.kubernetes.io/"));
    let annotations: Map<String, Value> = annotations.map(|(k, v)| (k.clone(), v.clone())).collect();
    let annotations = if annotations.is_empty() { Value::Null } else { annotations.into() };
    let mut shown = json!({"name": meta["name"], "generateName": meta["generateName"], "labels": meta["labels"],
                           "annotations": annotations, "finalizers": meta["finalizers"], "owners": owners});
    let spec = &object["spec"];
    match plural {
        "pods" => {
            let claims = spec["volumes"].as_array().into_iter().flatten();
            let claims: Vec<&Value> =
                claims.map(|v| &v["persistentVolumeClaim"]["claimName"]).filter(|c| !c.is_null()).collect();
            shown["spec"] = json!({"image": spec["containers"][0]["image"], "hostname": spec["hostname"],
                                   "subdomain": spec["subdomain"], "node": spec["nodeName"], "claims": claims});
        }
        "replicasets" | "deployments" | "statefulsets" => {
            shown["spec"] = json!({"replicas": spec["replicas"], "selector": spec["selector"],
                                   "labels": spec["template"]["metadata"]["labels"]});
        }
        "jobs" => shown["spec"] = json!({"labels": spec["template"]["metadata"]["labels"]}),
        "controllerrevisions" => shown["revision"] = object["revision"].clone(),
        "endpointslices" => {
            let endpoints = object["endpoints"].as_array().into_iter().flatten();
            let mut endpoints: Vec<Value> = endpoints
                .map(|e| {
                    json!({"ready": e["conditions"]["ready"], "target": e["targetRef"]["name"],
                                "addresses": e["addresses"].as_array().map(Vec::len)})
                })
                .collect();
            endpoints.sort_by_cached_key(Value::to_string);
            shown["endpoints"] = endpoints.into();
            shown["ports"] = object["ports"].clone();
            shown["addressType"] = object["addressType"].clone();
        }
        _ => {}
    }
    if !matches!(plural, "pods" | "persistentvolumeclaims") {
        shown["status"] = without_times(&object["status"]);
        if shown["status"]["observedGeneration"].is_number() {
            let is_current = object["status"]["observedGeneration"] == meta["generation"];
            shown["status"]["observedGeneration"] = if is_current { "current" } else { "old" }.into();
        }
    }
    if matches!(plural, "deployments" | "statefulsets" | "daemonsets") {
        shown["generation"] = meta["generation"].clone();
    }
    Some(without_nulls(&shown))
}

fn without_times(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(without_times).collect(),
        Value::Object(map) => {
            let kept = map.iter().filter(|(key, _)| !key.ends_with("Time"));
            let mut kept: Map<String, Value> = kept.map(|(k, v)| (k.clone(), without_times(v))).collect();
            // The real one leaves the message as it was when an update is over before it was first looked at.
            if kept.get("reason").is_some_and(|reason| reason == "NewReplicaSetAvailable") {
                kept.remove("message");
            }
            // Conditions are a map by their type, whatever their order.
            if let Some(Value::Array(conditions)) = kept.get_mut("conditions") {
                conditions.sort_by_cached_key(|c| c["type"].to_string());
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, v)| !v.is_null() && !v.as_array().is_some_and(Vec::is_empty));
            Value::Object(kept.map(|(k, v)| (k.clone(), without_nulls(v))).collect())
        }
        other => other.clone(),
    }
}

/// A rule of `accepted.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// Name of the story, or `*`.
    story: String,
    /// Where they differ, as it is printed; `*` stands for anything.
    path: String,
    /// The change of Kubernetes behind it.
    because: Option<String>,
    /// Or what is to be put right here.
    open: Option<String>,
    /// The real ones differ from one run to the next: the rule need not be used.
    #[serde(default)]
    sometimes: bool,
    #[serde(skip)]
    used: bool,
}

#[derive(Debug, Deserialize)]
struct File {
    rule: Vec<Rule>,
}

pub(crate) struct Accepted(Vec<Rule>);

impl Accepted {
    pub(crate) fn read() -> Self {
        let file: File = toml::from_str(include_str!("accepted.toml")).unwrap();
        for rule in &file.rule {
            let is_change = |text: &str| text.contains("KEP-") || text.contains("kubernetes/kubernetes#");
            let is_told = match (&rule.because, &rule.open) {
                (Some(because), None) => is_change(because),
                (None, Some(_)) => true,
                _ => false,
            };
            assert!(is_told, "{}: say which change of Kubernetes is behind it, or what is open", rule.path);
        }
        Self(file.rule)
    }

    pub(crate) fn unused(&self) -> Vec<String> {
        self.0.iter().filter(|r| !r.used && !r.sometimes).map(|r| format!("{} {}", r.story, r.path)).collect()
    }

    /// Differences that no rule accepts, as lines.
    pub(crate) fn unexplained(&mut self, story: &str, step: &str, real: &View, ours: &View) -> Vec<String> {
        let mut found = vec![];
        for (plural, theirs) in real {
            let mine = &ours[plural];
            // Objects are paired by name, where they have the same; several of one name in their order.
            let key = |object: &Value| match plural.as_str() {
                "events" => object.to_string(),
                _ => object["name"].as_str().unwrap_or_default().to_owned(),
            };
            let mut pairs: BTreeMap<(String, usize), Pair<'_>> = BTreeMap::new();
            for (side, objects) in [theirs, mine].into_iter().enumerate() {
                let mut seen: BTreeMap<String, usize> = BTreeMap::new();
                for object in objects {
                    let name = key(object);
                    let nth = seen.entry(name.clone()).or_default();
                    let pair = pairs.entry((name, *nth)).or_default();
                    *(if side == 0 { &mut pair.0 } else { &mut pair.1 }) = Some(object);
                    *nth += 1;
                }
            }
            for ((name, _), (theirs, mine)) in pairs {
                let place = if plural == "events" { plural.clone() } else { format!("{plural}/{name}") };
                differences(&place, theirs, mine, &mut found);
            }
        }
        let mut lines = vec![];
        for (path, real, ours) in found {
            let path = if path == "events" {
                let event = real.as_ref().or(ours.as_ref()).unwrap();
                let side = if real.is_some() { "real" } else { "ours" };
                format!(
                    "events {side} {} {}",
                    event["about"].as_str().unwrap_or_default(),
                    event["reason"].as_str().unwrap_or_default()
                )
            } else {
                path
            };
            let mut accepted = false;
            for rule in self.0.iter_mut().filter(|r| r.story == "*" || r.story == story) {
                if glob(&rule.path, &path) {
                    rule.used = true;
                    accepted = true;
                }
            }
            if !accepted {
                let text = |v: Option<Value>| v.map_or("(nothing)".to_owned(), |v| v.to_string());
                lines.push(format!(
                    "{story}: {step}: {path}\n    real: {}\n    ours: {}",
                    text(real),
                    text(ours)
                ));
            }
        }
        lines
    }
}

/// An object of the real side and ours.
type Pair<'a> = (Option<&'a Value>, Option<&'a Value>);
type Found = Vec<(String, Option<Value>, Option<Value>)>;

fn differences(path: &str, real: Option<&Value>, ours: Option<&Value>, found: &mut Found) {
    match (real, ours) {
        (r, o) if r == o => {}
        (Some(Value::Object(r)), Some(Value::Object(o))) => {
            let keys: std::collections::BTreeSet<&String> = r.keys().chain(o.keys()).collect();
            for key in keys {
                differences(&format!("{path}.{key}"), r.get(key), o.get(key), found);
            }
        }
        (Some(Value::Array(r)), Some(Value::Array(o))) if r.len() == o.len() => {
            for (i, (r, o)) in r.iter().zip(o).enumerate() {
                differences(&format!("{path}.{i}"), Some(r), Some(o), found);
            }
        }
        (r, o) => found.push((path.to_owned(), r.cloned(), o.cloned())),
    }
}

/// `*` stands for anything.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
        }),
    }
}
