//! What a scenario can say.
//!
//! ```yaml
//! name: a-name                  # also the name of its namespace, `$ns`
//! namespace: false              # it needs none
//! controllers: true             # it needs the controller manager
//! unordered: true               # lists may have any order
//! steps:
//! - do: POST configmaps         # a method and a path; a path without a slash is completed (see `PLACES`)
//!   body: {metadata: {name: a}} # apiVersion and kind are filled in, unless `bare: true`
//!   type: merge                 # of a PATCH: json, merge, strategic, apply, or a media type
//!   raw: "..."                  # instead of a body: just these bytes
//!   as: {user: eve, groups: [devs]}   # or `as: eve`, `as: anonymous`, `as: stranger`
//!   headers: {Accept: ...}
//!   save: {rv: metadata.resourceVersion}   # later steps say `$rv`
//!   until: {code: 404}          # or {path: status.phase, is: Active}: ask again until it holds
//!   ignore: [status]            # paths of the body that are not compared
//! - watch: w                    # a watch that goes on beside the next steps
//!   do: GET configmaps?watch=1
//! - events: w                   # its next events, or all until it ends (`end: true`)
//!   count: 2
//! - do: POST pods?dryRun=All    # one request for each case: the body with changes at JSON pointers
//!   body: {...}
//!   cases:
//!   - {set: {/spec/x: 1}, remove: [/spec/y]}
//! - do: PUT configmaps/a
//!   repeat: 100                 # sent so often with `$i`; only that all succeed is compared
//! ```

use std::collections::BTreeMap;

use seaway_object::yaml::Dialect;
use seaway_object::{ReadOptions, read_documents};
use serde_json::{Map, Value};

use crate::client::Sender;

/// A named list of requests.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) namespace: bool,
    pub(crate) controllers: bool,
    /// The order of lists is not compared (`applying-lists` does that).
    pub(crate) unordered: bool,
    pub(crate) steps: Vec<Step>,
}

/// One request, or something about a watch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Step {
    pub(crate) title: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) media_type: String,
    pub(crate) body: Option<Value>,
    pub(crate) raw: Option<String>,
    pub(crate) sender: Sender,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) save: BTreeMap<String, String>,
    pub(crate) until: Option<Until>,
    pub(crate) ignore: Vec<String>,
    pub(crate) repeat: usize,
    pub(crate) watch: Option<String>,
    pub(crate) events: Option<String>,
    pub(crate) count: usize,
}

/// What a repeated request waits for.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    Code(u16),
    Value(String, Value),
}

/// Where a resource is served, for paths without a slash in front: plural, group version, kind, namespaced.
const PLACES: &[(&str, &str, &str, bool)] = &[
    ("namespaces", "v1", "Namespace", false),
    ("nodes", "v1", "Node", false),
    ("persistentvolumes", "v1", "PersistentVolume", false),
    ("configmaps", "v1", "ConfigMap", true),
    ("secrets", "v1", "Secret", true),
    ("pods", "v1", "Pod", true),
    ("services", "v1", "Service", true),
    ("endpoints", "v1", "Endpoints", true),
    ("events", "v1", "Event", true),
    ("serviceaccounts", "v1", "ServiceAccount", true),
    ("limitranges", "v1", "LimitRange", true),
    ("resourcequotas", "v1", "ResourceQuota", true),
    ("persistentvolumeclaims", "v1", "PersistentVolumeClaim", true),
    ("podtemplates", "v1", "PodTemplate", true),
    ("replicationcontrollers", "v1", "ReplicationController", true),
    ("deployments", "apps/v1", "Deployment", true),
    ("replicasets", "apps/v1", "ReplicaSet", true),
    ("statefulsets", "apps/v1", "StatefulSet", true),
    ("daemonsets", "apps/v1", "DaemonSet", true),
    ("controllerrevisions", "apps/v1", "ControllerRevision", true),
    ("jobs", "batch/v1", "Job", true),
    ("ingresses", "networking.k8s.io/v1", "Ingress", true),
    ("ingressclasses", "networking.k8s.io/v1", "IngressClass", false),
    ("networkpolicies", "networking.k8s.io/v1", "NetworkPolicy", true),
    ("leases", "coordination.k8s.io/v1", "Lease", true),
    ("horizontalpodautoscalers", "autoscaling/v1", "HorizontalPodAutoscaler", true),
    ("priorityclasses", "scheduling.k8s.io/v1", "PriorityClass", false),
    ("storageclasses", "storage.k8s.io/v1", "StorageClass", false),
    ("runtimeclasses", "node.k8s.io/v1", "RuntimeClass", false),
    ("roles", "rbac.authorization.k8s.io/v1", "Role", true),
    ("rolebindings", "rbac.authorization.k8s.io/v1", "RoleBinding", true),
    ("clusterroles", "rbac.authorization.k8s.io/v1", "ClusterRole", false),
    ("clusterrolebindings", "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", false),
    ("customresourcedefinitions", "apiextensions.k8s.io/v1", "CustomResourceDefinition", false),
    ("subjectaccessreviews", "authorization.k8s.io/v1", "SubjectAccessReview", false),
    ("selfsubjectaccessreviews", "authorization.k8s.io/v1", "SelfSubjectAccessReview", false),
    ("localsubjectaccessreviews", "authorization.k8s.io/v1", "LocalSubjectAccessReview", true),
    ("selfsubjectrulesreviews", "authorization.k8s.io/v1", "SelfSubjectRulesReview", false),
    ("tokenreviews", "authentication.k8s.io/v1", "TokenReview", false),
    // Custom resources of the scenarios; a definition's group is its scenario's name.
    ("widgets", "$ns.example.com/v1", "Widget", true),
];

/// The full path of a short one, and what kind of object it is about.
fn place(path: &str) -> (String, Option<(&'static str, &'static str)>) {
    if path.starts_with('/') {
        return (path.to_owned(), None);
    }
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let (plural, rest) = path.split_at(end);
    let (_, version, kind, namespaced) =
        PLACES.iter().find(|p| p.0 == plural).unwrap_or_else(|| panic!("{path}: no such short path"));
    let prefix = if *version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{version}") };
    let scope = if *namespaced { "/namespaces/$ns" } else { "" };
    (format!("{prefix}{scope}/{plural}{rest}"), Some((version, kind)))
}

impl Step {
    /// A request by its line, such as `POST configmaps`.
    pub(crate) fn new(line: &str) -> Self {
        let (method, path) = line.split_once(' ').unwrap_or_else(|| panic!("{line}: no method and path"));
        Self {
            title: line.to_owned(),
            method: method.to_owned(),
            path: place(path).0,
            media_type: "application/json".into(),
            ..Self::default()
        }
    }

    /// With a body that gets its apiVersion and kind.
    pub(crate) fn body(mut self, mut body: Value) -> Self {
        let short = self.title.split_once(' ').map(|(_, path)| place(path).1);
        if let (Some(Some((version, kind))), Some(object)) = (short, body.as_object_mut()) {
            object.entry("apiVersion").or_insert_with(|| (*version).into());
            object.entry("kind").or_insert_with(|| (*kind).into());
        }
        self.body = Some(body);
        self
    }

    pub(crate) fn media_type(mut self, short: &str) -> Self {
        self.media_type = match short {
            "json" => "application/json-patch+json",
            "merge" => "application/merge-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            "apply" => "application/apply-patch+yaml",
            full => full,
        }
        .to_owned();
        self
    }

    fn read(value: &Value) -> Vec<Self> {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let words = |v: &Value| -> Vec<String> {
            v.as_array().into_iter().flatten().map(|w| w.as_str().unwrap().to_owned()).collect()
        };
        for key in value.as_object().unwrap().keys() {
            assert!(
                [
                    "do", "body", "bare", "type", "raw", "as", "headers", "save", "until", "ignore",
                    "repeat", "watch", "events", "count", "end", "cases", "title"
                ]
                .contains(&key.as_str()),
                "a step cannot say {key:?}: {value}"
            );
        }
        let mut step = match text("do") {
            Some(line) => Self::new(&line),
            None => Self { title: format!("events {}", value["events"]), ..Self::default() },
        };
        if let Some(kind) = text("type") {
            step = step.media_type(&kind);
            step.title = format!("{} ({kind})", step.title);
        }
        if let Some(body) = value.get("body") {
            let bare = value["bare"] == true
                || (step.method == "PATCH" && value["type"] != "apply")
                || step.method == "DELETE";
            if bare {
                step.body = Some(body.clone())
            } else {
                let title = step.title.clone();
                step.title = text("do").unwrap();
                step = step.body(body.clone());
                step.title = title;
            }
        }
        if let Some(title) = text("title") {
            step.title = format!("{} # {title}", step.title);
        }
        step.raw = text("raw");
        step.sender = match &value["as"] {
            Value::Null => Sender::Admin,
            Value::String(name) if name == "anonymous" => Sender::Anonymous,
            Value::String(name) if name == "stranger" => Sender::Stranger,
            Value::String(name) => Sender::User { name: name.clone(), groups: vec![] },
            user => Sender::User {
                name: user["user"].as_str().unwrap().to_owned(),
                groups: words(&user["groups"]),
            },
        };
        let map = |key: &str| -> Vec<(String, String)> {
            let of = |v: &Value| v.as_str().unwrap().to_owned();
            value[key].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), of(v))).collect()
        };
        step.headers = map("headers");
        step.save = map("save").into_iter().collect();
        step.until = match &value["until"] {
            Value::Null => None,
            until if until["code"].is_u64() => Some(Until::Code(until["code"].as_u64().unwrap() as u16)),
            until => Some(Until::Value(until["path"].as_str().unwrap().to_owned(), until["is"].clone())),
        };
        step.ignore = words(&value["ignore"]);
        step.repeat = value["repeat"].as_u64().unwrap_or(1) as usize;
        step.watch = text("watch");
        step.events = text("events");
        step.count = value["count"].as_u64().map_or(usize::MAX, |n| n as usize);
        match value["cases"].as_array() {
            None => vec![step],
            Some(cases) => cases.iter().map(|case| step.case(case)).collect(),
        }
    }

    /// This step with a changed body.
    fn case(&self, case: &Value) -> Self {
        let mut step = self.clone();
        let body = step.body.as_mut().expect("cases change a body");
        for (pointer, value) in case["set"].as_object().unwrap_or(&Map::new()) {
            set(body, pointer, value.clone());
        }
        for pointer in case["remove"].as_array().into_iter().flatten() {
            let (parent, last) = pointer.as_str().unwrap().rsplit_once('/').unwrap();
            match body.pointer_mut(parent).unwrap() {
                Value::Object(map) => drop(map.remove(last)),
                Value::Array(list) => drop(list.remove(last.parse().unwrap())),
                _ => panic!("{pointer}: nothing to remove"),
            }
        }
        step.title = format!("{} {case}", step.title);
        step
    }
}

/// Sets a value at a JSON pointer, making the maps on the way; `-` appends to a list.
fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut slot = body;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if let Value::Array(list) = slot {
            if part == "-" {
                list.push(Value::Null);
            }
            let index = if part == "-" { list.len() - 1 } else { part.parse().unwrap() };
            slot = &mut list[index];
            continue;
        }
        if !slot.is_object() {
            *slot = Value::Object(Map::new());
        }
        slot = slot.as_object_mut().unwrap().entry(part).or_insert(Value::Null);
    }
    *slot = value;
}

/// The scenarios of all files, in the order of their names.
pub(crate) fn read_all() -> Vec<Scenario> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/conformance/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let mut scenarios = vec![];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let documents = read_documents(&text, &ReadOptions::new(Dialect::Kustomize))
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for document in documents {
            let value = document.value;
            scenarios.push(Scenario {
                name: value["name"].as_str().unwrap().to_owned(),
                namespace: value["namespace"] != false,
                controllers: value["controllers"] == true,
                unordered: value["unordered"] == true,
                steps: value["steps"].as_array().unwrap().iter().flat_map(Step::read).collect(),
            });
        }
    }
    scenarios
}
