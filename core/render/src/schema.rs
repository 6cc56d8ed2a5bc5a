//! Which lists kustomize merges, and by which fields.
//!
//! kustomize carries the schemas of Kubernetes 1.21 and looks nowhere else unless a kustomization names a schema
//! under `openapi`; what later versions added (or custom resources declare) is replaced as a whole. These facts are
//! therefore frozen, and not those of `seaway-merge`, which follow Kubernetes.

use std::sync::Arc;

use serde_json::Value;

use crate::id::{Gvk, scope};

/// How the elements of a list are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListMerge {
    /// By the values of these fields.
    Keys(Vec<String>),
    /// By their own values.
    Values,
}

/// The schemas in force for one rendering.
#[derive(Debug, Clone, Default)]
pub(crate) enum Schemas {
    /// Those that kustomize carries.
    #[default]
    Frozen,
    /// Those of a file named by `openapi.path`; the carried ones are not used then.
    Custom(Arc<Value>),
}

/// The schema of one part of an object.
#[derive(Debug, Clone)]
pub(crate) enum Schema {
    Frozen(&'static Type),
    Custom { all: Arc<Value>, at: Value },
}

impl Schemas {
    /// An OpenAPI document (`definitions`, or the definitions themselves).
    pub(crate) fn custom(document: Value) -> Self {
        Self::Custom(Arc::new(document))
    }

    pub(crate) fn of(&self, gvk: &Gvk) -> Option<Schema> {
        match self {
            Self::Frozen => frozen(gvk).map(Schema::Frozen),
            Self::Custom(all) => {
                let names = |definition: &&Value| {
                    let Some(Value::Array(gvks)) = definition.get("x-kubernetes-group-version-kind") else {
                        return false;
                    };
                    let text = |value: &Value, key: &str| {
                        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
                    };
                    gvks.iter().any(|one| {
                        text(one, "group") == gvk.group
                            && text(one, "version") == gvk.version
                            && text(one, "kind") == gvk.kind
                    })
                };
                let definition = all.get("definitions")?.as_object()?.values().find(names)?;
                Some(Schema::Custom { all: Arc::clone(all), at: definition.clone() })
            }
        }
    }
}

impl Schema {
    pub(crate) fn field(&self, name: &str) -> Option<Schema> {
        match self {
            Self::Frozen(ty) => {
                ty.fields.iter().find(|(field, _)| *field == name).map(|(_, ty)| Schema::Frozen(ty))
            }
            Self::Custom { all, at } => {
                let field = at.get("properties").and_then(|properties| properties.get(name));
                let field = field.or_else(|| at.get("additionalProperties").filter(|it| it.is_object()))?;
                resolved(all, field)
            }
        }
    }

    pub(crate) fn elements(&self) -> Option<Schema> {
        match self {
            Self::Frozen(ty) => ty.list.as_ref().map(|(_, element)| Schema::Frozen(element)),
            Self::Custom { all, at } => resolved(all, at.get("items")?),
        }
    }

    /// How the list that this is the schema of merges; `None` when it is replaced.
    pub(crate) fn list_merge(&self) -> Option<ListMerge> {
        match self {
            Self::Frozen(ty) => ty.list.as_ref().map(|(keys, _)| match keys {
                [] => ListMerge::Values,
                keys => ListMerge::Keys(keys.iter().map(|key| (*key).to_owned()).collect()),
            }),
            Self::Custom { at, .. } => {
                let strategy = at.get("x-kubernetes-patch-strategy")?.as_str()?;
                if !strategy.split(',').any(|part| part == "merge") {
                    return None;
                }
                let text = |value: &Value| value.as_str().map(str::to_owned);
                if let Some(Value::Array(keys)) = at.get("x-kubernetes-list-map-keys") {
                    return Some(ListMerge::Keys(keys.iter().filter_map(text).collect()));
                }
                match at.get("x-kubernetes-patch-merge-key").and_then(text) {
                    Some(key) => Some(ListMerge::Keys(vec![key])),
                    None => Some(ListMerge::Values),
                }
            }
        }
    }
}

/// A schema with its references followed. A reference to itself ends the search.
fn resolved(all: &Arc<Value>, at: &Value) -> Option<Schema> {
    let mut at = at;
    for _ in 0..32 {
        let Some(reference) = at.get("$ref").and_then(Value::as_str) else {
            return Some(Schema::Custom { all: Arc::clone(all), at: at.clone() });
        };
        at = all.pointer(reference.strip_prefix('#')?)?;
    }
    None
}

/// The parts of a type below which lists merge; what is not here is replaced when it is a list.
#[derive(Debug)]
pub(crate) struct Type {
    fields: &'static [(&'static str, &'static Type)],
    /// A list that merges: the fields that tell elements apart (none: their own values do) and an element's type.
    list: Option<(&'static [&'static str], &'static Type)>,
}

const fn object(fields: &'static [(&'static str, &'static Type)]) -> Type {
    Type { fields, list: None }
}

const fn list(keys: &'static [&'static str], element: &'static Type) -> Type {
    Type { fields: &[], list: Some((keys, element)) }
}

/// The root types of the kinds that have lists which merge, besides `metadata`.
fn frozen(gvk: &Gvk) -> Option<&'static Type> {
    scope(&gvk.group, &gvk.version, &gvk.kind)?;
    Some(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("", "Pod") => &POD,
        ("", "PodTemplate") => &POD_TEMPLATE_OBJECT,
        ("", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("", "Service") => &SERVICE,
        ("", "Node") => &NODE,
        ("", "ComponentStatus") => &COMPONENT_STATUS,
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
        | ("", "ReplicationController")
        | ("batch", "Job") => &WORKLOAD,
        ("batch", "CronJob") => &CRON_JOB,
        ("", "Namespace" | "PersistentVolumeClaim")
        | ("apiregistration.k8s.io", "APIService")
        | ("policy", "PodDisruptionBudget") => &WITH_CONDITIONS,
        ("admissionregistration.k8s.io", _) => &WEBHOOK_CONFIGURATION,
        ("storage.k8s.io", "CSINode") => &CSI_NODE,
        _ => &PLAIN,
    })
}

static LEAF: Type = object(&[]);
static VALUES: Type = list(&[], &LEAF);
static BY_NAME: Type = list(&["name"], &LEAF);
static BY_TYPE: Type = list(&["type"], &LEAF);
static METADATA: Type = object(&[("finalizers", &VALUES), ("ownerReferences", &OWNER_REFERENCES)]);
static OWNER_REFERENCES: Type = list(&["uid"], &LEAF);

static PLAIN: Type = object(&[("metadata", &METADATA)]);
static WITH_CONDITIONS: Type = object(&[("metadata", &METADATA), ("status", &CONDITIONS)]);
static CONDITIONS: Type = object(&[("conditions", &BY_TYPE)]);

static POD: Type = object(&[("metadata", &METADATA), ("spec", &POD_SPEC), ("status", &POD_STATUS)]);
static POD_STATUS: Type = object(&[("conditions", &BY_TYPE), ("podIPs", &BY_IP)]);
static BY_IP: Type = list(&["ip"], &LEAF);
static POD_TEMPLATE: Type = object(&[("metadata", &METADATA), ("spec", &POD_SPEC)]);
static POD_TEMPLATE_OBJECT: Type = object(&[("metadata", &METADATA), ("template", &POD_TEMPLATE)]);
static WORKLOAD: Type = object(&[("metadata", &METADATA), ("spec", &WORKLOAD_SPEC), ("status", &CONDITIONS)]);
static WORKLOAD_SPEC: Type = object(&[("template", &POD_TEMPLATE)]);
static CRON_JOB: Type = object(&[("metadata", &METADATA), ("spec", &CRON_JOB_SPEC)]);
static CRON_JOB_SPEC: Type = object(&[("jobTemplate", &JOB_TEMPLATE)]);
static JOB_TEMPLATE: Type = object(&[("metadata", &METADATA), ("spec", &WORKLOAD_SPEC)]);

static POD_SPEC: Type = object(&[
    ("containers", &CONTAINERS),
    ("initContainers", &CONTAINERS),
    ("ephemeralContainers", &CONTAINERS),
    ("volumes", &BY_NAME),
    ("imagePullSecrets", &BY_NAME),
    ("hostAliases", &BY_IP),
    ("topologySpreadConstraints", &TOPOLOGY),
]);
static TOPOLOGY: Type = list(&["topologyKey", "whenUnsatisfiable"], &LEAF);
static CONTAINERS: Type = list(&["name"], &CONTAINER);
static CONTAINER: Type = object(&[
    ("env", &BY_NAME),
    ("ports", &CONTAINER_PORTS),
    ("volumeDevices", &DEVICES),
    ("volumeMounts", &MOUNTS),
]);
static CONTAINER_PORTS: Type = list(&["containerPort", "protocol"], &LEAF);
static DEVICES: Type = list(&["devicePath"], &LEAF);
static MOUNTS: Type = list(&["mountPath"], &LEAF);

static SERVICE_ACCOUNT: Type = object(&[("metadata", &METADATA), ("secrets", &BY_NAME)]);
static SERVICE: Type = object(&[("metadata", &METADATA), ("spec", &SERVICE_SPEC), ("status", &CONDITIONS)]);
static SERVICE_SPEC: Type = object(&[("ports", &SERVICE_PORTS)]);
static SERVICE_PORTS: Type = list(&["port", "protocol"], &LEAF);
static NODE: Type = object(&[("metadata", &METADATA), ("spec", &NODE_SPEC), ("status", &NODE_STATUS)]);
static NODE_SPEC: Type = object(&[("podCIDRs", &VALUES)]);
static NODE_STATUS: Type = object(&[("addresses", &BY_TYPE), ("conditions", &BY_TYPE)]);
static COMPONENT_STATUS: Type = object(&[("metadata", &METADATA), ("conditions", &BY_TYPE)]);
static WEBHOOK_CONFIGURATION: Type = object(&[("metadata", &METADATA), ("webhooks", &BY_NAME)]);
static CSI_NODE: Type = object(&[("metadata", &METADATA), ("spec", &CSI_NODE_SPEC)]);
static CSI_NODE_SPEC: Type = object(&[("drivers", &BY_NAME)]);
